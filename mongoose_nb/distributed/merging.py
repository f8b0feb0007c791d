"""One answer from those of several shards."""

from __future__ import annotations

import numpy as np


def merge_answers(answers: list[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest k of what shards found: ids (n, k) and distances (n, k). Of equally near ones the lower id is first.

    Parameters
    ----------
    answers : list of (ids, distances)
    k : int
    """
    ids, distances = (np.concatenate(part, axis=1) for part in zip(*answers, strict=True))
    order = np.lexsort((ids, distances), axis=1)[:, :k]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(distances, order, axis=1)


def merge_radius(answers: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All rows that shards found within a distance: indptr (n + 1,), ids and distances, nearest first, the lower id first among equals.

    Parameters
    ----------
    answers : list of (indptr, ids, distances)
    """
    n = len(answers[0][0]) - 1
    query = np.concatenate([np.repeat(np.arange(n), np.diff(indptr)) for indptr, _, _ in answers])
    ids, distances = (np.concatenate([part[i] for part in answers]) for i in (1, 2))
    order = np.lexsort((ids, distances, query))
    return np.concatenate([[0], np.cumsum(np.bincount(query, minlength=n))]), ids[order], distances[order]
