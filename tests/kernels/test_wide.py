"""The output layer on one list for the batch, and over all outputs, against float64; exact top k."""

import naive_nn
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.kernels import wide
from mongoose_nb.kernels._threads import one_blas_thread
from mongoose_nb.nn import SGD

D = 6


def run(n, n_rows, ids, n_exact, shift, labels, logistic, seed=0):
    """Forward, backward and a step of SGD with rate 1, as the layer calls them; a dict of what came out."""
    rng = np.random.default_rng(seed)
    H, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, D), (n_rows, D), n_rows))
    everything = ids is None
    m = n_rows if everything else len(ids)
    listed = np.arange(n_rows) if everything else ids
    passed = np.zeros(0, np.int32) if everything else ids
    blocks = -(-m // wide.BLOCK)
    Z, top, total = np.empty((m, n), np.float32), np.empty((blocks, n), np.float32), np.empty((blocks, n), np.float32)
    shift = np.float32(shift)
    with one_blas_thread():
        wide.logits_shared(H, W, b, passed, everything, m, n_exact, shift, logistic, Z, top, total)
        logits = Z.copy()
        place = {int(row): p for p, row in enumerate(listed)}
        pairs = sorted((place[j], i, 1.0 if logistic else 1 / len(row)) for i, row in enumerate(labels) for j in row)
        column, sample = (np.array([p[k] for p in pairs], np.int64) for k in (0, 1))
        value = np.array([p[2] for p in pairs], np.float32)
        active = np.array([1.0 if logistic or row else 0.0 for row in labels], np.float32)
        log_z = np.zeros(n, np.float32)
        if not logistic:
            peak = top.max(0)
            log_z = peak + np.log((total * np.exp(top - peak)).sum(0))
        pair_ptr = np.searchsorted(column, np.arange(blocks + 1) * wide.BLOCK)
        partial, G, squares = np.empty((wide.GROUPS, n, D), np.float32), np.empty((m, D), np.float32), np.zeros(blocks)
        wide.backward_shared(H, W, passed, everything, m, n_exact, shift, logistic, Z, log_z, np.float32(1 / n), active, column, sample,
                             value, pair_ptr, partial, G, squares)
        W2, b2, c = W.copy(), b.copy(), SGD(1.0).constants(1)
        wide.apply_shared(H, W2, W2, W2, b2, b2, b2, passed, everything, m, Z, 0, c, c)
    return {"H": H, "W": W, "b": b, "logits": logits, "log_z": log_z, "total": total, "delta": Z, "grad": partial.sum(0), "G": G,
            "square": squares.sum(), "dW": W - W2, "db": b - b2}


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 9), m=st.sampled_from([1, 3, 255, 256, 257, 520]), contiguous=st.booleans(), logistic=st.booleans(),
       seed=st.integers(0, 99))
def test_loss_gradient_and_step(n, m, contiguous, logistic, seed):
    rng = np.random.default_rng(seed)
    n_rows = m if contiguous else m + 40
    ids = None if contiguous else rng.permutation(n_rows)[:m].astype(np.int32)
    n_exact = m if contiguous else int(rng.integers(min(m, 3), m + 1))
    shift = 0.0 if n_exact == m else 1.5
    exact = np.arange(m)[:n_exact] if contiguous else ids[:n_exact]
    labels = [rng.choice(exact, min(len(exact), i % 4), replace=False).tolist() for i in range(n)]
    out = run(n, n_rows, ids, n_exact, shift, labels, logistic, seed)
    listed = np.arange(m) if contiguous else ids
    z = out["H"].astype(float) @ out["W"][listed].T + out["b"][listed]
    weight = np.where(np.arange(m) < n_exact, 1, np.exp(shift)) * np.ones((n, 1))
    y = np.array([np.isin(listed, row) for row in labels]) * 1.0
    losses, delta = naive_nn.loss_and_delta(z, y, weight, "logistic" if logistic else "softmax")
    shifted = z if logistic else z + np.log(weight)
    np.testing.assert_allclose(out["logits"], shifted.T, atol=1e-5)
    if logistic:
        np.testing.assert_allclose(out["total"].sum(0) - (y * z).sum(1), losses, rtol=1e-5, atol=1e-4)
    else:
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


@pytest.mark.parametrize("logistic", [False, True])
def test_same_bits_for_any_number_of_threads(logistic):
    threads, results = numba.get_num_threads(), []
    for t in {1, threads}:
        numba.set_num_threads(t)
        out = run(40, 5000, None, 5000, 0.0, [[i, i + 7] for i in range(40)], logistic)
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
