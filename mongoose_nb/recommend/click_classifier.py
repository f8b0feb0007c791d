"""Click prediction from tables of categories and numbers, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.compress import cooccurrences, make_compression, minhash_signatures
from mongoose_nb.core import files
from mongoose_nb.core.arrays import parameter_arrays, restore_parameters
from mongoose_nb.core.labels import as_labels
from mongoose_nb.core.registry import describe, rebuild
from mongoose_nb.core.streams import stream
from mongoose_nb.core.types import PathLike
from mongoose_nb.core.validation import check_int, check_number, check_pair
from mongoose_nb.nn.training.optimizers import make_optimizer
from mongoose_nb.recommend.click_model import ClickModel, check_widths, make_interaction
from mongoose_nb.recommend.encoder import Encoder
from mongoose_nb.sklearn.base import BaseEstimator, ClassifierMixin, NotFittedError, as_seed, at_once, of_one_fit, threads
from mongoose_nb.sklearn.targets import class_vector

KIND = "click classifier"
BLOCK = 16_384


class ClickClassifier(ClassifierMixin, BaseEstimator):
    """A click model: embeddings of categories, a factorisation machine or inner products, layers above, and a logistic loss.

    With ``interaction="fm"`` and ``hidden=()`` it is a factorisation machine, with layers DeepFM, and with ``interaction="dot"`` DLRM.
    `compress` keeps all embeddings in one small hashed array.

    Parameters
    ----------
    embedding_dim : int
        Numbers of an embedding.
    interaction : {"fm", "dot", "none"} or Interaction
    hidden : sequence of int
        Widths of the layers above.
    compress : float, str or compress.Compress, optional
        A ratio such as 16, the name of an index map, or both: ``Compress("robe", 16)``. A full table by default.
    numeric : list of str or int, optional
        Columns that are numbers; by default the columns of floats of a data frame. All others are categories.
    optimizer : str or nn.Optimizer
        ``"adam"``, ``"rowadam"``, ``"adagrad"`` or ``"sgd"``; steps touch the embeddings of the batch only.
    lr : float, optional
    epochs, batch_size : int
    init_std : float
        Standard deviation of the initial embeddings.
    random_state : int, optional
    n_jobs : int, optional
        Threads; results do not depend on them.

    Attributes
    ----------
    classes_ : (2,) array
    model_ : ClickModel
    encoder_ : Encoder
    history_ : list of float
        Mean loss of every epoch.

    Notes
    -----
    A value that training has not seen: with a map whose place is a hash (``"robe"``, ``"row"``, ``"element"``, ``"roast"``,
    ``"collapsible"``), no vocabulary is kept, and the value has an embedding of its own from the shared cells, which `partial_fit` goes on
    to train. With a full table, ``"fold"``, ``"compositional"`` and ``"lma"``, all new values of a column share one embedding.
    """

    def __init__(self, embedding_dim: int = 16, *, interaction: Any = "fm", hidden: Sequence[int] = (64,), compress: Any = None,
                 numeric: Sequence[str | int] | None = None, optimizer: Any = "adam", lr: float | None = None, epochs: int = 3,
                 batch_size: int = 1024, init_std: float = 0.05, random_state: Any = None, n_jobs: int | None = None) -> None:
        self.embedding_dim = embedding_dim
        self.interaction = interaction
        self.hidden = hidden
        self.compress = compress
        self.numeric = numeric
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.init_std = init_std
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ training

    @at_once
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation: tuple | None = None) -> ClickClassifier:
        """Train.

        Parameters
        ----------
        X : data frame, array or list of rows
        y : (n,) array of two classes
            The second in order is the click.
        sample_weight : (n,) array, optional
        validation : (X, y), optional
            Its AUC and log-loss are kept after every epoch, in ``validation_``.

        Returns
        -------
        ClickClassifier
            Itself.
        """
        compress, interaction = make_compression(self.compress), make_interaction(self.interaction)
        epochs = check_int("epochs", self.epochs, low=1)
        batch = check_int("batch_size", self.batch_size, low=1)
        target, classes = _targets(y)
        encoder = Encoder(self.numeric, hashed=compress is not None and compress.map_class.open_rows).fit(X)
        ids, numbers = encoder.transform(X)
        weight = _weights(sample_weight, len(ids))
        _same_rows(ids, target)
        held = None if validation is None else _validation(encoder, validation, classes)
        with threads(self.n_jobs):
            model = self._model(encoder, ids.shape[1], numbers.shape[1], compress, interaction, ids[target == 1])
            history: list[float] = []
            scores: list[dict] = []
            for epoch in range(epochs):
                history.append(self._epoch(model, ids, numbers, target, weight, epoch, batch))
                if held is not None:
                    scores.append(_scores(model, *held))
        self.classes_, self.encoder_, self.model_, self.history_, self.validation_ = classes, encoder, model, history, scores
        self.epochs_ = epochs
        self.n_features_in_ = len(encoder.names)
        return self

    @at_once
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> ClickClassifier:
        """Train for one pass over more rows. The first call settles columns, scales, and the size of the array, as `fit` does.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : (2,) array, optional
            Needed by the first call where `y` has one class only.

        Returns
        -------
        ClickClassifier
            Itself.
        """
        if not hasattr(self, "model_"):
            target, classes = _targets(y, None if classes is None else np.unique(as_labels(classes, "classes")))
            compress, interaction = make_compression(self.compress), make_interaction(self.interaction)
            encoder = Encoder(self.numeric, hashed=compress is not None and compress.map_class.open_rows).fit(X)
            ids, numbers = encoder.transform(X)
            _same_rows(ids, target)
            self.model_ = self._model(encoder, ids.shape[1], numbers.shape[1], compress, interaction, ids[target == 1])
            self.classes_, self.encoder_, self.history_, self.validation_, self.epochs_ = classes, encoder, [], [], 0
            self.n_features_in_ = len(encoder.names)
        else:
            target, _ = _targets(y, self.classes_)
            ids, numbers = self.encoder_.transform(X)
            _same_rows(ids, target)
        weight = _weights(sample_weight, len(ids))
        with threads(self.n_jobs):
            loss = self._epoch(self.model_, ids, numbers, target, weight, self.epochs_, check_int("batch_size", self.batch_size, low=1))
        self.history_.append(loss)
        self.epochs_ += 1
        return self

    def _model(self, encoder, fields, numbers, compress, interaction, clicks=None):
        hidden = check_widths(self.hidden)
        optimizer = make_optimizer(self.optimizer, self.lr)
        width = check_int("embedding_dim", self.embedding_dim, low=1)
        options = {}
        if compress is not None and compress.map == "lma":  # its rows need signatures
            if clicks is None:
                options["signatures"] = np.zeros((encoder.n_ids, 8), np.uint8)
            else:
                sets = cooccurrences(clicks, encoder.n_ids)
                options["signatures"] = minhash_signatures(sets, 8, least=2, seed=as_seed(self.random_state))
        return ClickModel(fields, encoder.n_ids, numbers, width=width, interaction=interaction, hidden=hidden, optimizer=optimizer,
                          compress=compress, options=options, init_std=check_number("init_std", self.init_std, low=0, open_low=True),
                          seed=as_seed(self.random_state))

    def _epoch(self, model, ids, numbers, target, weight, epoch, batch):
        order = stream(as_seed(self.random_state), "order of rows", epoch).permutation(len(ids))
        total = 0.0
        for lo in range(0, len(order), batch):
            rows = order[lo:lo + batch]
            total += model.train_step(ids[rows], numbers[rows], target[rows], None if weight is None else weight[rows]) * len(rows)
        return total / max(1, len(order))

    # ------------------------------------------------------------------ prediction

    @of_one_fit
    def decision_function(self, X: Any) -> np.ndarray:
        """Logits of a click, (n,) float32."""
        if not hasattr(self, "model_"):
            raise NotFittedError("this ClickClassifier is not fitted yet: call fit first")
        ids, numbers = self.encoder_.transform(X)
        with threads(self.n_jobs):
            parts = [self.model_.logits(ids[lo:lo + BLOCK], numbers[lo:lo + BLOCK]) for lo in range(0, len(ids), BLOCK)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    @of_one_fit
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, 2) of the classes."""
        p = _probabilities(self.decision_function(X))
        return np.stack([1 - p, p], axis=1)

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """The likelier class of every row."""
        logits = self.decision_function(X)
        return self.classes_[(logits > 0).astype(int)]

    # ------------------------------------------------------------------ files

    @of_one_fit
    def save(self, path: PathLike) -> None:
        """Write the classifier to a file, without the moments of the optimiser.

        Parameters
        ----------
        path : path-like
        """
        if not hasattr(self, "model_"):
            raise NotFittedError("this ClickClassifier is not fitted yet: call fit first")
        params = {**self.get_params(deep=False), "interaction": make_interaction(self.interaction),
                  "compress": make_compression(self.compress), "random_state": as_seed(self.random_state), "hidden": list(self.hidden),
                  "numeric": None if self.numeric is None else list(self.numeric)}
        settings = {"params": {name: describe(value, name) for name, value in params.items()}, "encoder": self.encoder_.settings(),
                    "classes": self.classes_.tolist(), "history": self.history_, "epochs": self.epochs_, "step": self.model_.step}
        arrays = {**self.encoder_.arrays(), **parameter_arrays(self.model_.parameters(), moments=True)}
        array = self.model_.array
        if array is not None and array.nbytes > array.values.nbytes:
            arrays["signatures"] = self.model_.embedding.view.map.signatures
        files.save(path, KIND, settings, arrays)

    @classmethod
    def load(cls, path: PathLike) -> ClickClassifier:
        """The classifier that `save` wrote; it can be trained further.

        Parameters
        ----------
        path : path-like
        """
        settings, arrays = files.load(path, KIND)
        self = cls(**{name: _rebuilt(name, value) for name, value in settings["params"].items()})
        self.encoder_ = Encoder.of(settings["encoder"], arrays)
        fields = len(self.encoder_.is_numeric) - sum(self.encoder_.is_numeric)
        self.model_ = self._model(self.encoder_, fields, sum(self.encoder_.is_numeric), make_compression(self.compress),
                                  make_interaction(self.interaction))
        if "signatures" in arrays:
            signatures = np.array(arrays["signatures"])
            for view in self.model_.array.views:
                view.map.signatures = signatures
                view.map.state_restored()
        restore_parameters(self.model_.parameters(), arrays)
        self.model_.step = settings["step"]
        self.classes_, self.history_, self.epochs_ = np.array(settings["classes"]), settings["history"], settings["epochs"]
        self.validation_, self.n_features_in_ = [], len(self.encoder_.names)
        return self


def _rebuilt(name, value):
    return make_compression(value) if name == "compress" else (
        make_interaction(value) if name == "interaction" else make_optimizer(value) if name == "optimizer" and isinstance(value, dict)
        else rebuild(value))


def _targets(y, classes=None):
    """0 and 1 in float32, and the two classes."""
    y = class_vector(y)
    found = np.unique(y) if classes is None else np.asarray(classes)
    if len(found) != 2:
        raise ValueError(f"y must have two classes, such as 0 and 1; it has {len(found)}: {found[:5].tolist()}")
    unknown = ~np.isin(y, found)
    if unknown.any():
        raise ValueError(f"y holds {y[unknown][:1].tolist()[0]!r}; the classes are {found.tolist()}")
    return (y == found[1]).astype(np.float32), found


def _same_rows(ids, target):
    if len(target) != len(ids):
        raise ValueError(f"X has {len(ids)} rows and y {len(target)}")


def _validation(encoder, validation, classes):
    """(ids, numbers, targets) of rows to score, checked before training begins."""
    X, y = check_pair("validation", validation)
    target = _targets(y, classes)[0]
    ids, numbers = encoder.transform(X)
    if len(ids) != len(target):
        raise ValueError(f"validation has {len(ids)} rows and {len(target)} classes of rows")
    if not 0 < target.sum() < len(target):
        raise ValueError(f"validation needs rows of both classes, {classes.tolist()}, for its AUC; it has {len(target)} rows, "
                         f"{int(target.sum())} of them of the second class")
    return ids, numbers, target


def _weights(weight, n):
    if weight is None:
        return None
    from mongoose_nb.data.validate import check_weights

    return check_weights(weight, n).astype(np.float32)


def _probabilities(logits):
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))


def _scores(model, ids, numbers, target):
    from mongoose_nb.metrics import auc, log_loss

    logits = np.concatenate([model.logits(ids[lo:lo + BLOCK], numbers[lo:lo + BLOCK]) for lo in range(0, len(ids), BLOCK)])
    return {"auc": auc(target, logits), "log_loss": log_loss(target, _probabilities(logits))}

