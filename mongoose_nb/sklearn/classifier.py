"""`MongooseClassifier`: `nn.Network` in the manner of scikit-learn.

::

    X --check_X--> CSR ------+
                             +--> Network.fit --> network_, history_
    y --Targets--> CSR ------+
        class vector             classes_, predict gives classes
        lists of names           classes_, predict gives lists of names
        indicator, id lists      labels are columns, predict gives an indicator

scikit-learn is optional (see `base`). Where it is installed, the classifier is one of its estimators.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import find, fresh, make, parameters, registered
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.nn.auto import FEWEST, standardised
from mongoose_nb.nn.labelled import check_labelled
from mongoose_nb.nn.training.batches import default_epochs
from mongoose_nb.nn.training.callbacks import History
from mongoose_nb.nn.training.optimizers import make_optimizer
from mongoose_nb.sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    SavedNetwork,
    as_seed,
    at_once,
    feature_names,
    threads,
)
from mongoose_nb.sklearn.prediction import NetworkPrediction
from mongoose_nb.sklearn.saving import SavedEstimator, check_state, describe_parameters, names_to_keep, rebuild_parameters
from mongoose_nb.sklearn.targets import Targets
from mongoose_nb.sklearn.weights import row_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mongoose_nb import nn
    from mongoose_nb.nn.training.optimizers import Optimizer

__all__ = ["MongooseClassifier"]


class MongooseClassifier(NetworkPrediction, ClassifierMixin, SavedNetwork, SavedEstimator, BaseEstimator):
    """Classifier for very many classes or labels: a network that trains on the outputs that matter, and what ranks its best outputs.

    By default a tenth of the rows, at most 5,000, decides whether the network's best outputs are ranked again by linear rankers, votes of
    the nearest training rows, and counts of labels by feature (`nn.Network.fit_auto`); `choice_` says what was chosen.

    Parameters
    ----------
    hidden : sequence of int or nn.Wide
        Widths of the hidden layers.
    activation : str
        See `nn.Network`.
    sampler : str or nn.Sampler
        Which outputs a training step computes: ``"auto"``, ``"full"``, ``"adaptive"``, ``"lsh"``, ``"uniform"``, or an object such as
        ``nn.LSH(candidates=400)``; see `nn.Network`.
    candidates : int, optional
        Outputs computed beside a sample's labels, where the sampler is given by name; that sampler's default otherwise.
    loss : {"softmax", "logistic"}
        Cross-entropy against the uniform distribution over a sample's labels, or one-vs-all.
    optimizer : str or nn.Optimizer
        ``"adam"``, ``"rowadam"``, ``"adagrad"``, ``"sgd"``, or an object such as ``nn.Adam(2e-3)``.
    lr : float, optional
        Learning rate, where the optimiser is given by name.
    epochs : int, optional
        Passes over the training rows. By default 3 to 10 by the number of rows with a ranking, 10 without, and more where these would be
        fewer than 200 steps.
    ranking : {"auto", None}
        None trains the network alone, and so do fewer than 50 rows, and weights of rows or classes.
    batch_size : int
    early_stopping : int or bool, optional
        Set rows aside (the same as for the ranking), score them exactly after every epoch, and wait for so many epochs without a better
        P@1 before stopping; the best weights are kept. True waits for 3.
    validation_fraction : float
        Share of the rows that `early_stopping` or the ranking sets aside, there at most 5,000.
    class_weight : dict or "balanced", optional
        How much the rows of each class count in the loss, 1 by default. ``"balanced"``: as if all classes had the same number of rows.
        Of a multi-label problem a row counts as much as the mean of its labels.
    text : str or nn.TextFeatures, optional
        What turns texts into rows, where X is texts: by default tf-idf of words.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Everything random derives from it. None is 0: a second run gives the same result.
    n_jobs : int, optional
        Most threads to use; -1 for all, None for as many as Numba is set to. The result does not depend on it.
    verbose : int
        1 shows a progress bar (needs tqdm).

    Attributes
    ----------
    classes_ : ndarray of shape (n_outputs,)
        Sorted classes, or names of labels; those that `partial_fit` added follow. Without names, the column numbers of the labels.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only after fitting on a data frame whose column names all are strings, and with scikit-learn.
    multilabel_ : bool
        Whether the targets were an indicator or lists of labels.
    k_ : int
        Labels that `predict` gives a row of a multi-label problem: the mean number in the training rows, rounded, at least 1.
    network_ : nn.Network
    history_ : nn.History
        One dict for each epoch.
    choice_ : str
        What `fit` chose, and why; "" without a ranking.

    Notes
    -----
    A row of the softmax may have no label; it is then without effect.

    `set_params` changes what the next call does: `partial_fit` takes a new `lr`, `batch_size` or `class_weight` at once; what describes
    the network is for the next `fit`.

    Examples
    --------
    >>> from mongoose_nb import MongooseClassifier
    >>> MongooseClassifier().fit([[0.0, 1.0], [1.0, 0.0]], ["up", "right"]).predict([[0.0, 2.0]])
    array(['up'], dtype='<U5')

    Texts, and labels with names::

        model = MongooseClassifier().fit(texts, [["politics", "Spain"], ["sport"], ...])
        model.save("news.mongoose")
        model = MongooseClassifier.load("news.mongoose")
        model.predict(["Madrid votes on Sunday"])
        model.predict_topk("Madrid votes on Sunday", 3, names=True, proba=True)
    """

    def __init__(self, hidden: Sequence[int | nn.Layer] = (128,), *, activation: str | nn.Activation = "relu",
                 sampler: str | dict | nn.Sampler = "auto", candidates: int | None = None, loss: str | nn.Loss = "softmax",
                 optimizer: str | Optimizer = "adam", lr: float | None = None, epochs: int | None = None, batch_size: int = 256,
                 ranking: str | None = "auto", early_stopping: int | bool | None = None, validation_fraction: float = 0.1,
                 class_weight: dict | str | None = None, text: str | dict | nn.TextFeatureStep | None = None,
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
        self.ranking = ranking
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.text = text
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # ------------------------------------------------------------------ training

    @at_once
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MongooseClassifier:
        """Train from scratch.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame, or n texts
        y : one of
            - (n,) class of each row, of any sortable type;
            - list of lists of names of labels (strings);
            - (n, n_labels) indicator, CSR or dense, of 0 and 1;
            - list of lists of label ids (whole numbers from 0). Lists of 0 and 1 alone, all of one length above 2,
              cannot be ids, which do not repeat, and are read as the rows of an indicator.
        sample_weight : (n,) array, optional
            How much each row counts in the mean loss of its batch.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument, X or y is not as described.
        """
        targets, names = Targets(y), feature_names(MongooseClassifier(), X)
        X, text = self._first_rows(X)
        classes, Y = targets.encode(X.shape[0])
        check_labelled(Y, "y")
        weight = row_weights(self.class_weight, sample_weight, classes, Y)
        ranking = check_choice("ranking", self.ranking, ("auto", None)) == "auto" and X.shape[0] >= FEWEST and weight is None
        network = self._make_network(X.shape[1], len(classes))
        batch_size = check_int("batch_size", self.batch_size, low=1)
        with threads(self.n_jobs), standardised(network, X):
            history, choice = (self._fit_auto if ranking else self._fit_network)(network, X, Y, batch_size, weight)
        self._start(network, history, classes, targets, names, text)
        self.choice_ = choice
        self._count(Y)
        return self

    def _fit_auto(self, network, X, Y, batch_size, weight):
        """(history, what was chosen) of a network with what ranks its outputs."""
        check_number("validation_fraction", self.validation_fraction, low=0.0, high=1.0, open_low=True, open_high=True)
        report = network.fit_auto(X, Y, epochs=self.epochs, batch_size=batch_size, held_out=self.validation_fraction, verbose=self.verbose,
                                  early_stopping=self._patience(), sample_weight=weight)
        return report["history"], report["choice"]

    def _fit_network(self, network, X, Y, batch_size, weight):
        """(history, "") of a network alone."""
        validation, patience = None, self._patience()
        if patience is not None:
            validation, kept = self._split(X, Y, network.seed)
            X, Y, weight = X[kept], Y[kept], None if weight is None else weight[kept]
        epochs = default_epochs(X.shape[0], batch_size, network.features is not None) if self.epochs is None else self.epochs
        return network.fit(X, Y, epochs=epochs, batch_size=batch_size, validation=validation, early_stopping=patience,
                           verbose=self.verbose, sample_weight=weight), ""

    @at_once
    def partial_fit(self, X: Any, y: Any, classes: Any = None, *, n_labels: int | None = None,
                    sample_weight: Any = None) -> MongooseClassifier:
        """Train for one pass over the given rows, from the present state.

        What `fit` chose to rank the outputs stays, and the new rows vote among the nearest rows; linear rankers and counts learn from
        them only in the next `fit`. Classes that are new end the ranking, with a warning.

        Parameters
        ----------
        X, y
            As for `fit`. The form of y stays what it was at first.
        classes : (n_classes,) array, optional
            All classes, or names of labels, so far; needed by the first call where y is a class vector or lists of names. A later call that
            gives more of them adds outputs. Where y is an indicator or lists of ids: names of the labels in their order.
        n_labels : int, optional
            Number of labels; needed by the first call where y is lists of ids without names. An indicator has that many columns. A later
            call that gives more adds outputs.
        sample_weight : (n,) array, optional
            As for `fit`.

        Returns
        -------
        self
        """
        first = not self.__sklearn_is_fitted__()
        targets, names = Targets(y), feature_names(MongooseClassifier(), X)
        classes = targets.stated_classes(classes, n_labels, first)
        X, text = self._first_rows(X) if first else (self._check(X), None)
        if not first:
            self._check_form(targets)
            classes = self._with_new(classes)
        if isinstance(self.class_weight, str):
            raise ValueError("class_weight='balanced' needs all rows at once, which partial_fit does not have; give a dict")
        classes, Y = targets.encode(X.shape[0], classes)
        weight = row_weights(self.class_weight, sample_weight, classes, Y)
        batch_size = check_int("batch_size", self.batch_size, low=1)
        network = self._make_network(X.shape[1], len(classes)) if first else self._next_network(classes)
        ranking = None if network.ranking is None else network.ranking.updated(X, Y)
        with threads(self.n_jobs):
            if Y.nnz:
                history = network.fit(X, Y, epochs=1, batch_size=batch_size, verbose=self.verbose, sample_weight=weight)
            else:  # a part of the data may have no labels
                network.partial_fit(X, Y, batch_size=batch_size, sample_weight=weight)
                history = History()
        if first:
            self._start(network, history, classes, targets, names, text)
            self.choice_ = ""
        else:
            network.ranking, self.choice_ = ranking, "" if ranking is None else self.choice_  # now that training went well
            self.network_, self.classes_ = network, classes
            self.history_.extend(history)
        self._count(Y)
        return self

    def _first_rows(self, X):
        """(X in canonical form, the fitted text features or None)."""
        from mongoose_nb.data.validate import check_X
        from mongoose_nb.nn.text_features import is_texts

        if not is_texts(X, expected=self.text is not None):
            return check_X(X), None
        text = fresh(make("text features", "words" if self.text is None else self.text)).fit(X)
        return text.transform(X), text

    def _with_new(self, classes: Any) -> Any:
        """The classes of the estimator, and behind them those that are new; all of its own have to be there."""
        if classes is None:
            return self.classes_
        have, given = set(self.classes_.tolist()), set(np.asarray(classes).tolist())
        if not have <= given:
            raise ValueError(f"classes or n_labels must hold the {len(have)} of earlier calls, and may hold more; "
                             f"{sorted(have - given)[0]!r} is missing")
        new = [name for name in np.asarray(classes).tolist() if name not in have]
        return np.concatenate([self.classes_, np.array(new, classes.dtype)]) if new else self.classes_

    def _next_network(self, classes):
        """The network that goes on: with outputs for classes that are new, and at the learning rate of today."""
        network, more = self.network_, len(classes) - len(self.classes_)
        if more and network.ranking is not None:
            warnings.warn("partial_fit with new classes trains the network alone: what fit chose to rank its outputs does not know them "
                          "and is left out from now on. Call fit with all rows to have it again.", UserWarning, stacklevel=4)
        if more:
            network = network.grown(more, None if network.label_names is None else classes[-more:])
        if self.lr is not None:
            network.optimizer.lr = make_optimizer(self.optimizer, self.lr).lr
        return network

    def _patience(self):
        """Epochs to wait, None for no early stopping."""
        if self.early_stopping is None or self.early_stopping is False:
            return None
        return 3 if self.early_stopping is True else check_int("early_stopping", self.early_stopping, low=0)

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
        """((X, Y) set aside, places of the rows to train on)."""
        fraction = check_number("validation_fraction", self.validation_fraction, low=0.0, high=1.0, open_low=True,
                                open_high=True)
        n = X.shape[0]
        if n < 2:
            raise ValueError("early_stopping sets rows aside, so it needs at least 2; got n_samples=1")
        order = stream(seed, "validation split").permutation(n)
        aside = min(n - 1, math.ceil(fraction * n))
        held, kept = np.sort(order[:aside]), np.sort(order[aside:])
        return (X[held], Y[held]), kept

    def _start(self, network, history, classes, targets, names, text):
        network.text, network.label_names = text, names_to_keep(classes, targets)
        self.classes_, self.multilabel_ = classes, targets.multilabel
        self.n_features_in_ = network.n_features
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.network_, self.history_ = network, history
        self.set_fitted_on(targets.form, targets.dtype, (0, 0))

    def _count(self, Y):
        self._seen = self._seen + (Y.nnz, Y.shape[0])
        self.k_ = min(len(self.classes_), max(1, round(self._seen[0] / self._seen[1])))

    # ------------------------------------------------------------------ files

    def file_state(self) -> tuple[nn.Network, dict]:
        """(the network, what JSON can hold of the estimator)."""
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet: there is nothing to save.")
        network = self.network_
        if network.label_names is None and not np.array_equal(self.classes_, np.arange(len(self.classes_))):
            raise TypeError(f"classes of {self.classes_.dtype}, such as {self.classes_.tolist()[0]!r}, cannot be saved; give strings or "
                            "numbers")
        names = getattr(self, "feature_names_in_", None)
        return network, {"parameters": describe_parameters(self.get_params(deep=False), network.seed), "multilabel": bool(self.multilabel_),
                         "form": self._form, "dtype": np.dtype(self._dtype).str, "k": int(self.k_), "seen": [int(n) for n in self._seen],
                         "feature_names": None if names is None else names.tolist(), "history": list(self.history_), "choice": self.choice_}

    @classmethod
    def from_file_state(cls, network: nn.Network, state: dict | None) -> MongooseClassifier:
        """The estimator of a network and of what `file_state` gave; None for a network that was saved alone."""
        if state is None:
            form = "ids" if network.label_names is None else "names"
            state = {"parameters": {}, "multilabel": True, "form": form, "dtype": "<i8", "k": 1, "seen": [0, 0], "feature_names": None,
                     "history": []}
        check_state(state, network.n_outputs)
        out = cls(**rebuild_parameters(state["parameters"]))
        out.network_, out.history_ = network, History(state["history"])
        out.n_features_in_, out.multilabel_ = network.n_features, state["multilabel"]
        out.classes_ = np.arange(network.n_outputs) if network.label_names is None else np.array(network.label_names)
        out.k_, out.choice_ = state["k"], str(state.get("choice", ""))
        if state["feature_names"] is not None:
            out.feature_names_in_ = np.array(state["feature_names"], object)
        out.set_fitted_on(state["form"], np.dtype(state["dtype"]), state["seen"])
        return out

    def set_fitted_on(self, form: str, dtype: np.dtype, seen: Sequence[int]) -> None:
        """Note the form and dtype of the targets, and the numbers of labels and rows so far."""
        self._form, self._dtype, self._seen = form, dtype, np.array(seen, np.int64)

    def __sklearn_tags__(self) -> np.ndarray:
        """Tags of the estimator, for scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags
