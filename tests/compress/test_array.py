"""Hashed arrays: gather, gradients, steps, projection."""

import numba
import numpy as np
import pytest
from compress import naive

from mongoose_nb import compress
from mongoose_nb.compress import HashedArray, index_map
from mongoose_nb.nn.training.optimizers import make_optimizer

NAMES = compress.names()


def view(name, shape=(50, 6), cells=100, seed=1, scale=2.0, **array):
    array = HashedArray(cells, seed=seed, **array)
    return array.view(naive.make_map(name, shape, cells, 3), scale=scale)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(50, 6), (3, 130)])
def test_gather_and_gradient_agree_with_the_oracle(name, shape):
    rng = np.random.default_rng(0)
    one = view(name, shape, 600)
    index, sign = one.map.index(), one.map.sign()
    assert np.allclose(one.gather(), naive.gather(one.array.values, index, sign, 2.0), rtol=1e-6)
    rows = rng.integers(0, shape[0], 37)
    assert np.array_equal(one[rows], one.gather()[rows]) and np.array_equal(one[1:3], one.gather([1, 2]))
    values = rng.standard_normal((37, shape[1]))
    expected = naive.gradient(600, index[rows], sign[rows], 2.0, values)
    gradient = one.gradient(rows, values)
    assert np.abs(gradient.dense() - expected).max() <= 1e-5 * np.abs(expected).max()
    assert abs(gradient.square_norm() / (expected**2).sum() - 1) < 1e-5


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "rowadam"])
def test_a_step_is_that_of_a_vector_and_leaves_other_cells(optimizer):
    rng = np.random.default_rng(0)
    one, step = view("robe", (50, 20), 500), make_optimizer(optimizer)
    plain = one.array.values.copy()
    m, v = np.zeros(500), np.zeros(500)
    for t in range(3):
        rows, values = rng.integers(0, 50, 5), rng.standard_normal((5, 20))
        g = one.gradient(rows, values).dense().astype(np.float64)
        one.array.step(one.gradient(rows, values), step, t)
        on = g != 0
        constants = step.constants(t + 1).astype(np.float64)
        if optimizer == "sgd":
            plain[on] -= constants[0] * g[on]
        elif optimizer == "adagrad":
            v[on] += g[on] ** 2
            plain[on] -= constants[0] * g[on] / (np.sqrt(v[on]) + constants[3])
        else:
            m[on] = 0.9 * m[on] + 0.1 * g[on]
            v[on] = 0.999 * v[on] + 0.001 * g[on] ** 2
            plain[on] -= constants[0] * constants[5] * m[on] / (np.sqrt(v[on]) * constants[6] + constants[3])
    assert np.allclose(one.array.values, plain, atol=1e-5)


@pytest.mark.parametrize("name", ["element", "robe", "fold"])
def test_same_bits_for_any_number_of_threads(name):
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, 2):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            one, rng = view(name, (3000, 70), 9000, grad_scale=True), np.random.default_rng(0)
            for t in range(2):
                rows = rng.integers(0, 3000, 20_000)
                one.array.step(one.gradient(rows, rng.standard_normal((20_000, 70))), make_optimizer("adam"), t)
                found.append(one.product(rng.standard_normal((9, 70)).astype(np.float32)))
            found.append(one.array.values.copy())
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(found, found[len(found) // 2:]))


@pytest.mark.parametrize("name", NAMES)
def test_lift_of_lower_is_an_orthogonal_projection(name):
    rng = np.random.default_rng(0)
    one = view(name, scale=0.7)
    x, y = rng.standard_normal((2, 50, 6))
    px, py = one.lift(one.lower(x)), one.lift(one.lower(y))
    assert np.abs(one.lift(one.lower(px)) - px).max() <= 1e-12
    assert abs((px * y).sum() - (x * py).sum()) <= 1e-10
    used = one.map.count() > 0
    cells = rng.standard_normal(100)
    assert np.abs(one.lower(one.lift(cells)) - cells)[used].max() <= 1e-12


def test_collapsible_subspaces_are_nested():
    rng = np.random.default_rng(0)
    small, large = (HashedArray(m).view(index_map("collapsible", (200, 8), m, 5)) for m in (64, 1024))
    lifted = small.lift(rng.standard_normal(64))
    assert np.abs(lifted - large.lift(large.lower(lifted))).max() <= 1e-12
    other = HashedArray(1024).view(index_map("collapsible", (200, 8), 1024, 6))
    residual = lifted - other.lift(other.lower(lifted))
    assert np.linalg.norm(residual) / np.linalg.norm(lifted) > 0.2


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad"])
def test_scaled_steps_do_not_depend_on_how_the_array_was_initialised(optimizer):
    def run(init_std):
        rng = np.random.default_rng(0)
        array = HashedArray(300, init_std=init_std, seed=2, grad_scale=True)
        views = [array.view("fold", (40, 10), std=0.3), array.view("fold", (20, 10), std=0.05)]
        target = [rng.standard_normal(one.shape) for one in views]
        for t in range(10):
            total = array.gradient()
            for one, goal in zip(views, target):
                total.join(one.gradient(np.arange(len(one)), one.gather() - goal))
            array.step(total, make_optimizer(optimizer, 0.05), t)
        return np.concatenate([one.gather().ravel() for one in views])

    first = run(1.0)
    for init_std in (2.0**-10, 0.04, 8.0):
        # where gradients are normalised, rounding of the smallest ones grows unless scales are powers of two
        bound = 1e-6 if optimizer == "sgd" or init_std != 0.04 else 1e-5
        assert np.abs(run(init_std) - first).max() <= bound * np.abs(first).max()


def test_at_compression_one_fold_trains_as_the_full_matrix():
    """The map is a bijection, and scaled steps are those of the matrix itself."""
    rng = np.random.default_rng(0)
    array = HashedArray(200, init_std=1.0, grad_scale=True)
    one = array.view("fold", (20, 10), std=0.1)
    plain, goal = one.gather(), rng.standard_normal((20, 10)).astype(np.float32)
    for t in range(10):
        array.step(one.gradient(np.arange(20), one.gather() - goal), make_optimizer("sgd", 0.1), t)
        plain -= np.float32(0.1) * (plain - goal)
    assert np.allclose(one.gather(), plain, atol=1e-5)


def test_sizes_and_refusals():
    array = HashedArray(1000)
    assert array.view("robe", (2000, 10)) and array.compression == 20 and array.nbytes == 4000
    assert array.count().sum() == 20_000
    for call, message in [
        (lambda: array.view("robe"), "shape is missing"),
        (lambda: array.view(index_map("robe", (5, 5), 10)), "addresses 10 cells, the array has 1000"),
        (lambda: array.view(index_map("robe", (5, 5), 1000), (5, 5)), "has its own shape"),
        (lambda: array.view("robe", (5, 5), std=1.0, scale=1.0), "std or scale"),
        (lambda: array.views[0].gradient([1], np.zeros((2, 10))), r"needed is \(1, 10\)"),
        (lambda: array.views[0].lift(np.zeros(3)), r"needed is \(1000,\)"),
        (lambda: array.views[0].lower(np.zeros((3, 3))), r"needed is \(2000, 10\)"),
        (lambda: HashedArray(0), "cells"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_no_rows():
    one = view("robe")
    assert one.gather(np.zeros(0, int)).shape == (0, 6)
    assert not one.gradient(np.zeros(0, int), np.zeros((0, 6))).dense().any()


@pytest.mark.parametrize("name", NAMES)
def test_products_and_rows_are_those_of_the_lifted_matrix(name):
    """More rows and entries than are multiplied at once, in an array so small that blocks run over its end."""
    rng = np.random.default_rng(0)
    one = view(name, (150, 1100), 3 * 1100 * 13 if name == "compositional" else 3001, scale=0.3)
    matrix = one.lift(one.array.values.astype(np.float64))
    assert np.abs(one.gather() - matrix).max() < 1e-6 and np.array_equal(np.asarray(one), one.gather())
    for n in (1, 2, 7):
        X = rng.standard_normal((n, 1100)).astype(np.float32)
        assert np.allclose(one.product(X), X @ matrix.T, atol=2e-4 * np.abs(matrix).max() * 33)


@pytest.mark.parametrize("width, block", [(31, 31), (64, 16), (130, 48), (200, 96)])
def test_signs_of_parts_of_a_row(width, block):
    """Blocks that begin and end anywhere in a group of signs."""
    one = HashedArray(400).view("robe", (20, width), block=block)
    assert np.abs(one.gather() - one.lift(one.array.values)).max() == 0
    X = np.random.default_rng(0).standard_normal((3, width)).astype(np.float32)
    assert np.allclose(one.product(X), X @ one.gather().T, atol=1e-4)
