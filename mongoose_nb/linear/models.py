"""Linear and logistic regression by stochastic gradient descent on rows that hash tables draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import make
from mongoose_nb.core.validation import check_choice, check_int, check_number, check_squares
from mongoose_nb.linear.sampler import MIPS, RowSampler
from mongoose_nb.sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    RegressorMixin,
    as_seed,
    at_once,
    check_names,
    dense_rows,
    feature_names,
    of_one_fit,
)
from mongoose_nb.sklearn.targets import class_vector, number_vector

METHODS = {"sgd": 0, "adagrad": 1, "adam": 2}
# LGD is chosen where the variance of the gradient is below this share of the uniform one.
PAYS = 0.9
# Rows on which that variance is measured.
MEASURED = 4096


class _Linear(BaseEstimator):
    """What the two models share."""

    def __init__(self, *, batches: str = "auto", method: str = "adagrad", lr: float = 0.1, alpha: float = 1e-6, epochs: int = 10,
                 batch_size: int = 16, K: int = 3, L: int = 100, lift: Any = None, uniform: float = 0.2, refresh: int = 512,
                 random_state: Any = None) -> None:
        self.batches, self.method, self.lr, self.alpha, self.epochs, self.batch_size = batches, method, lr, alpha, epochs, batch_size
        self.K, self.L, self.lift, self.uniform, self.refresh, self.random_state = K, L, lift, uniform, refresh, random_state

    def _checked(self):
        check_choice("batches", self.batches, ("auto", "lgd", "uniform"))
        check_choice("method", self.method, tuple(METHODS))
        check_number("lr", self.lr, low=0.0, open_low=True)
        check_number("alpha", self.alpha, low=0.0)
        check_int("epochs", self.epochs, low=1)
        check_int("batch_size", self.batch_size, low=1)
        check_int("refresh", self.refresh, low=1)
        check_int("K", self.K, low=1, high=16)
        check_int("L", self.L, low=1)
        check_number("uniform", self.uniform, low=0.0, high=1.0, open_low=True)
        make("lift", self.lift or self._lift)

    def _standardised(self, X):
        return np.column_stack([(X - self._mean) / self._scale, np.ones(len(X))])

    def _fit_rows(self, X, names):
        """Keep how columns are scaled, and give the rows that are trained on."""
        self._mean, scale = X.mean(axis=0), X.std(axis=0)
        self._scale = np.where(scale > 1e-12 * np.maximum(np.abs(self._mean), 1e-300), scale, 1.0)
        self.n_features_in_ = X.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = names
        return self._standardised(X)

    def _train(self, X, y, loss, number):
        """(theta, report) of one problem; X is standardised, with a column of ones."""
        from mongoose_nb.kernels.linear import lgd as kernels

        n, d = X.shape
        seed = int(np.random.SeedSequence([as_seed(self.random_state), 0x16D5, number]).generate_state(1, np.uint64)[0] >> 1)
        vectors = np.column_stack([X, y]) if loss == kernels.SQUARED else X * y[:, None]
        theta, moments = np.zeros(d), np.zeros((2, d))
        wanted = self.batches != "uniform" and n > 1
        sampler = RowSampler(vectors if wanted else vectors[:1], self.K, self.L, lift=self.lift or self._lift, uniform=self.uniform,
                             seed=seed)
        scratch, per_epoch, history = sampler.vector(np.zeros(vectors.shape[1])), -(-n // self.batch_size), []
        for epoch in range(self.epochs):
            ratio = _ratio(sampler, X, y, theta, loss) if wanted else float("nan")
            drawn = wanted and (self.batches == "lgd" or ratio < PAYS)
            history.append({"epoch": epoch + 1, "variance_ratio": ratio, "batches": "lgd" if drawn else "uniform"})
            step = kernels.Step(loss, METHODS[self.method], float(self.lr), 0.25 if self.method == "sgd" else 0.0, float(self.alpha),
                                int(self.batch_size), float(self.uniform) if drawn else 1.0, int(self.refresh), seed)
            kernels.train(X, y, sampler.buckets, sampler.query, step, per_epoch, epoch * per_epoch, theta, moments, scratch)
            if not np.isfinite(theta).all():
                raise FloatingPointError(f"the parameters are not finite after epoch {epoch + 1}: lower lr (now {self.lr:g})")
        return theta, history

    def _rows(self, X, fitting=False):
        return _dense(X, None if fitting else self.n_features_in_, type(self).__name__)

    def _coefficients(self, theta):
        coef = theta[:-1] / self._scale
        return coef, theta[-1] - coef @ self._mean

    def _fitted(self):
        if not hasattr(self, "coef_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted: call fit first")


class LGDRegressor(RegressorMixin, _Linear):
    """Least squares by stochastic gradient descent on rows with large residuals, drawn from hash tables.

    Tables over the rows ``[x, y]`` are built once. The parameters are the query ``[theta, -1]``, whose inner product with a row is its
    residual, so that a look-up finds rows with large ones. Drawn rows are weighted by one over their exact probability. Drawing pays
    where few rows have most of the error, as with heavy tails; where residuals are alike it only costs time. By default each epoch
    measures which is the case.

    Columns and targets are standardised inside.

    Parameters
    ----------
    batches : {"auto", "lgd", "uniform"}
        Where rows of a step come from: ``"lgd"`` from the tables, ``"uniform"`` from all rows alike, ``"auto"`` from the tables in epochs
        in which these lower the variance of the gradient by a tenth.
    method : {"adagrad", "sgd", "adam"}
    lr : float
        Learning rate. That of ``"sgd"`` falls with the fourth root of the number of steps.
    alpha : float
        Weight of the squared L2 penalty.
    epochs : int
    batch_size : int
        Rows of a step.
    K, L : int
        Bits of a code and tables.
    lift : str or Lift, optional
        ``MIPS()`` by default, under which rows are likely by the length of their gradient; ``"absolute"`` leaves out that of the row.
    uniform : float
        Share of the draws that are uniform, in (0, 1].
    refresh : int
        Draws after which the query is hashed again.
    random_state : int, optional

    Attributes
    ----------
    coef_ : (features,) float64
    intercept_ : float
    n_features_in_ : int
    history_ : list of dict
        Of each epoch: ``variance_ratio`` (of drawn rows beside uniform ones, at its beginning) and the ``batches`` that were taken.

    References
    ----------
    Chen, Xu and Shrivastava, "Fast and accurate stochastic gradient estimation", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import LGDRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((2000, 3)); y = X @ [1.0, 2.0, 3.0] + 4
    >>> model = LGDRegressor(random_state=0).fit(X, y)
    >>> np.round(model.coef_, 2).tolist(), round(float(model.intercept_), 2)
    ([1.0, 2.0, 3.0], 4.0)
    """

    _lift = MIPS()

    @at_once
    def fit(self, X: Any, y: Any) -> LGDRegressor:
        """Train.

        Parameters
        ----------
        X : (n, features) array
        y : (n,) array

        Returns
        -------
        LGDRegressor
            self
        """
        from mongoose_nb.kernels.linear.lgd import SQUARED

        self._checked()
        names, rows = feature_names(self, X), self._rows(X, fitting=True)
        y = check_squares("y", number_vector(y, len(rows)))
        X = self._fit_rows(rows, names)
        centre, scale = y.mean(), y.std() or 1.0
        theta, self.history_ = self._train(X, (y - centre) / scale, SQUARED, 0)
        coef, intercept = self._coefficients(theta)
        self.coef_, self.intercept_ = coef * scale, float(intercept * scale + centre)
        return self

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """Predictions (n,) float64 for rows (n, features)."""
        self._fitted()
        check_names(self, X)
        return self._rows(X) @ self.coef_ + self.intercept_


class LGDClassifier(ClassifierMixin, _Linear):
    """Logistic regression by stochastic gradient descent on rows with large gradients, drawn from hash tables; one against the rest.

    A row's gradient is large where its margin is small: tables over ``y * x`` are asked with ``-theta``. Otherwise as `LGDRegressor`.

    Parameters
    ----------
    batches, method, lr, alpha, epochs, batch_size, K, L, uniform, refresh, random_state
        As for `LGDRegressor`.
    lift : str or Lift, optional
        ``MIPS(both=False)`` by default; ``"none"`` leaves out the length of the row.

    Attributes
    ----------
    classes_ : (classes,) array
    coef_ : (problems, features) float64
        One problem for two classes, else one for each.
    intercept_ : (problems,) float64
    history_ : list of list of dict
        For each problem as that of `LGDRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import LGDClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((2000, 3)); y = np.where(X @ [1.0, 2.0, 3.0] > 0, "above", "below")
    >>> LGDClassifier(random_state=0).fit(X, y).score(X, y) > 0.98
    True
    """

    _lift = MIPS(both=False)

    @at_once
    def fit(self, X: Any, y: Any) -> LGDClassifier:
        """Train.

        Parameters
        ----------
        X : (n, features) array
        y : (n,) array
            Classes.

        Returns
        -------
        LGDClassifier
            self
        """
        from mongoose_nb.kernels.linear.lgd import LOGISTIC

        self._checked()
        names, rows = feature_names(self, X), self._rows(X, fitting=True)
        y = class_vector(y, len(rows))
        classes, place = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y holds one class, {classes.tolist()[0]!r}; a classifier needs two or more")
        X = self._fit_rows(rows, names)
        problems = [1] if len(classes) == 2 else range(len(classes))
        found = [self._train(X, np.where(place == c, 1.0, -1.0), LOGISTIC, c) for c in problems]
        coefficients = [self._coefficients(theta) for theta, _ in found]
        self.classes_, self.history_ = classes, [history for _, history in found]
        self.coef_, self.intercept_ = np.stack([coef for coef, _ in coefficients]), np.array([b for _, b in coefficients])
        return self

    @of_one_fit
    def decision_function(self, X: Any) -> np.ndarray:
        """Margins: (n,) for two classes, else (n, classes)."""
        self._fitted()
        check_names(self, X)
        margins = self._rows(X) @ self.coef_.T + self.intercept_
        return margins[:, 0] if len(self.classes_) == 2 else margins

    @of_one_fit
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes), for more than two classes those of each against the rest, scaled to add up to one."""
        p = 1 / (1 + np.exp(-np.clip(self.decision_function(X), -700, 700)))
        if len(self.classes_) == 2:
            return np.column_stack([1 - p, p])
        return p / np.maximum(p.sum(axis=1, keepdims=True), np.finfo(float).tiny)

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """The class of each row."""
        margins = self.decision_function(X)
        return self.classes_[(margins > 0).astype(int) if margins.ndim == 1 else margins.argmax(axis=1)]


def _dense(X, n_features, owner):
    return check_squares("X", dense_rows(X, n_features, owner))


def _ratio(sampler, X, y, theta, loss):
    """`RowSampler.variance_ratio` at the present parameters, from a sample of the rows."""
    from mongoose_nb.kernels.linear.lgd import SQUARED

    rows = np.sort(np.random.Generator(np.random.Philox(sampler.seed)).permutation(len(X))[:MEASURED])
    X, y = X[rows], y[rows]
    margins = X @ theta
    slopes = margins - y if loss == SQUARED else -y / (1 + np.exp(np.clip(y * margins, -700, 700)))
    query = np.append(theta, -1.0) if loss == SQUARED else -theta
    norms = np.abs(slopes) * np.sqrt(np.square(X).sum(axis=1))
    # the mean gradient of a sample is longer than that of all rows by the variance of the mean, which is taken off
    squares, whole = float(np.square(norms).mean()), float(np.square(slopes @ X / len(X)).sum())
    whole = max(0.0, whole - (squares - whole) / (len(X) - 1)) if len(X) < len(sampler) else whole
    return sampler.variance_ratio(query, norms, whole**0.5, rows)
