"""Arrays of the network."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.core.arrays import GUARD, Buffers, Parameter, Rows, aligned_zeros, parameter_arrays, read_only, restore_parameters
from mongoose_nb.nn import SGD, Adam


@pytest.mark.parametrize("shape", [0, 1, (3, 5), (2, 0), (1000, 128), ()], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64, np.uint8])
def test_aligned_zeros(shape, dtype):
    a = aligned_zeros(shape, dtype)
    assert a.dtype == dtype and a.shape == np.zeros(shape).shape and a.flags.c_contiguous and a.flags.writeable
    assert not a.any() and (a.size == 0 or a.ctypes.data % 64 == 0)
    whole = a
    while whole.base is not None:
        whole = whole.base
    if a.size:
        assert a.ctypes.data - whole.ctypes.data >= GUARD
        assert whole.ctypes.data + whole.nbytes - (a.ctypes.data + a.nbytes) >= GUARD


class TestRows:
    matrix = sp.csr_matrix(np.float32([[0, 2, 3], [0, 0, 0], [4, 0, 0], [5, 6, 7]]))

    def test_all_and_some(self):
        rows = Rows.of(self.matrix)
        assert len(rows) == 4 and rows.start.tolist() == [0, 2, 2, 3] and rows.count.tolist() == [2, 0, 1, 3]
        assert np.shares_memory(rows.ids, self.matrix.indices) and np.shares_memory(rows.values, self.matrix.data)
        some = Rows.of(self.matrix, np.array([3, 1, 3]))
        assert some.start.dtype == some.count.dtype == np.int64
        sample, ids = some.flat()
        assert sample.tolist() == [0, 0, 0, 2, 2, 2] and ids.tolist() == [0, 1, 2, 0, 1, 2]

    def test_all_are_read_only_so_that_kernels_are_compiled_for_one_type(self):
        ids = np.arange(3, dtype=np.int32)
        none = np.zeros(0, np.int64)
        for rows in (Rows.of(self.matrix), Rows.empty(2), Rows(none, none, ids, np.ones(3, np.float32)), Rows(none, none, ids, None)):
            assert not rows.ids.flags.writeable and (rows.values is None or not rows.values.flags.writeable)
        assert np.shares_memory(rows.ids, ids) and ids.flags.writeable

    def test_flat_of_nothing(self):
        for rows in (Rows.of(self.matrix, np.array([1])), Rows.of(self.matrix, np.zeros(0, int))):
            assert [part.tolist() for part in rows.flat()] == [[], []]


class TestParameter:
    def test_moments(self):
        p = Parameter(np.ones((2, 3), np.float32))
        p.attach(SGD(0.1))
        assert p.m is p.value and p.v is p.value and list(p.arrays("w")) == ["w"]
        p.attach(SGD(0.1, momentum=0.5))
        assert p.m is not p.value and p.v is p.value and list(p.arrays("w")) == ["w", "w.m"]
        m = p.m
        p.m[:] = 3
        p.attach(Adam())
        assert p.m is m and not p.v.any() and list(p.arrays("w")) == ["w", "w.m", "w.v"]
        p.forget_moments()
        assert p.m.shape == p.v.shape == (2, 3) and not p.m.any() and not p.v.any() and p.m is not m

    def test_restore_is_in_place(self):
        source, p = Parameter(np.ones((2, 3), np.float32)), Parameter(np.zeros((2, 3), np.float32))
        source.attach(Adam())
        source.m[:] = 2
        value = p.value
        restore_parameters({"w": p}, parameter_arrays({"w": source}))
        assert p.value is value and value.all() and (p.m == 2).all() and not p.v.any()


    def test_without_moments(self):
        source, p = Parameter(np.ones((2, 3), np.float32)), Parameter(np.zeros((2, 3), np.float32))
        source.attach(Adam())
        assert list(parameter_arrays({"w": source}, moments=False)) == ["w"]
        p.attach(Adam())
        p.v[:] = 5
        restore_parameters({"w": p}, parameter_arrays({"w": source}, moments=False))
        assert p.value.all() and not p.v.any()  # those of other values would mislead the optimiser

    def test_biases_of_format_version_1_are_rows(self):
        p = Parameter(np.zeros(3, np.float32))
        p.attach(Adam())
        restore_parameters({"b": p}, {"b": np.ones((1, 3), np.float32), "b.m": np.full((1, 3), 2, np.float32)})
        assert (p.value == 1).all() and (p.m == 2).all() and not p.v.any()

    def test_refusals(self):
        p = Parameter(np.zeros((2, 3), np.float32))
        with pytest.raises(ValueError, match="'w' is missing"):
            restore_parameters({"w": p}, {})
        with pytest.raises(ValueError, match=r"'w' has shape \(3, 2\), the model needs \(2, 3\)"):
            restore_parameters({"w": p}, {"w": np.zeros((3, 2), np.float32)})

    def test_matrices_decay_and_vectors_do_not(self):
        assert Parameter(np.zeros((1, 3), np.float32)).decays and not Parameter(np.zeros(3, np.float32)).decays


def test_read_only():
    a = np.arange(3)
    view = read_only(a)
    assert np.shares_memory(a, view) and not view.flags.writeable and a.flags.writeable


def test_what_is_lent_is_not_lent_again_as_long_as_it_is_used():
    lend = Buffers().lend
    a, b = lend("a", (3, 4)), lend("a", (3, 4))
    assert not np.shares_memory(a, b)
    address, view = b.ctypes.data, b[1:].T
    del b
    c = lend("a", (3, 4))
    assert not np.shares_memory(view, c) and c.ctypes.data != address
    address = c.ctypes.data
    del c
    smaller = lend("a", 5)
    assert smaller.ctypes.data == address and smaller.shape == (5,)
    assert lend("b", 3, np.int64).dtype == np.int64


def test_a_copy_of_buffers_is_empty():
    buffers = Buffers()
    buffers.get("a", 3)[:] = 7
    for again in (pickle.loads(pickle.dumps(buffers)), copy.deepcopy(buffers)):
        assert not again.get("a", 3).any()


def test_buffers_grow_and_stay():
    get = Buffers().get
    a = get("a", (3, 4))
    assert a.shape == (3, 4) and a.dtype == np.float32 and not a.any()
    a[:] = 7
    smaller = get("a", (2, 2))
    assert np.shares_memory(a, smaller) and (smaller == 7).all()
    assert get("a", 5).shape == (5,)
    larger = get("a", 100)
    assert not larger.any() and np.shares_memory(larger, get("a", 120))  # with a quarter of room
    assert not np.shares_memory(get("b", 3, np.int64), larger) and get("b", 3).dtype == np.int64
    assert get("c", 0).shape == (0,) and get("c", (2, 0)).shape == (2, 0)
