"""Which blocks of a matrix Pixelated Butterfly stores, and how a budget of parameters is shared among layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mongoose_nb.core.validation import check_int, check_number

# Share of a layer's budget that the low-rank term gets (Chen et al., 2022, section 3.3: a quarter to a third).
LOW_RANK = 0.25


def _check_power(name, n, high):
    n = check_int(name, n, low=1, high=high)
    if n & (n - 1):
        raise ValueError(f"{name} must be a power of two, such as {1 << (n.bit_length() - 1)}; got {n}")
    return n


def _power_below(n):
    return 1 << (n.bit_length() - 1)


def butterfly_factor(n: int, stride: int) -> np.ndarray:
    """One factor of a butterfly: entries (i, i) and (i, i xor stride).

    Parameters
    ----------
    n : int
        A power of two.
    stride : int
        A power of two below n.

    Returns
    -------
    (n, n) bool array
    """
    n = _check_power("n", n, 1 << 20)
    stride = _check_power("stride", stride, max(1, n // 2))
    i = np.arange(n)
    out = np.eye(n, dtype=bool)
    out[i, i ^ stride] |= n > 1
    return out


def grid_of(out: int, in_: int, block: int) -> tuple[int, int]:
    """Numbers of block rows and block columns; the last ones may be cut."""
    return -(-out // block), -(-in_ // block)


def most_strides(out: int, in_: int, block: int) -> int:
    """The largest butterfly for a matrix: a power of two, at most the number of block rows and of block columns."""
    return _power_below(min(grid_of(out, in_, block)))


def pixelfly_mask(out: int, in_: int, block: int = 32, butterfly_size: int | None = None, rank: int = 0, n_global: int = 0) -> np.ndarray:
    """The flat block butterfly: blocks of all factors of a butterfly, added instead of multiplied.

    Block (i, j) is stored where j = i, or where j = i xor s for a stride s of 1, 2, 4, ... below `butterfly_size`: of a square matrix of nb
    by nb blocks, nb a power of two, nb (1 + log2(butterfly_size)) blocks. For other shapes the mask of a square is stretched.

    Parameters
    ----------
    out, in_ : int
        Rows and columns of the matrix.
    block : int
        Rows and columns of a block. Where it does not divide them, the last blocks are cut.
    butterfly_size : int, optional
        A power of two, at most the number of block rows and of block columns; by default the largest.
    rank : int
        Of the low-rank matrix beside the blocks. It stores no blocks: the mask is that of rank 0. It is checked, so that the settings of a
        layer can be given as they are.
    n_global : int
        So many first block rows and block columns are stored as a whole.

    Returns
    -------
    (block rows, block columns) bool array

    References
    ----------
    Chen et al., "Pixelated Butterfly: Simple and efficient sparse training for neural network models", ICLR 2022.
    """
    out, in_ = check_int("out", out, low=1), check_int("in_", in_, low=1)
    block = check_int("block", block, low=1)
    check_int("rank", rank, low=0, high=min(out, in_))
    rows, columns = grid_of(out, in_, block)
    n_global = check_int("n_global", n_global, low=0, high=max(rows, columns))
    most = most_strides(out, in_, block)
    size = most if butterfly_size is None else _check_power("butterfly_size", butterfly_size, most)
    square = np.eye(most, dtype=bool)
    for level in range(size.bit_length() - 1):
        square |= butterfly_factor(most, 1 << level)
    mask = square[np.ix_(np.arange(rows) * most // rows, np.arange(columns) * most // columns)]
    mask[:n_global] = True
    mask[:, :n_global] = True
    return mask


def split_layer(out: int, in_: int, block: int, parameters: float, low_rank: float = LOW_RANK) -> tuple[int, int]:
    """(butterfly_size, rank) that a number of parameters pays for.

    The butterfly is the largest whose blocks cost no more than ``1 - low_rank`` of them; the low-rank matrix takes the rest.

    Raises
    ------
    ValueError
        If they do not pay for the blocks along the diagonal.
    """
    size, most, found = 1, most_strides(out, in_, block), None
    while size <= most:
        cost = int(pixelfly_mask(out, in_, block, size).sum()) * block**2
        if cost > (parameters if found is None else (1.0 - low_rank) * parameters):
            break
        found = size, cost
        size *= 2
    if found is None:
        raise ValueError(f"a matrix of {out} x {in_} with blocks of {block} has {cost:,} parameters along the diagonal alone; the budget "
                         f"leaves {max(0, int(parameters)):,} for them: give {_cheaper(out, in_, block, parameters)}a larger budget "
                         "(density), or use a dense layer")
    return found[0], min(min(out, in_), int((parameters - found[1]) // (out + in_)))


def _cheaper(out, in_, block, parameters):
    """Advice to take smaller blocks, where the budget pays for some."""
    while block > 1:
        block = _power_below(block - 1)
        if int(pixelfly_mask(out, in_, block, 1).sum()) * block**2 <= parameters:
            return "smaller blocks, "
    return ""


def pixelfly_budget(shapes: Sequence[tuple[int, int]], parameters: float, block: int = 32, low_rank: float = LOW_RANK) -> list[dict]:
    """Share a budget of parameters among the layers of a model, in proportion to their cost when dense.

    Parameters
    ----------
    shapes : sequence of (out, in)
        Of the layers' matrices.
    parameters : float
        The budget: a number of parameters, or below 1 a share of those of the dense layers.
    block : int
    low_rank : float
        Share of a layer's part that its low-rank matrix gets at least, where the butterfly can be that small.

    Returns
    -------
    list of dict
        ``block``, ``butterfly_size``, ``rank`` and ``n_params`` of every layer; the first three are arguments of `nn.Pixelfly`. The sum of
        ``n_params`` is at most the budget.

    Raises
    ------
    ValueError
        If the budget does not pay for the blocks along a layer's diagonal.

    Examples
    --------
    >>> from mongoose_nb.structured import pixelfly_budget
    >>> [(part["butterfly_size"], part["rank"]) for part in pixelfly_budget([(1024, 1024), (4096, 1024)], 0.2)]
    [(8, 38), (8, 61)]
    """
    shapes = [(check_int("out", out, low=1), check_int("in", in_, low=1)) for out, in_ in shapes]
    block = check_int("block", block, low=1)
    low_rank = check_number("low_rank", low_rank, low=0.0, high=1.0)
    parameters = check_number("parameters", parameters, low=0.0, open_low=True)
    dense = sum(math.prod(shape) for shape in shapes)
    share = parameters if parameters < 1 else min(1.0, parameters / max(1, dense))
    found = []
    for out, in_ in shapes:
        size, rank = split_layer(out, in_, block, share * out * in_, low_rank)
        cost = int(pixelfly_mask(out, in_, block, size).sum()) * block**2 + rank * (out + in_)
        found.append({"block": block, "butterfly_size": size, "rank": rank, "n_params": cost})
    return found
