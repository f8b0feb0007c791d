"""The output layer on one list for the batch, and over all outputs, against float64; exact top k."""

import naive_nn
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.kernels.layers import wide
from mongoose_nb.kernels.layers.rows import State
from mongoose_nb.nn import SGD

D = 6


def run(n, n_rows, ids, shifts, labels, logistic, seed=0):
    """Forward, backward and a step of SGD with rate 1, as the layer calls them; a dict of what came out."""
    rng = np.random.default_rng(seed)
    H, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, D), (n_rows, D), n_rows))
    everything = ids is None
    m = n_rows if everything else len(ids)
    listed = np.arange(n_rows) if everything else ids
    passed = np.zeros(0, np.int32) if everything else ids
    blocks, threads = wide.count_blocks(m), numba.get_num_threads()
    Z, top, total = np.empty((m, n), np.float32), np.empty((blocks, n), np.float32), np.empty((blocks, n), np.float32)
    shifts = np.asarray(shifts, np.float32)
    R = W if everything else np.empty((m, D), np.float32)
    place = {int(row): p for p, row in enumerate(listed)}
    columns = np.array([place[j] for row in labels for j in row], np.int32)
    count = np.array([len(row) for row in labels], np.int64)
    ptr, sample, value = np.empty(m + 1, np.int64), np.empty(len(columns), np.int32), np.empty(len(columns), np.float32)
    log_z, loss = np.zeros(n, np.float32), np.empty(n, np.float32)
    part, partial = np.empty((threads, n, D), np.float32), np.empty((wide.count_groups(blocks), n, D), np.float32)
    grad, G, squares = np.empty((n, D), np.float32), np.empty((m, D), np.float32), np.zeros(blocks)
    with one_blas_thread():
        shared, targets = wide.Shared(passed, everything, m, shifts), wide.Targets(count, ptr, sample, value)
        wide.group_targets(read_only(columns), logistic, targets)
        wide.logits_shared(H, W, b, shared, targets, logistic, R, Z, wide.Sums(top, total))
        logits = Z.copy()
        wide.finish_loss(targets, logistic, Z, wide.Sums(top, total), log_z, loss)
        wide.backward_shared(H, R, shared, targets, logistic, Z, log_z, np.full(n, 1 / n, np.float32), wide.Partial(part, partial), grad,
                             wide.RowGradients(G, squares))
        W2, b2, c = W.copy(), b.copy(), SGD(1.0).constants(1)
        wide.apply_shared(H, State(W2, W2, W2), State(b2, b2, b2), shared, Z, 0, c, c, np.empty((threads, wide.BLOCK, D), np.float32))
    return {"H": H, "W": W, "b": b, "logits": logits, "log_z": log_z, "loss": loss, "delta": Z, "grad": grad, "G": G,
            "square": squares.sum(), "dW": W - W2, "db": b - b2}


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 9), m=st.sampled_from([1, 3, 9, 257, 2049]), contiguous=st.booleans(), logistic=st.booleans(),
       corrected=st.booleans(), seed=st.integers(0, 99))
def test_loss_gradient_and_step(n, m, contiguous, logistic, corrected, seed):
    """Corrections by output spare a sample's own labels."""
    rng = np.random.default_rng(seed)
    n_rows = m if contiguous else m + 40
    ids = None if contiguous else rng.permutation(n_rows)[:m].astype(np.int32)
    shifts = 3 * rng.random(m * corrected)
    listed = np.arange(m) if contiguous else ids
    labels = [rng.choice(listed[:20], min(m, i % 4), replace=False).tolist() for i in range(n)]
    out = run(n, n_rows, ids, shifts, labels, logistic, seed)
    z = out["H"].astype(float) @ out["W"][listed].T + out["b"][listed]
    y = np.array([np.isin(listed, row) for row in labels]) * 1.0
    weight = np.where(y > 0, 1, np.exp(shifts) if corrected else 1)
    losses, delta = naive_nn.loss_and_delta(z, y, weight, "logistic" if logistic else "softmax")
    shifted = z if logistic else z + np.log(weight)
    np.testing.assert_allclose(out["logits"], shifted.T, atol=1e-5)
    np.testing.assert_allclose(out["loss"], losses, rtol=1e-5, atol=1e-4)
    if not logistic:
        np.testing.assert_allclose(out["log_z"], np.log(np.exp(shifted).sum(1)), atol=1e-5)
    delta = delta / n
    np.testing.assert_allclose(out["delta"], delta.T, atol=3e-6)
    np.testing.assert_allclose(out["grad"], delta @ out["W"][listed], atol=2e-4 if logistic else 2e-5)
    G = delta.T @ out["H"]
    np.testing.assert_allclose(out["G"], G, atol=1e-5)
    assert out["square"] == pytest.approx((G**2).sum() + (delta.sum(0) ** 2).sum(), rel=1e-4, abs=1e-9)
    rest = np.setdiff1d(np.arange(n_rows), listed)
    np.testing.assert_allclose(out["dW"][listed], G, atol=1e-5)
    np.testing.assert_allclose(out["db"][listed], delta.sum(0), atol=1e-5)
    assert not out["dW"][rest].any() and not out["db"][rest].any()


@given(m=st.integers(1, 10**6))
def test_blocks_have_equal_shares_for_2_4_and_8_threads(m):
    blocks = wide.count_blocks(m)
    sizes = np.diff(np.arange(blocks + 1) * m // blocks)
    assert blocks % 8 == 0 and sizes.sum() == m and sizes.max() <= wide.BLOCK and np.ptp(sizes) <= 1


@pytest.mark.parametrize("logistic", [False, True])
def test_same_bits_for_any_number_of_threads(logistic):
    threads, results = numba.get_num_threads(), []
    for t in {1, threads}:
        numba.set_num_threads(t)
        out = run(40, 5000, None, np.linspace(0, 2, 5000), [[i, i + 7] for i in range(40)], logistic)
        results.append(tuple(np.asarray(array).tobytes() for array in out.values()))
    numba.set_num_threads(threads)
    assert len(set(results)) == 1


@settings(deadline=None, max_examples=30)
@given(n=st.sampled_from([1, 5, 6, 13]), n_rows=st.sampled_from([1, 31, 32, 33, 256, 257, 700]), k=st.integers(1, 40),
       sample_block=st.sampled_from([1, 6, 256]), n_ranges=st.sampled_from([1, 3, 16]), seed=st.integers(0, 99))
def test_topk(n, n_rows, k, sample_block, n_ranges, seed):
    rng = np.random.default_rng(seed)
    H, W = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((n, D), (n_rows, D)))  # many ties, exact arithmetic
    b = rng.integers(-2, 3, n_rows).astype(np.float32)
    scores, ids = np.empty((n_ranges, n, k), np.float32), np.empty((n_ranges, n, k), np.int32)
    with one_blas_thread():
        wide.topk_exact(H, W, b, min(sample_block, n), n_ranges, scores, ids)
    z = H @ W.T + b
    for part in range(n_ranges):
        lo, hi = part * n_rows // n_ranges, (part + 1) * n_rows // n_ranges
        order = np.argsort(-z[:, lo:hi], axis=1, kind="stable")[:, :k]
        missing = [(0, 0), (0, k - order.shape[1])]
        np.testing.assert_array_equal(ids[part], np.pad(order + lo, missing, constant_values=-1))
        np.testing.assert_array_equal(scores[part], np.pad(np.take_along_axis(z[:, lo:hi], order, 1), missing, constant_values=-np.inf))
