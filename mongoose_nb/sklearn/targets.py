"""What y is, for estimators: classes, an indicator, lists of label ids, or lists of names."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.labels import as_labels
from mongoose_nb.core.validation import check_int, unmasked

if TYPE_CHECKING:

    import scipy.sparse

try:
    from sklearn.exceptions import DataConversionWarning
except ImportError:
    DataConversionWarning = UserWarning

_COLUMN = ("A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples, ), for example using "
           "ravel()")


class Targets:
    """What y is: a class vector, an indicator, lists of ids or of names, and the dtype of predictions.

    Attributes
    ----------
    y : array, sparse matrix or list
    form : {"classes", "dense", "sparse", "ids", "names"}
    multilabel : bool
        All forms but ``"classes"``.
    dtype : numpy.dtype
        Of predictions; whole numbers where y is lists of ids.
    """

    def __init__(self, y: Any) -> None:
        import scipy.sparse as sp

        if y is None:
            raise ValueError("a classifier requires y to be passed, but the target y is None")
        if not sp.issparse(y) and not isinstance(y, list | tuple):
            y = unmasked(y, "y")
        if sp.issparse(y):
            self.form, self.dtype = "sparse", y.dtype
        elif isinstance(y, np.ndarray) and y.ndim == 0:
            raise ValueError(f"y is a single value ({y}); expected one class or row of labels for each row of X")
        elif isinstance(y, np.ndarray) and (y.ndim > 1 or y.dtype != object):
            self._read_array(y)
            return
        elif len(y) and all(hasattr(row, "__len__") and not isinstance(row, str | bytes) for row in y):
            if is_names(y):
                self.form, self.dtype = "names", np.dtype(object)
                self.y, self.multilabel = [[str(name) for name in row] for row in y], True
                return
            if is_nested_indicator(y):
                self._read_array(np.asarray(y))
                return
            self.form, self.dtype = "ids", np.dtype(np.int64)
        else:
            try:
                y = as_labels(y)
            except ValueError as error:
                if not any(hasattr(row, "__len__") for row in y):
                    raise
                raise ValueError(f"y: expected rows that all are classes, or all lists of ids ({error})") from error
            self._read_array(y)
            return
        self.y, self.multilabel = y, True

    def _read_array(self, y):
        self.form, self.multilabel = "classes", False
        if y.ndim == 2 and y.shape[1] == 1:
            warnings.warn(f"{_COLUMN}; an indicator of one label can be given as CSR", DataConversionWarning, stacklevel=5)
            y = y[:, 0]
        elif y.ndim == 2:
            self.form, self.multilabel = "dense", True
        elif y.ndim != 1:
            raise ValueError(f"y has shape {y.shape}; expected (n,) classes or an (n, n_labels) indicator")
        if y.dtype.kind == "c":
            raise ValueError(f"Complex data not supported: y has dtype {y.dtype}")
        if y.dtype.kind == "f":
            if not np.isfinite(y).all():
                what = "NaN" if np.isnan(y).any() else "infinity"
                raise ValueError(f"Input y contains {what}; expected classes, or an indicator of 0 and 1")
            if self.form == "classes" and (y != np.floor(y)).any():
                raise ValueError("Unknown label type: continuous. y has values that are not whole: those of a "
                                 "regression? For classes give integers or strings")
        self.y, self.dtype = y, y.dtype

    def stated_classes(self, classes: Any, n_labels: int | None, first: bool) -> np.ndarray | None:
        """The classes, or the column numbers, that `partial_fit` was given; None where it was given neither.

        Parameters
        ----------
        classes : array_like or None
        n_labels : int or None
        first : bool
            Whether this is the first call, which has to know them.

        Returns
        -------
        ndarray or None
        """
        if first and not self.multilabel and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit: all that will ever occur")
        if first and self.form == "ids" and n_labels is None and classes is None:
            raise ValueError("n_labels must be passed on the first call to partial_fit with lists of label ids")
        if first and self.form == "names" and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit: the names of all labels so far")
        if n_labels is not None and (self.form in ("classes", "names") or classes is not None):
            raise ValueError("n_labels belongs to an indicator or lists of ids whose labels have no names; otherwise give classes")
        if n_labels is not None:
            return np.arange(check_int("n_labels", n_labels, low=1))
        if classes is None:
            return None
        if not self.multilabel:
            return unique_classes(classes, "classes")
        if isinstance(classes, str) or np.ndim(classes) != 1:
            raise ValueError("classes must be a list of the names of the labels")
        if self.form == "names":
            return unique_classes([str(name) for name in classes], "classes")
        named = as_labels(classes, "classes")  # of the columns, in their order
        if len(unique_classes(named, "classes")) != len(named):
            raise ValueError("classes has a name twice; every column needs one of its own")
        return named

    def encode(self, n_rows: int, classes: np.ndarray | None = None, *, strict: bool = True) -> tuple[np.ndarray, scipy.sparse.csr_matrix]:
        """(classes, canonical CSR (n_rows, n_classes)).

        `classes` is found where it is not given. Names that are none of them are refused, or, unless `strict`, left out.
        """
        from mongoose_nb.data.indicator import check_Y

        if self.form == "names":
            return self._encode_names(n_rows, classes, strict)
        if self.multilabel:
            Y = check_Y(self.y, n_outputs=None if classes is None else len(classes), n_rows=n_rows, name="y")
            return np.arange(Y.shape[1]) if classes is None else classes, Y
        if len(self.y) != n_rows:
            raise ValueError(f"y has {len(self.y)} rows, X has {n_rows}; they must describe the same samples")
        if classes is None:
            classes = unique_classes(self.y, "y")
        try:
            order = np.argsort(classes)  # classes that came later are behind the others
            place = order[np.minimum(np.searchsorted(classes, self.y, sorter=order), len(classes) - 1)]
            unknown = np.flatnonzero(classes[place] != self.y)
        except TypeError as error:
            raise TypeError(f"y has dtype {self.y.dtype}, the classes {classes.dtype}: {error}") from error
        if len(unknown):
            raise ValueError(f"y has the class {self.y[unknown[:1]].tolist()[0]!r} at row {unknown[0]}, which is none of the "
                             f"{len(classes)} classes; partial_fit has to be given all of them: classes=")
        return classes, check_Y(place, n_outputs=len(classes), name="y")

    def _encode_names(self, n_rows, classes, strict):
        from mongoose_nb.data.text import label_matrix

        if len(self.y) != n_rows:
            raise ValueError(f"y has {len(self.y)} rows, X has {n_rows}; they must describe the same samples")
        if classes is None:
            classes = np.unique([name for row in self.y for name in row])
        Y, unknown = label_matrix(self.y, classes)
        if strict and unknown:
            raise ValueError(f"y has the label {unknown[0]!r}, which is none of the {len(classes)} labels; partial_fit has to be given all "
                             "of them: classes=")
        return classes, Y


def class_vector(y: Any, n_rows: int | None = None) -> np.ndarray:
    """One class for each row, (n_rows,), or an error.

    Parameters
    ----------
    y : (n_rows,) classes
    n_rows : int, optional
        Any number by default.

    Returns
    -------
    ndarray
    """
    targets = Targets(y)
    if targets.multilabel:
        raise ValueError(f"y holds several labels a row ({targets.form}); expected one class for each row")
    if n_rows is not None and len(targets.y) != n_rows:
        raise ValueError(f"y must be {n_rows} classes, one for each row of X; got shape {targets.y.shape}")
    return np.asarray(targets.y)


def number_vector(y: Any, n_rows: int) -> np.ndarray:
    """One number for each row, (n_rows,) float64, or an error.

    Parameters
    ----------
    y : (n_rows,) numbers
    n_rows : int

    Returns
    -------
    ndarray
    """
    if y is None:
        raise ValueError("a regressor requires y to be passed, but the target y is None")
    y = np.asarray(y)
    if y.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: y has dtype {y.dtype}")
    y = y.astype(np.float64)
    if y.ndim == 2 and y.shape[1] == 1:
        warnings.warn(_COLUMN, DataConversionWarning, stacklevel=4)
        y = y[:, 0]
    if y.shape != (n_rows,):
        raise ValueError(f"y must be {n_rows} finite numbers, one for each row of X; got shape {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError(f"Input y contains {'NaN' if np.isnan(y).any() else 'infinity'}; expected finite numbers")
    return y


def is_names(y: Any) -> bool:
    """Whether lists hold strings; a TypeError if they hold others besides."""
    kinds = {isinstance(name, str) for row in y for name in (row.tolist() if isinstance(row, np.ndarray) else row)}
    if kinds == {True, False}:
        raise TypeError("y has rows with strings and rows with other labels; give names (strings) or ids (whole numbers) alone")
    return kinds == {True}


def is_nested_indicator(y: Any) -> bool:
    """Whether lists hold 0 and 1 only and are of one length above 2: ids would repeat in every row."""
    length = len(y[0])
    return length > 2 and all(len(row) == length and all(np.ndim(x) == 0 and x in (0, 1) for x in row) for row in y)


def unique_classes(values: Any, name: str) -> np.ndarray:
    """Sorted distinct classes."""
    try:
        return np.unique(as_labels(values, name))
    except TypeError as error:
        raise TypeError(f"{name} mixes classes that cannot be sorted; give one type, such as strings "
                        f"({error})") from error
