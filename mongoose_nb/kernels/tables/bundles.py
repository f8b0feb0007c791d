"""Arguments of the retrieval kernels that belong together. This file needs no Numba, so callers can import it at once."""

from typing import NamedTuple

import numpy as np


class Views(NamedTuple):
    """What is read of hash tables: ids by table, (start, size) of every bucket, and the codes of the queries.

    The ids in `always` come before all that buckets hold: rows that the tables have in the wrong place.
    """

    pool: np.ndarray  # (L, P) int32
    spans: np.ndarray  # (L, buckets, 2) int32
    codes: np.ndarray  # (L, n) unsigned
    always: np.ndarray = np.zeros(0, np.int32)  # different ids


class Labels(NamedTuple):
    """Ids of samples: those of sample i are ``ids[start[i] : start[i] + count[i]]``."""

    start: np.ndarray  # (n,) int64
    count: np.ndarray  # (n,) int64
    ids: np.ndarray  # int32


class Selection(NamedTuple):
    """Which ids are taken from the tables, and how."""

    use_tables: bool
    counted: bool  # votes are counted without a list of who has some: at most 253 tables, not for whole buckets
    whole_buckets: bool  # whole buckets of tables in random order; else ids by their votes
    min_votes: int
    head: int  # most ids from the tables
    fill: bool  # whether random ids make up the rest


class Alias(NamedTuple):
    """A distribution over the rows, from which one is drawn in constant time: a cell at random, then one of the two rows in it.

    Without cells, rows are drawn uniformly, and none twice.
    """

    cells: np.ndarray = np.zeros((0, 2), np.uint32)  # (n_rows, 2): 2^32 times the share of row i in cell i; the row that has the rest
    log_rest: np.ndarray = np.zeros(0)  # (n_rows,) float64: logarithm of the probability that a draw is not row i


class Draw(NamedTuple):
    """The key of the random choices, those of sample i by (seed, step, places[i]), and the `Alias` that they are made from."""

    seed: np.uint64
    step: np.uint64
    places: np.ndarray  # (n,) int64
    n_rows: int
    cells: np.ndarray
    log_rest: np.ndarray


class Scratch(NamedTuple):
    """Memory of each thread, restored after use."""

    mark: np.ndarray  # (T, n_rows or more, a multiple of LANES) uint8 zeros
    touched: np.ndarray  # (T, n_rows + LANES) int32


class Sets(NamedTuple):
    """What `active_sets` fills: sample i gets up to ``sizes[i]`` ids from ``ids[start[i]]`` on."""

    sizes: np.ndarray  # (n,) int64
    start: np.ndarray  # (n,) int64
    ids: np.ndarray  # int32
    n_label: np.ndarray  # (n,) int64
    n_exact: np.ndarray  # (n,) int64, labels + retrieved
    n_active: np.ndarray  # (n,) int64
    n_hit: np.ndarray  # (n,) int64, labels seen in the buckets
    shifts: np.ndarray  # float32, as `ids`: logarithms of the weights of what is drawn from an `Alias`; else empty


class Marks(NamedTuple):
    """Scratch of one thread while it serves one sample."""

    mark: np.ndarray  # uint8
    touched: np.ndarray  # int32, ids that have votes; with counting, ties
    reach: np.ndarray  # (256,) int64
    blocks: np.ndarray  # int32, numbers of blocks of marks
    found: np.ndarray  # int32
