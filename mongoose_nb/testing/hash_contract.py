"""Exact checks of a hash family: a code depends on the row and on the hash functions only."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np

from mongoose_nb.testing.factories import as_factory, dim_of, over_threads
from mongoose_nb.testing.pairs import Metric, find_metric, rows_of
from mongoose_nb.testing.report import CheckFailed, Report, require, require_equal

_SINGLES = 40  # rows that are also hashed alone
_CHILD = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
make, seed, X = pickle.load(sys.stdin.buffer)
pickle.dump(make(seed).hash(X), sys.stdout.buffer)
"""


def check_hash_contract(family: Any, *, metric: str | Metric = "cosine", dim: int | None = None, rows: np.ndarray | None = None,
                        sparse: bool | None = None, another_process: bool = False, seed: int = 0) -> Report:
    """Run the exact checks of `check_hash_family`, which must hold for every row.

    Parameters
    ----------
    family, metric, dim, sparse, another_process, seed
        As in `check_hash_family`.
    rows : array_like of shape (n, dim), optional
        Rows to hash. They should include special cases, such as rows of zeros or ties, and be enough for all code paths of a
        batch. By default 600 pairs at the usual values of `metric`, some of them sparse.

    Returns
    -------
    Report

    Raises
    ------
    CheckFailed
        Named ``shape``, ``code range``, ``input unchanged``, ``determinism``, ``other process``, ``threads``, ``batch equals single``,
        ``dense equals CSR``, ``state round trip``, ``pickle`` or ``rebuild``.
    """
    make, report = as_factory(family), Report()
    family = make(seed)
    if rows is None:
        rows = rows_of(find_metric(metric), 600, dim_of(family, dim), np.random.default_rng(seed))
    X = np.array(rows)
    if X.ndim != 2 or len(X) < 2:
        raise ValueError(f"rows has shape {X.shape}; it must be (n, dim) with at least two rows")
    codes = np.array(family.hash(X.copy()))

    # What would make other checks fail as well comes before them.
    _shape(report, family, X, codes)
    S = _csr(report, family, X, sparse)
    _unchanged(report, family, X, S)
    _determinism(report, make, family, X, codes, seed)
    if another_process:
        _other_process(report, make, seed, X, codes)
    _threads(report, family, X, S, codes)
    _batch(report, family, X, codes)
    if S is not None:
        _dense_equals_csr(report, family, S, codes)
    _state(report, family, X, codes)
    _pickle(report, family, X, codes)
    _rebuild(report, make(seed), X, codes)
    return report


def _shape(report, family, X, codes):
    check = "shape"
    require(codes.ndim == 2 and len(codes) == len(X) and codes.shape[1] > 0, check,
            f"hash(X) of {len(X)} rows: observed {codes.shape}, expected ({len(X)}, L)", observed=codes.shape)
    require(codes.dtype.kind in "ui", check, f"observed codes of dtype {codes.dtype}, expected integers", observed=codes.dtype)
    L = getattr(family, "L", codes.shape[1])
    require(codes.shape[1] == L, check, f"observed {codes.shape[1]} columns, expected L = {L}", observed=codes.shape[1], expected=L)
    none = np.asarray(family.hash(X[:0].copy()))
    require(none.shape == (0, L), check, f"hash of no rows: observed {none.shape}, expected (0, {L})", observed=none.shape)
    report.holds(check)

    low, high, top = int(codes.min()), int(codes.max()), getattr(family, "n_buckets", None)
    require(top is None or 0 <= low <= high < top, "code range", f"observed codes from {low} to {high}, expected bound [0, {top}), "
            "which is n_buckets", observed=(low, high), bound=(0, top))
    report.holds("code range", f"{low} to {high}")


def _determinism(report, make, family, X, codes, seed):
    other = make(seed + 1).hash(X.copy())
    require_equal("determinism", family.hash(X.copy()), codes, "the same family asked again")
    require_equal("determinism", make(seed).hash(X.copy()), codes, f"another family of the same seed, {seed}")
    require(not np.array_equal(other, codes), "determinism",
            f"seeds {seed} and {seed + 1} give the same codes: observed 0 codes that differ, expected some: functions ignore the seed",
            observed=0)
    report.holds("determinism")


def _other_process(report, make, seed, X, codes):
    try:
        work = pickle.dumps(sys.path) + pickle.dumps((make, seed, X))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"another_process=True sends the factory to a new interpreter, but it cannot be pickled ({error}); give a "
                         "function or class of an importable module") from None
    done = subprocess.run([sys.executable, "-c", _CHILD], input=work, capture_output=True)
    if done.returncode:
        raise CheckFailed("other process", f"the family fails there: {done.stderr.decode(errors='replace').strip()[-400:]}")
    require_equal("other process", pickle.loads(done.stdout), codes, "a family of the same seed in a new interpreter")
    report.holds("other process")


def _batch(report, family, X, codes):
    check = "batch equals single"
    few = np.unique(np.linspace(0, len(X) - 1, min(len(X), _SINGLES)).astype(int))
    alone = np.concatenate([family.hash(X[i : i + 1].copy()) for i in few])
    require_equal(check, alone, codes[few], "rows hashed one by one")
    for cuts in ([1], [5, 14], [len(X) // 3, len(X) // 2 + 1], [len(X) - 1]):
        parts = np.concatenate([family.hash(part.copy()) for part in np.split(X, cuts)])
        require_equal(check, parts, codes, f"the batch cut at {cuts}")
    require_equal(check, family.hash(X[::-1].copy()), codes[::-1], "the batch in reverse order")
    report.holds(check)


def _csr(report, family, X, wanted):
    """The rows as CSR, or None where the family does not take them."""
    check = "dense equals CSR"
    if wanted is False:
        report.skip(check, "sparse=False")
        return None
    import scipy.sparse as sp

    S = sp.csr_array(X)
    try:
        family.hash(S.copy())
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        if wanted:
            raise CheckFailed(check, f"hash refuses a CSR array: {type(error).__name__}: {error}") from error
        report.skip(check, f"hash refuses a CSR array ({type(error).__name__})")
        return None
    return S


def _dense_equals_csr(report, family, S, codes):
    check = "dense equals CSR"
    require_equal(check, family.hash(S.copy()), codes, "CSR rows")
    few = range(min(S.shape[0], _SINGLES))
    require_equal(check, np.concatenate([family.hash(S[i : i + 1]) for i in few]), codes[: len(few)], "CSR rows one by one")
    report.holds(check)


def _unchanged(report, family, X, S):
    check, kept = "input unchanged", X.copy()
    locked = X.copy()
    locked.setflags(write=False)
    try:
        family.hash(locked)
    except ValueError as error:
        raise CheckFailed(check, f"hash refuses a read-only array, or writes to it: {error}") from error
    require_equal(check, locked, kept, "rows after hashing")
    if S is not None:
        before = [part.copy() for part in (S.indptr, S.indices, S.data)]
        family.hash(S)
        for part, was in zip((S.indptr, S.indices, S.data), before):
            require_equal(check, part, was, "CSR rows after hashing")
    report.holds(check)


def _threads(report, family, X, S, codes):
    def compare(got, wanted, what):
        for one, other, form in zip(got, wanted, ("dense", "CSR")):
            require_equal("threads", one, other, f"{what}, {form} rows")
        require_equal("threads", got[0], codes, what)

    over_threads(report, lambda: [family.hash(rows.copy()) for rows in (X, S) if rows is not None], compare)


def _state(report, family, X, codes):
    check = "state round trip"
    if not (hasattr(family, "state") and hasattr(family, "from_state")):
        report.skip(check, "no state and from_state")
        return
    copies = [type(family).from_state(family.state())]
    # A state must not share memory with the family it came from.
    state = family.state()
    copies.append(type(family).from_state({key: value.copy() if isinstance(value, np.ndarray) else value for key, value in state.items()}))
    for value in state.values():
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value.fill(0)
    require_equal(check, family.hash(X.copy()), codes, "the family after its state was overwritten")
    _same_family(check, family, copies, X, codes)
    report.holds(check)


def _pickle(report, family, X, codes):
    try:
        copies = [pickle.loads(pickle.dumps(family))]
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        report.skip("pickle", f"it cannot be pickled ({type(error).__name__})")
        return
    _same_family("pickle", family, [*copies, copy.deepcopy(family)], X, codes)
    report.holds("pickle")


def _same_family(check, family, copies, X, codes):
    version = getattr(family, "version", None)
    for twin in copies:
        require_equal(check, twin.hash(X.copy()), codes, "the copy")
        got = getattr(twin, "version", None)
        require(got == version, check, f"version of the copy: observed {got}, expected {version}", observed=got, expected=version)
    if hasattr(family, "rebuild"):
        for twin in copies:
            twin.rebuild()
        for twin in copies[1:]:
            require_equal(check, twin.hash(X.copy()), copies[0].hash(X.copy()), "two copies after rebuild()")
        require_equal(check, family.hash(X.copy()), codes, "the family after its copy was rebuilt")


def _rebuild(report, family, X, codes):
    check = "rebuild"
    if not hasattr(family, "rebuild"):
        report.skip(check, "no rebuild")
        return
    seen, version = [codes], getattr(family, "version", None)
    for number in (1, 2):
        family.rebuild()
        now = np.array(family.hash(X.copy()))
        for before in seen:
            require(not np.array_equal(now, before), check,
                    f"rebuild number {number} gives codes that were there before: observed 0 that differ, expected some", observed=0)
        seen.append(now)
        if version is not None:
            got = family.version
            require(got > version, check, f"version after rebuild number {number}: observed {got}, expected more than {version}",
                    observed=got, expected=version)
            version = got
    report.holds(check, "" if version is not None else "functions change; there is no version to count it")
