"""The best of all outputs, by their exact scores."""

import numpy as np


def best_outputs(h, weights, bias, k):
    """Exact best k outputs of every row of `h`, best first, the lower id first among equals.

    Parameters
    ----------
    h : (n, d) float32 array
    weights, bias : (outputs, d) and (outputs,) float32 arrays
    k : int
        At most the number of outputs.

    Returns
    -------
    ids : (n, k) int32 array
    scores : (n, k) float32 array
    """
    from mongoose_nb.kernels.layers import wide

    n = len(h)
    sample_block = min(256, max(1, n))
    # few samples: cut the outputs, so that all threads have work; fixed numbers keep the result independent of threads
    ranges = 16 if n <= 2048 else 1
    scores = np.empty((ranges, n, k), np.float32)
    ids = np.empty((ranges, n, k), np.int32)
    wide.topk_exact(h, weights, bias, sample_block, ranges, scores, ids)
    if ranges == 1:
        return ids[0], scores[0]
    scores, ids = scores.transpose(1, 0, 2).reshape(n, -1), ids.transpose(1, 0, 2).reshape(n, -1)
    # ranges hold ascending ids, so a stable sort keeps the lower id first
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
