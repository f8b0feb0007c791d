"""What the estimator takes of scikit-learn, which is optional, and small helpers.

Where scikit-learn is not installed a base of a few lines replaces its own, and all works the same but for the names of a data frame's
columns.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from mongoose_nb.core.validation import check_int

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Call = TypeVar("_Call", bound="Callable[..., Any]")

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import validate_data
except ImportError:
    NotFittedError, validate_data = AttributeError, None

    class ClassifierMixin:
        """Replaces scikit-learn's."""

        def score(self, X, y):
            """Share of the rows whose class is predicted."""
            return float(np.mean(self.predict(X) == np.asarray(y)))

    class RegressorMixin:
        """Replaces scikit-learn's."""

        def score(self, X, y):
            """Share of the variance of y that is predicted."""
            y = np.asarray(y, np.float64)
            return 1 - float(np.square(self.predict(X) - y).sum() / np.square(y - y.mean()).sum())

    class BaseEstimator:
        """Replaces scikit-learn's: constructor arguments as parameters."""

        @classmethod
        def _get_param_names(cls):
            return sorted(inspect.signature(cls).parameters)

        def get_params(self, deep=True):
            """Constructor arguments by name."""
            return {name: getattr(self, name) for name in self._get_param_names()}

        def set_params(self, **params):
            """Set constructor arguments; returns self."""
            known = self._get_param_names()
            for name, value in params.items():
                if name not in known:
                    raise ValueError(f"Invalid parameter {name!r} for estimator {self!r}. Valid parameters are: "
                                     f"{known}.")
                setattr(self, name, value)
            return self

        def __repr__(self):
            defaults = inspect.signature(type(self)).parameters
            changed = (f"{name}={value!r}" for name, value in self.get_params().items()
                       if repr(value) != repr(defaults[name].default))
            return f"{type(self).__name__}({', '.join(changed)})"


def feature_names(estimator: Any, X: Any) -> np.ndarray | None:
    """Names of a data frame's columns, as scikit-learn reads them for a new `estimator`; None without it, or where not all are
    strings."""
    if validate_data is None or not hasattr(X, "columns"):
        return None
    validate_data(estimator, X, skip_check_array=True)
    return getattr(estimator, "feature_names_in_", None)


def check_names(estimator: Any, X: Any) -> None:
    """Refuse a data frame whose columns have other names than those that `estimator` was fitted with."""
    if validate_data is not None and (hasattr(X, "columns") or hasattr(estimator, "feature_names_in_")):
        validate_data(estimator, X, reset=False, skip_check_array=True)


def dense_rows(X: Any, n_features: int | None, owner: str) -> np.ndarray:
    """Rows (n, n_features) float64, or an error in which `owner` expects them; see `mongoose_nb.data.validate.check_dense`."""
    from mongoose_nb.data.validate import check_dense

    return check_dense(X, n_features, owner=owner)


def _snapshot(estimator):
    """A shallow copy, which keeps the attributes of now."""
    copy = object.__new__(type(estimator))
    copy.__dict__ = dict(estimator.__dict__)
    return copy


def of_one_fit(method: _Call) -> _Call:
    """Let a method that only reads see the attributes of one fit, also while another thread fits anew."""

    @functools.wraps(method)
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(_snapshot(self), *args, **kwargs)

    return cast(_Call, read)


def at_once(fit: _Call) -> _Call:
    """Let a method that fits and returns its estimator set all attributes in one assignment at the end: no thread sees those of two fits,
    and a fit that fails changes none."""

    @functools.wraps(fit)
    def change(self: Any, *args: Any, **kwargs: Any) -> Any:
        fitted = _snapshot(self)
        fit(fitted, *args, **kwargs)
        self.__dict__ = fitted.__dict__
        return self

    return cast(_Call, change)


class SavedNetwork:
    """A pickle of the estimator holds its ``network_`` as the file that `Network.save` writes: exact, with a version, without scratch
    memory."""

    def __getstate__(self) -> dict:
        state = dict(self.__dict__)
        if "network_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "network")
                self.network_.save(path)
                state["network_"] = path.read_bytes()
        return state

    def __setstate__(self, state: dict) -> None:
        from mongoose_nb.nn import Network

        state = dict(state)
        if "network_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "network")
                path.write_bytes(state["network_"])
                state["network_"] = Network.load(path)
        self.__dict__.update(state)


def as_seed(random_state: Any) -> int:
    """A seed for `Network`."""
    if random_state is None:
        return 0
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return check_int("random_state", random_state, low=0)


@contextlib.contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """Run a block on at most so many of Numba's threads."""
    if n_jobs is not None and check_int("n_jobs", n_jobs) == 0:
        raise ValueError("n_jobs must be None, a positive number of threads, or negative (-1: all); got 0")
    import numba

    most, before = numba.config.NUMBA_NUM_THREADS, numba.get_num_threads()
    if n_jobs is None:
        wanted = before
    else:
        wanted = n_jobs if n_jobs > 0 else most + 1 + n_jobs
    numba.set_num_threads(min(most, max(1, wanted)))
    try:
        yield
    finally:
        numba.set_num_threads(before)
