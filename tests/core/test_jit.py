"""The kernels' decorators and their cache."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from mongoose_nb.core import jit as _jit


def run(code, **env):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WHERE = "from mongoose_nb.core import jit as _jit; print(_jit.CACHE_DIR)"
ADD = """
import numpy as np
from mongoose_nb.kernels.common.random import mix64
from mongoose_nb.core import jit as _jit
@_jit.serial
def add(x):
    return x + 1
print(_jit.CACHE_DIR, add(1), int(mix64(np.uint64(0))))
"""


def test_nan_and_infinity_are_honoured():
    assert {"nnan", "ninf", "fast"}.isdisjoint(_jit.FASTMATH)

    @_jit.serial
    def is_nan(x):
        return x != x

    assert is_nan(np.nan) and not is_nan(1.0)


def test_division_by_zero_is_that_of_numpy():
    @_jit.serial
    def ratio(a, b):
        return a / b

    assert ratio(1.0, 0.0) == np.inf


def test_strict_arithmetic_is_not_reordered():
    @_jit.strict
    def lost(a, b):
        return (a + b) - a

    assert lost(np.float32(1e8), np.float32(1)) == 0


def test_the_cache_is_named_by_content_and_follows_the_environment(tmp_path):
    first = run(WHERE, NUMBA_CACHE_DIR=str(tmp_path / "a"))
    assert os.path.dirname(first) == str(tmp_path / "a") and os.path.isdir(first)
    second = run(WHERE, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path / "b"))
    assert os.path.dirname(second) == str(tmp_path / "b" / "mongoose_nb")
    assert os.path.basename(first) == os.path.basename(second)


def test_without_a_place_for_the_cache_kernels_still_run(tmp_path):
    (tmp_path / "file").write_text("")
    assert run(ADD, NUMBA_CACHE_DIR=str(tmp_path / "file")) == "None 2 16294208416658607535"


def test_the_users_own_cache_setting_stays():
    code = "import numba; before = numba.config.CACHE_DIR; import mongoose_nb.kernels.layers.rows; print(numba.config.CACHE_DIR == before)"
    assert run(code) == "True"
    assert numba.config.CACHE_DIR != _jit.CACHE_DIR or os.environ.get("NUMBA_CACHE_DIR") == _jit.CACHE_DIR


def test_two_processes_that_save_at_once_never_mistake_each_others_code(tmp_path, monkeypatch):
    def files():
        return _jit.FilesByKey(str(tmp_path), "kernel", "stamp")

    one, other = files(), files()
    with monkeypatch.context() as patch:  # both have read the index before either writes
        patch.setattr(_jit.FilesByKey, "_load_index", lambda self: {})
        one.save(("int64",), "code for int64")
        other.save(("float64",), "code for float64")
    assert files().load(("float64",)) == "code for float64" and files().load(("int64",)) is None  # and is compiled again
    one.save(("int64",), "code for int64")
    assert files().load(("float64",)) == "code for float64" and files().load(("int64",)) == "code for int64"


SUMS = """
import hashlib
import numpy as np
from mongoose_nb.kernels.layers import active
rng = np.random.default_rng(0)
n, dim, outputs = 24, 7, 600
count = rng.integers(10, 40, n)
ids = rng.integers(0, outputs, count.sum()).astype(np.int32)
H, W, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, dim), (outputs, dim), outputs))
delta, grad, loss = np.zeros(len(ids), np.float32), np.zeros((n, dim), np.float32), np.zeros(n, np.float32)
lists = active.Lists(np.cumsum(count) - count, count, ids, np.full(n, 2), np.full(n, 5), np.ones(n, np.float32), np.zeros(0, np.float32),
                     np.full(n, 2))
active.loss_active(H, W, bias, lists, False, np.full(n, 1 / n, np.float32), delta, grad, loss, np.zeros(n, np.float32))
print(hashlib.sha256(grad.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_compiled_now_or_read_from_the_cache_bits_are_the_same(tmp_path):
    first = run(SUMS, NUMBA_CACHE_DIR=str(tmp_path))
    assert run(SUMS, NUMBA_CACHE_DIR=str(tmp_path)) == first


TWICE = """
def twice(x, out):
    for i in numba.prange(len(x)):
        out[i] = 2 * x[i]
"""


def test_a_kernel_has_no_function_that_another_may_replace():
    names = {"numba": numba}
    exec(TWICE, names)  # of no file, so that it is compiled now and not read from the cache
    twice = _jit.parallel(names["twice"])
    twice(np.ones(3), np.zeros(3))
    (compiled,) = twice.overloads.values()
    linkages = {function.linkage.name for function in compiled.library.get_defined_functions()}
    assert linkages == {"external", "internal"}


def test_kernels_are_kept_so():
    @_jit.serial
    def half(x):
        return x / 2

    assert type(half._cache._cache_file) is _jit.FilesByKey and half(3) == 1.5 and half(np.float32(3)) == 1.5
    assert len(half._cache._cache_file._load_index()) >= 2
