"""The five examples of the documentation: each class in one file outside the package.

Each trains or searches, is saved, loaded in a fresh process, pickled inside `MongooseClassifier`, resumed from a checkpoint with the same
bits, and passes the public contract check of its abstraction.
"""

import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from mongoose_nb import LSHIndex, LSHTables, MongooseClassifier, Network, nn
from mongoose_nb.core.registry import describe, make
from mongoose_nb.hashing import family_from_state
from mongoose_nb.testing import check_hash_family, check_index, check_layer, check_sampler

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
from hash_family import Rademacher  # noqa: E402
from layer import Residual  # noqa: E402
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, digest, problem  # noqa: E402
from rehash_schedule import Doubling  # noqa: E402
from sampler import Popular  # noqa: E402
from search_metric import Chebyshev  # noqa: E402


def tables(**options):
    return nn.Tables(K=3, L=6, **options)


# module -> arguments of a network that uses the class
NETWORKS = {
    "hash_family": lambda: {"sampler": nn.LSH(20, tables=tables(family={"name": "rademacher", "skew": 0.4}, rehash=5))},
    "rehash_schedule": lambda: {"sampler": nn.LSH(20, tables=tables(rehash=Doubling(2, most=8)))},
    "sampler": lambda: {"sampler": Popular(20, power=0.5)},
    "layer": lambda: {"hidden": (7, Residual(5)), "sampler": "full"},
}
FRESH = """
import sys
sys.path[:0] = sys.argv[2:]
{imports}
from mongoose_nb import Network
from nn_problem import digest, problem
network = Network.load(sys.argv[1])
print(digest(network.partial_fit(*problem(), batch_size=5)))
"""


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


def network(name):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "seed": 3, **NETWORKS[name]()})


def fresh_process(path, imports):
    return subprocess.run([sys.executable, "-c", FRESH.format(imports=imports), str(path), str(HERE), str(HERE.parent)],
                          capture_output=True, text=True)


def test_saved_and_loaded_in_a_fresh_process(name, tmp_path):
    net = network(name).partial_fit(*problem(), batch_size=5)
    net.save(tmp_path / "net")
    want = digest(net.partial_fit(*problem(), batch_size=5))
    done = fresh_process(tmp_path / "net", f"import {name}")
    assert done.stdout.split() == [want], done.stderr


def test_a_program_that_does_not_know_the_class_is_told(name, tmp_path):
    network(name).partial_fit(*problem(), batch_size=5).save(tmp_path / "net")
    done = fresh_process(tmp_path / "net", "")
    assert f"import the module '{name}'" in done.stderr and "FormatError" in done.stderr and "cannot be read" in done.stderr


def test_resumed_with_the_same_bits(name, tmp_path):
    X, Y = problem()
    whole, path = network(name), tmp_path / "run"
    whole.fit(X, Y, epochs=4, batch_size=5)

    class Stop(Exception):
        pass

    class StopAt(nn.Callback):
        def on_batch_end(self, network, logs):
            if network.step == 9:
                raise Stop

    with pytest.raises(Stop):
        network(name).fit(X, Y, epochs=4, batch_size=5, callbacks=[nn.Checkpoint(path, every=1), StopAt()])
    again = network(name)
    again.fit(X, Y, epochs=4, batch_size=5, resume=path)
    assert_same_arrays(again, whole)


@pytest.mark.parametrize("sampler", [
    Popular(20), nn.LSH(20, tables=tables(rehash=Doubling(2))), nn.LSH(20, tables=tables(family=Rademacher)),
], ids=["sampler", "rehash schedule", "hash family"])
def test_pickled_inside_a_classifier(sampler):
    X, Y = problem()
    model = MongooseClassifier(sampler=sampler, hidden=(7,), epochs=2, random_state=0).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    assert describe(again.network_.sampler) == describe(model.network_.sampler)


def test_a_layer_is_pickled_inside_a_classifier():
    X, Y = problem()
    model = MongooseClassifier(hidden=(7, Residual(4)), epochs=2, random_state=0).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))


# ------------------------------------------------------------------ the contract checks


def test_the_hash_family():
    report = check_hash_family(lambda seed: Rademacher(24, K=1, L=200, seed=seed), functions=2000, tolerance=0.2)
    assert report.skipped == []
    family = Rademacher(24, 4, 20, skew=0.4, center=np.ones(24))
    again = family_from_state(family.state())
    X = np.random.default_rng(0).standard_normal((300, 24)).astype(np.float32)
    np.testing.assert_array_equal(again.hash(X), family.hash(X))
    indptr, ids = LSHTables(again).build(X).candidates(X[:5])
    assert all(i in ids[indptr[i]:indptr[i + 1]] for i in range(5))


def test_the_hash_family_in_an_index(tmp_path):
    X = np.random.default_rng(0).standard_normal((2000, 24)).astype(np.float32)
    index = LSHIndex("cosine", 24, family="rademacher", L=10)
    index.add(X)
    assert (index.query(X[:20], 1)[0][:, 0] == np.arange(20)).all()
    index.save(tmp_path / "index")
    again = LSHIndex.load(tmp_path / "index")
    for a, b in zip(again.rebuild().query(X[:20], 5), index.rebuild().query(X[:20], 5)):
        np.testing.assert_array_equal(a, b)
    assert again.stats()["family"] == index.stats()["family"]


def test_the_schedule():
    schedule = Doubling(2, most=8)
    assert [step for step in range(40) if schedule.due(step)] == [1, 5, 13, 21, 29, 37]
    assert describe(make("rehash schedule", describe(schedule))) == describe(schedule)


def test_the_sampler():
    check_sampler(lambda: Popular(20))


def test_the_layer():
    check_layer(lambda: Residual(5))


def test_the_search_metric(tmp_path):
    check_index(lambda: LSHIndex(Chebyshev(2.0), 16, train_size=100, rerank=None), metric="l2", dim=16, distance=Chebyshev(2.0).exact)
    X = np.random.default_rng(0).standard_normal((1500, 16)).astype(np.float32)
    index = LSHIndex("chebyshev", 16)
    index.add(X)
    index.save(tmp_path / "index")
    for again in (LSHIndex.load(tmp_path / "index"), pickle.loads(pickle.dumps(index))):
        for a, b in zip(again.query(X[:10], 3), index.query(X[:10], 3)):
            np.testing.assert_array_equal(a, b)
    code = ("import sys; sys.path.insert(0, sys.argv[2]); import search_metric; from mongoose_nb import LSHIndex; "
            "print(len(LSHIndex.load(sys.argv[1])))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "index"), str(HERE)], capture_output=True, text=True)
    assert done.stdout.strip() == "1500", done.stderr


# ------------------------------------------------------------------ what is wrong is refused, by name


class Wild(nn.Sampler):
    """Chooses outputs that may not be there."""

    def __init__(self, ids=(40, 2), shape="sample"):
        self.ids, self.shape = ids, shape

    def per_sample(self, h, labels, step, timer, train=True):
        return self.count(nn.ActiveSets.of(labels, uniform=[np.array(self.ids)] * len(h)))

    def shared(self, h, labels, step, timer):
        return self.count(nn.SharedSet.of(labels, uniform=np.array(self.ids)))

    def peek(self, h):
        return nn.ActiveSets.of(nn.Rows.empty(len(h)), uniform=[np.array(self.ids)] * len(h))


@pytest.mark.parametrize("shape", ["sample", "batch"])
@pytest.mark.parametrize("ids, message", [([OUTPUTS, 2], f"chose output {OUTPUTS}; the layer has outputs 0 to {OUTPUTS - 1}"),
                                          ([-1, 2], "chose output -1"), ([2, 2, 3], "chose an output twice")])
def test_a_sampler_that_chooses_what_is_not_there(ids, message, shape):
    X = problem()[0]
    Y = np.full(X.shape[0], 5)
    with pytest.raises(ValueError, match=message):
        Network(FEATURES, OUTPUTS, hidden=(7,), sampler=Wild(ids, shape)).fit(X, Y, epochs=1)


class TooLarge(Rademacher):
    """Gives codes that are no buckets."""

    def _hash_dense(self, X, out):
        out[...] = 200


def test_a_family_with_codes_that_are_no_buckets():
    with pytest.raises(RuntimeError, match="TooLarge gave code 200; codes must be from 0 to n_buckets - 1 = 7"):
        TooLarge(4, 3, 2).hash(np.ones((2, 4)))
    with pytest.raises(RuntimeError, match="TooLarge gave code 200"):
        Network(FEATURES, OUTPUTS, sampler=nn.LSH(10, tables=tables(family=TooLarge))).fit(*problem(), epochs=1)


class Doubled(Doubling):
    """Does not keep its argument as it was given."""

    def __init__(self, first=5):
        super().__init__(2 * first)


class Wide64(Residual):
    """Its value is not float32."""

    def forward(self, x, run):
        y, cache = super().forward(x, run)
        return y.astype(np.float64), cache


def test_arguments_that_a_file_would_change(tmp_path):
    net = Network(FEATURES, OUTPUTS, sampler=nn.LSH(10, tables=tables(rehash=Doubled(2)))).partial_fit(*problem())
    with pytest.raises(TypeError, match="Doubled does not keep its argument 'first' as it was given .4 becomes 8."):
        net.save(tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_arrays_as_arguments_come_back_as_arrays():
    class Listed(Popular):
        def __init__(self, first):
            super().__init__(9)
            self.first = first

    again = make("sampler", describe(Listed(np.array([2, 4], np.int16))))
    assert again.first.dtype == np.int16 and again.first.tolist() == [2, 4]


def test_a_layer_whose_value_is_not_float32():
    with pytest.raises(TypeError, match=r"layer Wide64 gave float64 \(.*, 7\); its value must be float32"):
        Network(FEATURES, OUTPUTS, hidden=(7, Wide64(3))).fit(*problem(), epochs=1)
