"""Prediction from sets of records, whatever their number and order, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import parameter_arrays, restore_parameters
from mongoose_nb.core.registry import describe, rebuild
from mongoose_nb.core.streams import stream
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int, check_list, check_number, check_squares
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.gradients import apply_gradients
from mongoose_nb.nn.layers.set_embedding import SetEmbedding
from mongoose_nb.nn.training.optimizers import Adam
from mongoose_nb.sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    RegressorMixin,
    as_seed,
    at_once,
    of_one_fit,
    threads,
)
from mongoose_nb.sklearn.ragged import as_sets, take
from mongoose_nb.sklearn.targets import class_vector

# Records that are held at once in a prediction.
BLOCK = 65_536


class SetEstimator(BaseEstimator):
    """What the two estimators share: a `nn.SetEmbedding` under a linear output, trained by Adam with a rate that falls to zero.

    Parameters
    ----------
    phi, rho : sequence of int
        Widths of the layers on every record, and of those on the pooled values.
    pool : {"mean", "sum", "max"}
    bins : hashing.HashFamily, optional
        Pools the records of each of `n_bins` bins for themselves: it hashes the first columns, standardised, as many as it has dimensions.
    n_bins : int
    activation : str
    epochs, batch_size : int
        Of sets.
    lr : float
    random_state : int, optional
    n_jobs : int, optional
        Threads; results do not depend on them.
    """

    _kind = ""

    def __init__(self, phi: Sequence[int] = (64, 64), rho: Sequence[int] = (64,), *, pool: str = "mean", bins: Any = None, n_bins: int = 1,
                 activation: str = "relu", epochs: int = 20, batch_size: int = 64, lr: float = 2e-3, random_state: Any = None,
                 n_jobs: int | None = None) -> None:
        self.phi, self.rho, self.pool, self.bins, self.n_bins, self.activation = phi, rho, pool, bins, n_bins, activation
        self.epochs, self.batch_size, self.lr, self.random_state, self.n_jobs = epochs, batch_size, lr, random_state, n_jobs

    def _layer(self, n_inputs, n_outputs):
        rho = check_list("rho", self.rho, "widths, such as (64,)")
        layer = SetEmbedding(self.phi, [*rho, n_outputs], self.pool, rebuild(self.bins), self.n_bins, self.activation)
        return layer.build(n_inputs, stream(as_seed(self.random_state), "set layers"))

    def _loss(self, out, target):
        """Mean loss of a batch and its gradient."""
        raise NotImplementedError

    def _fit(self, X, target, n_outputs):
        """Train on targets, one for each set; sets attributes at the end."""
        records, start = as_sets(X)
        n, batch = len(start) - 1, check_int("batch_size", self.batch_size, low=1)
        epochs, lr = check_int("epochs", self.epochs, low=1), check_number("lr", self.lr, low=0.0, open_low=True)
        if len(target) != n:
            raise ValueError(f"X has {n} sets and y {len(target)} targets")
        if not len(records):
            raise ValueError("X has no records; give at least one set with one")
        mean = records.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = records.std(axis=0, dtype=np.float64).astype(np.float32)
        scale[scale == 0] = 1
        records = (records - mean) / scale
        layer, history, step = self._layer(records.shape[1], n_outputs), [], 0
        parameters, optimizer, steps = layer.parameters(), Adam(lr), epochs * -(-n // batch)
        for parameter in parameters.values():
            parameter.attach(optimizer)
        with threads(self.n_jobs):
            for epoch in range(epochs):
                order, total = stream(as_seed(self.random_state), "order of rows", epoch).permutation(n), 0.0
                for lo in range(0, n, batch):
                    sets = order[lo:lo + batch]
                    some = take(records, start, sets)
                    with np.errstate(over="ignore", invalid="ignore"), compute_threads(self._work(layer, len(some[0]))):
                        out, cache = layer.forward(some, Run(step))
                        loss, g = self._loss(out, target[sets])
                        if not np.isfinite(loss):
                            raise FloatingPointError(f"the loss of step {step} is not finite; lower the learning rate (now {lr:g})")
                        apply_gradients(parameters, layer.backward(g, cache, need_input=False)[1], optimizer, step, 1 - step / steps)
                    step += 1
                    total += loss * len(sets)
                history.append(total / n)
        self.layer_, self.history_, self.mean_, self.scale_, self.n_features_in_ = layer, history, mean, scale, records.shape[1]
        return self

    @staticmethod
    def _work(layer, n_records):
        widths = [layer.n_inputs, *layer.phi]
        return n_records * sum(a * b for a, b in zip(widths, widths[1:]))

    def _outputs(self, X):
        """(n, outputs) of all sets, by blocks."""
        if not hasattr(self, "layer_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit first")
        records, start = as_sets(X, self.n_features_in_)
        out, lo = np.empty((len(start) - 1, self.layer_.n_outputs), np.float32), 0
        with threads(self.n_jobs):
            while lo < len(out):
                hi = max(lo + 1, int(np.searchsorted(start, start[lo] + BLOCK, side="right")) - 1)
                some = (records[start[lo]:start[hi]] - self.mean_) / self.scale_
                with compute_threads(self._work(self.layer_, len(some))):
                    out[lo:hi] = self.layer_.forward((some, start[lo:hi + 1] - start[lo]), Run(0, train=False))[0]
                lo = hi
        return out

    # ------------------------------------------------------------------ files

    def _state(self):
        """More settings and arrays of a file."""
        return {}, {}

    def _take_state(self, settings, arrays):
        """What `_state` gave."""

    @of_one_fit
    def save(self, path: PathLike) -> None:
        """Write the estimator to a file.

        Parameters
        ----------
        path : path-like
        """
        if not hasattr(self, "layer_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit first")
        params = {**self.get_params(deep=False), "phi": list(self.phi), "rho": list(self.rho), "random_state": as_seed(self.random_state)}
        settings, arrays = self._state()
        params = {name: describe([value], name)[0] for name, value in params.items()}  # in a list, an object's kind is kept, too
        settings |= {"params": params,
                     "history": self.history_, "columns": self.n_features_in_, "outputs": self.layer_.n_outputs}
        arrays |= {"mean": self.mean_, "scale": self.scale_, **parameter_arrays(self.layer_.parameters(), moments=False)}
        files.save(path, self._kind, settings, arrays)

    @classmethod
    def load(cls, path: PathLike) -> SetEstimator:
        """The estimator that `save` wrote.

        Parameters
        ----------
        path : path-like
        """
        settings, arrays = files.load(path, cls._kind)
        self = cls(**{name: rebuild(value) for name, value in settings["params"].items()})
        layer = self._layer(settings["columns"], settings["outputs"])
        restore_parameters(layer.parameters(), arrays)
        self._take_state(settings, arrays)
        self.layer_, self.history_, self.n_features_in_ = layer, settings["history"], settings["columns"]
        self.mean_, self.scale_ = np.array(arrays["mean"]), np.array(arrays["scale"])
        return self


class SetClassifier(ClassifierMixin, SetEstimator):
    """Classes of sets of records, such as clouds of points, the events of a user, or the readings of whatever sensors there are.

    Sets may have any number of records, also none. The order of records does not matter. Records with a NaN are missing, and left out.

    Parameters
    ----------
    phi, rho, pool, bins, n_bins, activation, epochs, batch_size, lr, random_state, n_jobs
        See `SetEstimator`.

    Attributes
    ----------
    classes_ : array
    layer_ : nn.SetEmbedding
    history_ : list of float
        Mean loss of every epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import SetClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> X = [rng.normal(scale=1 + label, size=(rng.integers(20, 40), 2)) for label in y]
    >>> bool(SetClassifier(epochs=10, random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    _kind = "set classifier"

    @at_once
    def fit(self, X: Any, y: Any) -> SetClassifier:
        """Train.

        Parameters
        ----------
        X : sequence of arrays, (n, records, columns) array, or tuple (records, start)
            One array (records, columns) for each set.
        y : (n,) classes

        Returns
        -------
        SetClassifier
            Itself.
        """
        y = class_vector(y)
        classes, target = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y must have two classes at least; it has {classes.tolist()}")
        self._fit(X, target, len(classes))
        self.classes_ = classes
        return self

    def _loss(self, out, target):
        z = out.astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(axis=1, keepdims=True)
        rows = np.arange(len(out))
        loss = -float(np.log(np.maximum(p[rows, target], 1e-300)).mean()) if np.isfinite(p).all() else np.nan
        p[rows, target] -= 1
        return loss, (p / len(out)).astype(np.float32)

    @of_one_fit
    def decision_function(self, X: Any) -> np.ndarray:
        """Logits (n, classes) float32; of two classes the difference (n,)."""
        out = self._outputs(X)
        return out[:, 1] - out[:, 0] if len(self.classes_) == 2 else out

    @of_one_fit
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes)."""
        z = self._outputs(X).astype(np.float64)
        p = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
        return p / p.sum(axis=1, keepdims=True)

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of every set."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def _state(self):
        classes = self.classes_
        if classes.dtype.kind == "O" and all(isinstance(name, str) for name in classes):
            classes = classes.astype(str)
        return {"classes": describe(classes, "classes")}, {}

    def _take_state(self, settings, arrays):
        self.classes_ = rebuild(settings["classes"])


class SetRegressor(RegressorMixin, SetEstimator):
    """Numbers, or vectors, from sets of records; least squares on standardised targets.

    Sets may have any number of records, also none. The order of records does not matter. Records with a NaN are missing, and left out.

    Parameters
    ----------
    phi, rho, pool, bins, n_bins, activation, epochs, batch_size, lr, random_state, n_jobs
        See `SetEstimator`.

    Attributes
    ----------
    layer_ : nn.SetEmbedding
    history_ : list of float
        Mean loss of every epoch.
    """

    _kind = "set regressor"

    @at_once
    def fit(self, X: Any, y: Any) -> SetRegressor:
        """Train.

        Parameters
        ----------
        X : sequence of arrays, (n, records, columns) array, or tuple (records, start)
            One array (records, columns) for each set.
        y : (n,) or (n, targets) array

        Returns
        -------
        SetRegressor
            Itself.
        """
        y = np.asarray(y, np.float64)
        if y.ndim not in (1, 2) or not np.isfinite(y).all():
            raise ValueError(f"y must be finite numbers (n,) or (n, targets); got shape {y.shape}")
        check_squares("y", y)
        flat = y.reshape(len(y), -1)
        offset, spread = flat.mean(axis=0), flat.std(axis=0)
        spread[spread == 0] = 1
        self._fit(X, ((flat - offset) / spread).astype(np.float32), flat.shape[1])
        self.offset_, self.spread_, self.single_ = offset, spread, y.ndim == 1
        return self

    def _loss(self, out, target):
        error = out - target
        return float(np.square(error, dtype=np.float64).mean()), error * np.float32(2 / error.size)

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """(n,) or (n, targets), as y was."""
        out = self._outputs(X) * self.spread_ + self.offset_
        return out[:, 0] if self.single_ else out

    def _state(self):
        return {"single": self.single_}, {"offset": self.offset_, "spread": self.spread_}

    def _take_state(self, settings, arrays):
        self.single_, self.offset_, self.spread_ = settings["single"], np.array(arrays["offset"]), np.array(arrays["spread"])
