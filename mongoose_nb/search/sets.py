"""Sets as CSR rows: what `find_duplicates` and `DuplicateFinder` take."""

from __future__ import annotations

import hashlib
import numbers
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.validation import unmasked
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.metrics import Jaccard
from mongoose_nb.search.rows.sparse import SparseRows

if TYPE_CHECKING:
    import scipy.sparse

    Sets = np.ndarray | scipy.sparse.csr_matrix | Sequence[Iterable[Hashable]]

#: columns of members that are hashed
HASHED = 2**31 - 1
_HOW = ("a set is a row of a CSR matrix, a row of a two-dimensional array (members are the columns that are not zero), or a list of its "
        "members")
_TEXT = "text is not a set: make sets of its words or characters with mongoose_nb.shingles(texts)"


def member_column(member: Hashable, dim: int = HASHED) -> int:
    """The column, below `dim`, of a member of a set: a hash that is the same in every process.

    Parameters
    ----------
    member : str, bytes or int
    dim : int
    """
    if isinstance(member, str):
        data = b"s" + member.encode("utf-8", "surrogatepass")
    elif isinstance(member, bytes):
        data = b"b" + member
    elif isinstance(member, numbers.Integral | np.bool_) or isinstance(member, float | np.floating) and float(member).is_integer():
        data = b"i%d" % int(member)
    else:
        raise TypeError(f"a member that is hashed must be a string, bytes or an integer; got {member!r}: give its name instead")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") % dim


def as_sets(sets: Sets, column: Callable[[Hashable], int] | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """Sets as CSR parts with ascending members.

    Parameters
    ----------
    sets : CSR matrix, two-dimensional array, or sequence of iterables
        Members are the columns that are not zero. Those of an iterable are any hashable objects.
    column : callable, optional
        Gives the column of a member of an iterable. By default members are numbered as they come.

    Returns
    -------
    indptr : ndarray of shape (n + 1,), int64
    indices : ndarray of shape (indptr[-1],), int32
    dim : int
        Number of columns.

    Raises
    ------
    TypeError, ValueError
        Text, NaN, or something else that is not a set.
    """
    if is_sparse(sets):
        values = sets.data
        if values.dtype.kind in "fc" and np.isnan(values).any():
            raise ValueError("sets hold NaN, which is neither a member nor none; replace it first, for instance with numpy.nan_to_num")
        if sets.shape[1] > HASHED:
            raise ValueError(f"sets have {sets.shape[1]} columns, and at most {HASHED} fit int32; number those that occur with "
                             "numpy.unique")
        return _checked(sets, sets.shape[1])
    if isinstance(sets, str | bytes | os.PathLike):
        raise TypeError(f"sets is {type(sets).__name__} {sets!r:.60}; {_TEXT}")
    if isinstance(sets, Mapping):
        raise TypeError(f"sets is a {type(sets).__name__}; give a list of sets, such as list(sets.values())")
    if hasattr(sets, "__array__") and getattr(sets, "ndim", 1) != 1:
        return _of_array(unmasked(sets, "sets"))
    if isinstance(sets, np.ndarray) and sets.dtype.kind not in "OUS":
        raise TypeError(f"sets is an array of shape {sets.shape} and dtype {sets.dtype}; {_HOW}")
    return _of_lists(sets, column)


def _checked(X, dim):
    return *SparseRows(Jaccard(), dim).check(X)[:2], dim


def _of_array(X):
    if X.ndim != 2 or X.dtype.kind not in "biuf":
        raise TypeError(f"sets is an array of shape {X.shape} and dtype {X.dtype}; {_HOW}")
    if X.dtype.kind == "f" and np.isnan(X).any():
        raise ValueError("sets hold NaN, which is neither a member nor none; replace it first, for instance with numpy.nan_to_num")
    from scipy.sparse import csr_matrix

    dim = max(X.shape[1], 1)
    there = csr_matrix(X != 0)
    return _checked(csr_matrix((there.data, there.indices, there.indptr), shape=(X.shape[0], dim)), dim)


def _of_lists(sets, column):
    columns, indptr, members, ordered = {}, [0], [], True
    for place, one in enumerate(sets):
        ordered = ordered and isinstance(one, list | tuple | np.ndarray)
        if isinstance(one, str | bytes | os.PathLike):
            raise TypeError(f"sets[{place}] is {type(one).__name__} {one!r:.60}; {_TEXT}")
        try:
            one = iter(one)
        except TypeError:
            raise TypeError(f"sets[{place}] is {one!r:.60}; {_HOW}") from None
        for member in one:
            try:
                number = columns.get(member)
            except TypeError:
                raise TypeError(f"sets[{place}] has the member {member!r:.60}, which is not hashable; give strings or numbers") from None
            if number is None:
                if member is None or isinstance(member, numbers.Number | np.generic) and member != member:
                    raise ValueError(f"sets[{place}] has the member {member!r}, which stands for a missing value; leave it out")
                number = columns[member] = len(columns) if column is None else column(member)
            members.append(number)
        indptr.append(len(members))
    if ordered and columns and columns.keys() <= {0, 1} and len(set(np.diff(indptr).tolist())) == 1 and indptr[1] > 2:
        raise ValueError(f"sets are lists of {indptr[1]} zeros and ones each: give numpy.array(sets) if they say which columns are "
                         "members, and lists without repeats if 0 and 1 are the members")
    from scipy.sparse import csr_matrix

    dim = max(len(columns), 1) if column is None else HASHED
    shape = len(indptr) - 1, dim
    return _checked(csr_matrix((np.ones(len(members), bool), np.array(members, np.int32), np.array(indptr, np.int64)), shape=shape), dim)
