"""`MongooseClassifier`: `nn.Network` in the manner of scikit-learn.

::

    X --check_X--> CSR ------+
                             +--> Network.fit --> network_, history_
    y --Targets--> CSR ------+
        class vector             classes_, predict gives classes
        indicator, id lists      labels are columns, predict gives an indicator

scikit-learn is optional (see `base`). Where it is installed, the classifier is one of its estimators.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import find, make, parameters, registered
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    SavedNetwork,
    as_seed,
    check_names,
    feature_names,
    threads,
)
from mongoose_nb.sklearn.outputs import indicator, logits, probabilities
from mongoose_nb.sklearn.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse

    from mongoose_nb import nn
    from mongoose_nb.nn.training.optimizers import Optimizer

__all__ = ["MongooseClassifier"]


class MongooseClassifier(ClassifierMixin, SavedNetwork, BaseEstimator):
    """Classifier for very many classes or labels: a network that trains on the outputs that matter, not on all.

    Parameters
    ----------
    hidden : sequence of int or nn.Wide
        Widths of the hidden layers.
    activation : str
        See `nn.Network`.
    sampler : str or nn.Sampler
        Which outputs a training step computes: ``"lsh"``, ``"uniform"``, ``"full"``, ``"adaptive"``, ``"auto"``, or an object such as
        ``nn.LSH(candidates=400)``.
    candidates : int, optional
        Outputs computed beside a sample's labels, where the sampler is given by name; that sampler's default otherwise.
    loss : {"softmax", "logistic"}
        Cross-entropy against the uniform distribution over a sample's labels, or one-vs-all.
    optimizer : str or nn.Optimizer
        ``"adam"``, ``"rowadam"``, ``"adagrad"``, ``"sgd"``, or an object such as ``nn.Adam(2e-3)``.
    lr : float, optional
        Learning rate, where the optimiser is given by name.
    epochs : int, optional
        Passes over the training rows. By default 10, and more where these would be fewer than 200 steps.
    batch_size : int
    early_stopping : int, optional
        Set rows aside, score them exactly after every epoch, and wait for so many epochs without a better P@1 before
        stopping; the best weights are kept.
    validation_fraction : float
        Share of the rows that `early_stopping` sets aside.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Everything random derives from it. None is 0: a second run gives the same result.
    n_jobs : int, optional
        Most threads to use; -1 for all, None for as many as Numba is set to. The result does not depend on it.
    verbose : int
        1 shows a progress bar (needs tqdm).

    Attributes
    ----------
    classes_ : ndarray of shape (n_outputs,)
        Sorted classes; for multi-label targets the column numbers.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only after fitting on a data frame whose column names all are strings, and with scikit-learn.
    multilabel_ : bool
        Whether the targets were an indicator or lists of ids.
    k_ : int
        Labels that `predict` gives a row of a multi-label problem: the mean number in the training rows, rounded, at least 1.
    network_ : nn.Network
    history_ : nn.History
        One dict for each epoch.

    Notes
    -----
    A row of the softmax may have no label; it is then without effect.

    Examples
    --------
    >>> from mongoose_nb import MongooseClassifier
    >>> MongooseClassifier().fit([[0.0, 1.0], [1.0, 0.0]], ["up", "right"]).predict([[0.0, 2.0]])
    array(['up'], dtype='<U5')
    """

    def __init__(self, hidden: Sequence[int | nn.Layer] = (128,), *, activation: str | nn.Activation = "relu",
                 sampler: str | dict | nn.Sampler = "lsh", candidates: int | None = None, loss: str | nn.Loss = "softmax",
                 optimizer: str | Optimizer = "adam", lr: float | None = None, epochs: int | None = None, batch_size: int = 256,
                 early_stopping: int | None = None, validation_fraction: float = 0.1,
                 random_state: int | np.random.Generator | np.random.RandomState | None = None, n_jobs: int | None = None,
                 verbose: int = 0) -> None:
        self.hidden = hidden
        self.activation = activation
        self.sampler = sampler
        self.candidates = candidates
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # ------------------------------------------------------------------ training

    def fit(self, X: Any, y: Any) -> MongooseClassifier:
        """Train from scratch.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame
        y : one of
            - (n,) class of each row, of any sortable type;
            - (n, n_labels) indicator, CSR or dense, of 0 and 1;
            - list of lists of label ids (whole numbers from 0). Lists of 0 and 1 alone, all of one length above 2,
              cannot be ids, which do not repeat, and are read as the rows of an indicator.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument, X or y is not as described.
        """
        from mongoose_nb.data.validate import check_X
        from mongoose_nb.nn.training.batches import default_epochs

        targets = Targets(y)
        names = feature_names(MongooseClassifier(), X)
        X = check_X(X)
        classes, Y = targets.encode(X.shape[0])
        network = self._make_network(X.shape[1], len(classes))
        batch_size = check_int("batch_size", self.batch_size, low=1)
        validation, kept_X, kept_Y = None, X, Y
        if self.early_stopping is not None:
            validation, kept_X, kept_Y = self._split(X, Y, network.seed)
        epochs = self.epochs
        if epochs is None:
            epochs = default_epochs(kept_X.shape[0], batch_size)
        with threads(self.n_jobs):
            history = network.fit(kept_X, kept_Y, epochs=epochs, batch_size=batch_size, validation=validation,
                                  early_stopping=self.early_stopping, verbose=self.verbose)
        self._start(network, history, classes, targets, names)
        self._count(Y)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, *, n_labels: int | None = None) -> MongooseClassifier:
        """Train for one pass over the given rows, from the present state.

        Parameters
        ----------
        X, y
            As for `fit`. The form of y stays what it was at first.
        classes : (n_classes,) array, optional
            All classes that will ever occur; needed by the first call where y is a class vector.
        n_labels : int, optional
            Number of labels; needed by the first call where y is lists of ids. An indicator has that many columns.

        Returns
        -------
        self
        """
        from mongoose_nb.data.validate import check_X

        first = not self.__sklearn_is_fitted__()
        targets, names = Targets(y), feature_names(MongooseClassifier(), X)
        classes = targets.stated_classes(classes, n_labels, first)
        X = check_X(X) if first else self._check(X)
        if not first:
            self._check_form(targets)
            if classes is not None and not np.array_equal(classes, self.classes_):
                raise ValueError("classes or n_labels must stay what they were on the first call: "
                                 f"{len(self.classes_)} outputs; got {len(classes)}, or others")
            classes = self.classes_
        classes, Y = targets.encode(X.shape[0], classes)
        network = self._make_network(X.shape[1], len(classes)) if first else self.network_
        batch_size = check_int("batch_size", self.batch_size, low=1)
        with threads(self.n_jobs):
            history = network.fit(X, Y, epochs=1, batch_size=batch_size, verbose=self.verbose)
        if first:
            self._start(network, history, classes, targets, names)
        else:
            self.history_.extend(history)
        self._count(Y)
        return self

    def _make_network(self, n_features, n_outputs):
        from mongoose_nb.nn import Network

        sampler = self.sampler
        if self.candidates is not None:
            if not (isinstance(sampler, str) and "candidates" in parameters(find("sampler", sampler))):
                able = [name for name, cls in registered("sampler").items() if "candidates" in parameters(cls)]
                raise ValueError(f"sampler={sampler!r} does not go with candidates={self.candidates}: where candidates is given, sampler "
                                 f"must be one of {able}")
            sampler = {"name": sampler, "candidates": self.candidates}
        return Network(n_features, n_outputs, hidden=self.hidden, activation=self.activation, sampler=sampler,
                       loss=self.loss, optimizer=self.optimizer, lr=self.lr, seed=as_seed(self.random_state))

    def _split(self, X, Y, seed):
        """((X, Y) set aside, X, Y to train on)."""
        check_int("early_stopping", self.early_stopping, low=0)
        fraction = check_number("validation_fraction", self.validation_fraction, low=0.0, high=1.0, open_low=True,
                                open_high=True)
        n = X.shape[0]
        if n < 2:
            raise ValueError("early_stopping sets rows aside, so it needs at least 2; got n_samples=1")
        order = stream(seed, "validation split").permutation(n)
        aside = min(n - 1, math.ceil(fraction * n))
        held, kept = np.sort(order[:aside]), np.sort(order[aside:])
        return (X[held], Y[held]), X[kept], Y[kept]

    def _start(self, network, history, classes, targets, names):
        self.classes_, self.multilabel_ = classes, targets.multilabel
        self.n_features_in_ = network.n_features
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.network_, self.history_ = network, history
        self._dense, self._dtype = targets.form == "dense", targets.dtype
        self._seen = np.zeros(2, np.int64)

    def _count(self, Y):
        self._seen = self._seen + (Y.nnz, Y.shape[0])
        self.k_ = min(len(self.classes_), max(1, round(self._seen[0] / self._seen[1])))

    # ------------------------------------------------------------------ prediction

    def predict(self, X: Any) -> np.ndarray | scipy.sparse.csr_matrix:
        """The class of every row; of a multi-label problem, an indicator of each row's `k_` best labels.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame

        Returns
        -------
        (n,) array of classes, or (n, n_labels) indicator: an array where y was one, CSR where it was sparse or ids
            For another number of labels or their scores, see `predict_topk`.
        """
        return self._predict(self._check(X))

    def _predict(self, X):
        if not self.multilabel_:
            return self.classes_[self._topk(X, 1)[0][:, 0]]
        return indicator(self._topk(X, self.k_)[0], len(self.classes_), self._dtype, self._dense)

    def predict_topk(self, X: Any, k: int = 5, *, exact: bool = True, candidates: int | None = None) -> np.ndarray:
        """Best `k` outputs of every row.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame
        k : int
        exact : bool
            True scores every output. False scores those that the hash tables retrieve (needs the LSH sampler).
        candidates : int, optional
            With ``exact=False``, most outputs to score for a row.

        Returns
        -------
        ids : (n, k) int32
            Places in `classes_`, best first; -1 where fewer than k were scored.
        scores : (n, k) float32
            Logits; -inf where the id is -1.
        """
        return self._topk(self._check(X), k, exact=exact, candidates=candidates)

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits of all outputs, for problems of moderate width.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame

        Returns
        -------
        (n, n_outputs) float64, or (n,) for two classes: the second's logit minus the first's

        Raises
        ------
        ValueError
            If the result would have more than 2^26 scores (half a GB).
        """
        scores = self._logits(self._check(X))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 and not self.multilabel_ else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of all outputs, for problems of moderate width.

        Under the softmax they sum to 1 over the outputs. Under the logistic loss every label has its own, and those of
        classes are scaled to sum to 1.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame

        Returns
        -------
        (n, n_outputs) float64

        Raises
        ------
        ValueError
            As `decision_function`.
        """
        return probabilities(self._logits(self._check(X)), make("loss", self.network_.loss).logistic, self.multilabel_)

    def score(self, X: Any, y: Any) -> float:
        """Accuracy of `predict`, or P@1 of a multi-label problem.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        float
        """
        targets = Targets(y)
        X = self._check(X)
        self._check_form(targets)
        if self.multilabel_:
            _, Y = targets.encode(X.shape[0], self.classes_)
            with threads(self.n_jobs):
                return self.network_.evaluate(X, Y, k=1)["P@1"]
        if len(targets.y) != X.shape[0]:
            raise ValueError(f"y has {len(targets.y)} rows, X has {X.shape[0]}; they must describe the same samples")
        return float(np.mean(self._predict(X) == targets.y))

    def _topk(self, X, k, **options):
        with threads(self.n_jobs):
            return self.network_.predict_topk(X, k, **options)

    def _logits(self, X):
        with threads(self.n_jobs):
            return logits(self.network_, X)

    # ------------------------------------------------------------------ checks

    def _check(self, X):
        """X in canonical form, if the estimator is fitted and X is of its kind."""
        from mongoose_nb.data.validate import check_X

        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate "
                                 "arguments before using this estimator.")
        check_names(self, X)
        return check_X(X, n_features=self.n_features_in_, owner=type(self).__name__)

    def _check_form(self, targets):
        if targets.multilabel != self.multilabel_:
            forms = ("a class vector", "the labels of each row (an indicator or lists of ids)")
            raise ValueError(f"y is {forms[targets.multilabel]}, but the estimator was fitted with "
                             f"{forms[self.multilabel_]}")

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a network."""
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> np.ndarray:
        """Tags of the estimator, for scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags
