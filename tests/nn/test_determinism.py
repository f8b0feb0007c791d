"""Same seed, same bits: for any number of threads, in this process and in others."""

import os
import subprocess
import sys

import numba
import pytest
from nn_problem import FEATURES, OUTPUTS, digest, lsh, problem

from mongoose_nb.core import threads as _threads
from mongoose_nb.nn import LSH, Full, Network, Tables, Uniform, Wide
from mongoose_nb.rehash import Drift

LSH_SETTINGS = {"L": 6, "rehash": 12, "rebuild": 2, "min_votes": 4}
SAMPLERS = {
    "full": Full(),
    "uniform-sample": Uniform(30, shape="sample"),
    "uniform-mixture": Uniform(30, shape="sample", proposal="mixture"),
    "uniform-batch": Uniform(30, shape="batch"),
    **{f"lsh-{shape}-{family}-{strategy}": lsh(60, shape=shape, family=family, K=K, strategy=strategy, **LSH_SETTINGS)
       for shape in ("sample", "batch") for family, K in (("simhash", 3), ("dwta", 1))
       for strategy in ("topk", "vanilla", "threshold")},
    "lsh-full-buckets": lsh(30, K=3, capacity=9, **LSH_SETTINGS),
    "lsh-mixture": LSH(60, head=0.25, proposal="mixture", tables=Tables(K=3, L=6, rehash=7)),
    "lsh-unfilled": lsh(30, K=3, fill=False, **LSH_SETTINGS),
    "lsh-drift": LSH(60, tables=Tables(K=3, L=6, rehash=Drift(0.002, check_every=2, rows=200, weight="touch"))),
    "lsh-drift-rows": LSH(60, tables=Tables(K=3, L=6, rehash=Drift(0.02, check_every=2, rows=200, per_row=True))),
}
HIDDEN = {"dense": (9, 30), "wide": (9, Wide(300, lsh(40, K=3, **LSH_SETTINGS)), 30)}


def train(sampler, hidden, steps=50, **settings):
    net = Network(FEATURES, OUTPUTS, hidden=hidden, sampler=sampler, seed=2, **settings)
    X, Y = problem(n=200)  # more rows than the kernels' chunks, fewer than a block of a matrix product
    net.fit(X, Y, epochs=steps * 40 // 200, batch_size=40)
    assert net.step == steps
    return net


@pytest.fixture(autouse=True)
def threads_for_little_work(monkeypatch):
    """Problems as small as these would run on one thread."""
    monkeypatch.setattr(_threads, "THREADS_FROM", 0)


@pytest.fixture
def set_threads():
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


needs_threads = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")


@needs_threads
@pytest.mark.parametrize("hidden, sampler", [*(("dense", name) for name in SAMPLERS), ("wide", "full"), ("wide", "lsh-unfilled")])
def test_fifty_steps_with_any_number_of_threads(set_threads, hidden, sampler):
    digests, predictions = set(), []
    X, _ = problem(1)
    for threads in range(1, min(4, numba.config.NUMBA_NUM_THREADS) + 1):
        set_threads(threads)
        net = train(SAMPLERS[sampler], HIDDEN[hidden], clip_norm=1.0)
        digests.add(digest(net))
        predictions.append([a.tobytes() for a in net.predict_topk(X, 9)])
    assert len(digests) == 1
    assert all(p == predictions[0] for p in predictions)


def test_every_sampler_trains_another_network():
    """The digests above would agree also if the sampler had no effect."""
    digests = {name: digest(train(sampler, HIDDEN["dense"], 10)) for name, sampler in SAMPLERS.items()}
    assert len(set(digests.values())) == len(digests), digests


SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:]
from mongoose_nb.core import threads as _threads
from nn.test_determinism import HIDDEN, SAMPLERS, digest, train
_threads.THREADS_FROM = 0
for hidden, sampler in (("wide", "lsh-sample-simhash-topk"), ("dense", "lsh-batch-simhash-topk"), ("dense", "full")):
    print(digest(train(SAMPLERS[sampler], HIDDEN[hidden])))
"""


@pytest.mark.slow
@needs_threads
def test_processes_with_one_and_with_two_threads():
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # what is not in the cache is compiled now: compiled code may round otherwise than the same code from the cache
    subprocess.run([sys.executable, "-c", SCRIPT, tests], stdout=subprocess.DEVNULL, check=True)
    runs = [subprocess.Popen([sys.executable, "-c", SCRIPT, tests], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "NUMBA_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)})
            for threads in (1, 2)]
    outputs = [run.communicate()[0] for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert outputs[0] == outputs[1] and len(outputs[0].split()) == 3
