"""A classifier whose labels are found by look-ups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.labels import as_labels
from mongoose_nb.core.saving import join, split
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.labelled import check_labelled
from mongoose_nb.nn.training.batches import MIN_STEPS
from mongoose_nb.sklearn.base import BaseEstimator, ClassifierMixin, NotFittedError, as_seed, at_once, of_one_fit
from mongoose_nb.sklearn.targets import Targets, unique_classes
from mongoose_nb.solar.chunks import log_probabilities, network_of, train_chunk, weights_of
from mongoose_nb.solar.codes import LabelCodes

if TYPE_CHECKING:
    import os

    import scipy.sparse as sp

KIND = "solar classifier"
# Passes over the rows where no number is given.
EPOCHS = 5
# Rows, and numbers, of the bucket probabilities that are held at once.
BLOCK, HELD = 2048, 1 << 25
# Most buckets where there are not so many labels: the most by default.
MOST_BUCKETS = 32768
# Labels that are scored at once for rows without candidates.
LISTED = 1 << 22


class SolarClassifier(ClassifierMixin, BaseEstimator):
    """Wide classification by K small networks: each learns which of B buckets a row's labels are in, and labels are looked up.

    Every label has one fixed random bucket in each of `chunks` chunks. A network for each chunk learns the buckets of a row's labels. To
    answer, the labels of the best buckets are counted, and those in at least `least` of them are ranked by the sum of the logarithms of
    their buckets' probabilities. No network knows of another: they may be trained in other processes or on other machines. The size of
    the model hardly depends on the number of labels, and labels can be added later.

    Use it for very many labels where training has to be spread, or where a model with a row of weights for each label does not fit.
    `MongooseClassifier` is more accurate.

    Parameters
    ----------
    chunks : int
        Networks and buckets of a label, K. More are more accurate and take longer.
    buckets : int, optional
        Buckets of a chunk, B. By default 64 to 32,768: sixteen times the square root of the number of labels, to a power of two. Each row
        is trained on all of them, so that more than there are labels are refused beyond 32,768.
    hidden : int
        Width of each network's hidden layer.
    best : int
        Buckets of a chunk whose labels are looked up, m.
    least : int, optional
        Chunks in which a candidate is in one of these buckets; half of them by default.
    epochs : int, optional
        Passes of each network over the rows: 5 by default, and in `fit` more where these are fewer than 200 steps.
    batch_size, lr
        Of each network's training; the learning rate falls to zero.
    random_state : int, optional

    Attributes
    ----------
    classes_ : array
        Classes in the order of their ids; of a matrix of labels the numbers of its columns.
    codes_ : LabelCodes
    networks_ : list of Network
    n_features_in_ : int

    References
    ----------
    Medini, Chen and Shrivastava, "SOLAR: Sparse orthogonal learned and random embeddings", ICLR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import SolarClassifier
    >>> X = np.eye(30, dtype=np.float32)[np.arange(300) % 30]
    >>> names = np.array([f"item {i % 30}" for i in range(300)])
    >>> model = SolarClassifier(chunks=4, epochs=20, lr=0.02).fit(X, names)
    >>> bool((model.predict(X) == names).mean() > 0.95)
    True
    """

    def __init__(self, chunks: int = 8, buckets: int | None = None, *, hidden: int = 128, best: int = 10, least: int | None = None,
                 epochs: int | None = None, batch_size: int = 256, lr: float = 1e-2, random_state: Any = None) -> None:
        self.chunks, self.buckets, self.hidden, self.best, self.least = chunks, buckets, hidden, best, least
        self.epochs, self.batch_size, self.lr, self.random_state = epochs, batch_size, lr, random_state

    @at_once
    def fit(self, X: Any, Y: Any, *, executor: Any = None) -> SolarClassifier:
        """Draw codes, and train a network for each chunk.

        Parameters
        ----------
        X : (n, features) array or sparse matrix
        Y : (n,) classes, (n, labels) indicator, or list of lists of label ids
        executor : concurrent.futures.Executor, optional
            Where networks are trained, by its ``map``: a process pool, or ``client.get_executor()`` of Dask. One after the other by
            default, each by all threads.

        Returns
        -------
        SolarClassifier
            self
        """
        self._checked(executor)
        data = _data(X, Y)
        check_labelled(data[1])
        steps = -(-data[0].shape[0] // self.batch_size)
        return self._fit(data, executor, self.epochs or max(EPOCHS, -(-MIN_STEPS // steps)))

    def _fit(self, data, executor, epochs):
        X, Y, classes, multilabel = data
        n_labels = Y.shape[1]
        usual = int(min(MOST_BUCKETS, max(64, 2 ** round(np.log2(16 * np.sqrt(n_labels))))))
        buckets = self.buckets or usual
        if buckets > max(MOST_BUCKETS, n_labels):
            raise ValueError(f"buckets={buckets:,} are more than the {n_labels:,} labels can fill, and each row is trained on all of them; "
                             f"leave buckets out ({usual:,} then), or give {max(MOST_BUCKETS, n_labels):,} or less")
        codes = LabelCodes(n_labels, self.chunks, buckets, as_seed(self.random_state))
        networks = self._trained([None] * self.chunks, X, Y, codes, executor, epochs)
        self.classes_, self.multilabel_, self.codes_, self.networks_ = classes, multilabel, codes, networks
        self.n_features_in_, self._asked = X.shape[1], [0.0]
        return self

    @property
    def candidates_(self) -> float:
        """Mean number of candidates of the rows that were asked for last."""
        return self._asked[0]

    @at_once
    def partial_fit(self, X: Any, Y: Any, classes: Any = None, *, executor: Any = None) -> SolarClassifier:
        """Go on training, with further rows and labels; labels that are new get codes, and those of the others stay.

        Parameters
        ----------
        X, Y, executor
            As for `fit`. A matrix of labels may have more columns than before.
        classes : array_like, optional
            Classes that may come later; of those that come without, codes are made when they come.

        Returns
        -------
        SolarClassifier
            self
        """
        self._checked(executor)
        if not hasattr(self, "networks_"):
            return self._fit(_data(X, Y, None, classes), executor, self.epochs or EPOCHS)
        X, Y, classes, multilabel = _data(X, Y, self, classes)
        codes = LabelCodes.of(self.codes_.codes, self.codes_.buckets, self.codes_.seed)
        codes.add(len(classes) - len(codes))
        networks = self._trained(self.networks_, X, Y, codes, executor, self.epochs or EPOCHS)
        self.classes_, self.codes_, self.networks_ = classes, codes, networks
        return self

    def _checked(self, executor=None):
        if executor is not None and (not hasattr(executor, "map") or hasattr(executor, "get_executor")):  # the map of a Dask client differs
            raise TypeError(f"executor must have a method map, as those of concurrent.futures and client.get_executor() of Dask; got "
                            f"{executor!r}")
        check_int("chunks", self.chunks, low=1, high=255)
        if self.buckets is not None:
            check_int("buckets", self.buckets, low=2, high=2**24)
        for name in ("hidden", "best", "batch_size"):
            check_int(name, getattr(self, name), low=1)
        if self.epochs is not None:
            check_int("epochs", self.epochs, low=1)
        if self.least is not None:
            check_int("least", self.least, low=1, high=self.chunks)
        check_number("lr", self.lr, low=0.0, open_low=True)

    def _settings(self, n_features, buckets, chunk):
        return {"n_features": n_features, "n_outputs": buckets, "hidden": (self.hidden,), "sampler": "full", "loss": "logistic",
                "lr": self.lr, "lr_schedule": "linear", "seed": as_seed(self.random_state) * 256 + chunk}

    def _trained(self, networks, X, Y, codes, executor, epochs):
        tasks = [(self._settings(X.shape[1], codes.buckets, chunk), None if network is None else weights_of(network), X,
                  codes.targets(Y, chunk), epochs, self.batch_size) for chunk, network in enumerate(networks)]
        weights = list(map(train_chunk, tasks) if executor is None else executor.map(train_chunk, tasks))
        return [network_of(task[0], arrays) for task, arrays in zip(tasks, weights, strict=True)]

    @of_one_fit
    def predict_topk(self, X: Any, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """The best k labels of every row.

        Parameters
        ----------
        X : (n, features) array or sparse matrix
        k : int

        Returns
        -------
        ids : (n, k) int32
            Places in `classes_`, best first; -1 where a row has fewer candidates.
        scores : (n, k) float32
            Mean logarithm of the probability of a label's buckets; -inf where the id is -1.
        """
        import numba

        from mongoose_nb.data.validate import check_X
        from mongoose_nb.kernels.solar.query import best_labels

        if not hasattr(self, "networks_"):
            raise NotFittedError("this SolarClassifier is not fitted: call fit first")
        X = check_X(X, self.n_features_in_, owner=type(self).__name__)
        k = check_int("k", k, low=1, high=len(self.codes_))
        starts, members = self.codes_.lists
        n, m = X.shape[0], min(self.best, self.codes_.buckets)
        least = self.least or -(-len(self.networks_) // 2)
        ids, scores, found = np.empty((n, k), np.int32), np.empty((n, k), np.float32), np.zeros(n, np.int64)
        slots = max(1, min(numba.get_num_threads(), n))
        memory = np.zeros((slots, len(self.codes_)), np.uint8), np.empty((slots, len(self.codes_)), np.int32)
        block = max(1, min(BLOCK, HELD // (len(self.networks_) * self.codes_.buckets)))
        for lo in range(0, n, block):
            some = slice(lo, min(n, lo + block))
            log_p = np.stack([log_probabilities(network, X[some]) for network in self.networks_], axis=1)
            top = np.argpartition(-log_p, m - 1, axis=2)[:, :, :m].astype(np.int32)
            best_labels(log_p, np.sort(top, axis=2), self.codes_.codes, starts, members, least, memory, ids[some], scores[some],
                        found[some])
        self._asked[0] = float(found.mean()) if n else 0.0
        return ids, scores / np.float32(len(self.networks_))

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray | sp.csr_matrix:
        """The class of each row; for a matrix of labels, an indicator of those whose buckets have a mean logarithm of the probability above
        that of one half.

        Parameters
        ----------
        X : (n, features) array or sparse matrix
        """
        from scipy import sparse

        from mongoose_nb.data.validate import check_X

        best, _ = self.predict_topk(X, 1)
        if not self.multilabel_:
            none = np.flatnonzero(best[:, 0] < 0)
            if len(none):
                best[none, 0] = self._best_of_all(check_X(X)[none])
            return self.classes_[best[:, 0]]
        ids, scores = self.predict_topk(X, min(len(self.codes_), 50))
        there = scores > np.log(0.5)
        indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        out = sparse.csr_matrix((np.ones(int(indptr[-1]), np.float32), ids[there], indptr), shape=(len(ids), len(self.codes_)))
        out.sort_indices()
        return out

    def _best_of_all(self, X):
        """The best label of rows without candidates, (n,): all labels are scored."""
        out, codes = np.empty(X.shape[0], np.int64), self.codes_.codes
        step = max(1, LISTED // len(codes))
        for lo in range(0, X.shape[0], step):
            scores = np.zeros((1, 1), np.float32)
            for chunk, network in enumerate(self.networks_):
                scores = scores + log_probabilities(network, X[lo:lo + step])[:, codes[:, chunk]]
            out[lo:lo + step] = scores.argmax(axis=1)
        return out

    def __sklearn_tags__(self) -> Any:
        """Tags of the estimator, for scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @of_one_fit
    def save(self, path: str | os.PathLike) -> None:
        """Write the model to one file, replacing it as a whole.

        Parameters
        ----------
        path : path-like
        """
        state = self.state()
        if "codes" not in state:
            raise NotFittedError("this SolarClassifier is not fitted: call fit first")
        settings, arrays = split(state)
        files.save(path, KIND, {"version": 2, **settings}, arrays)

    @of_one_fit
    def state(self) -> dict[str, Any]:
        """What `from_state` takes: settings and, of a fitted model, arrays; a file or an object that holds this one can keep it."""
        parameters = {**self.get_params(), "random_state": as_seed(self.random_state)}
        if not hasattr(self, "networks_"):
            return {"parameters": parameters}
        arrays = {f"chunk{i}": join({}, weights_of(network)) for i, network in enumerate(self.networks_)}
        names = self.classes_.tolist()
        if not all(isinstance(name, str | int | float | bool) for name in names):
            raise TypeError("classes that a file can hold are strings, numbers and booleans")
        return {"parameters": parameters, "classes": None if self.multilabel_ else names, "buckets": self.codes_.buckets,
                "seed": self.codes_.seed, "n_features": self.n_features_in_, "codes": self.codes_.codes, **arrays}

    @classmethod
    def from_state(cls, state: dict[str, Any], *, mapped: bool = False) -> SolarClassifier:
        """The model whose `state` this is; ValueError, TypeError or KeyError where it cannot have been that.

        Parameters
        ----------
        state : dict
        mapped : bool
            Use the arrays as they are, without a copy: to predict alone.
        """
        model = cls(**state["parameters"])
        model._checked()
        if "codes" not in state:
            return model
        codes = LabelCodes.of(state["codes"], check_int("buckets", state["buckets"], low=2), state["seed"])
        n_features = check_int("n_features", state["n_features"], low=1)
        names = state["classes"]
        model.classes_ = np.arange(len(codes)) if names is None else np.array(names)
        if len(model.classes_) != len(codes) or codes.chunks != model.chunks:
            raise ValueError(f"{len(model.classes_)} classes and {len(codes)} codes of {codes.chunks} chunks do not fit each other")
        model.multilabel_, model.codes_, model.n_features_in_, model._asked = names is None, codes, n_features, [0.0]
        model.networks_ = [network_of(model._settings(n_features, codes.buckets, chunk), split(state[f"chunk{chunk}"])[1], mapped)
                           for chunk in range(codes.chunks)]
        return model

    @classmethod
    def load(cls, path: str | os.PathLike, *, mmap: bool = False) -> SolarClassifier:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path-like
        mmap : bool
            Leave codes and weights in the file, from which they are read when they are needed. Processes share them. `partial_fit`
            takes a copy.

        Returns
        -------
        SolarClassifier
        """
        from mongoose_nb.nn.saving import reading

        saved, arrays = files.load(path, KIND, mmap=mmap)
        with reading(path):
            return cls.from_state(join(saved, arrays), mapped=mmap)


def _data(X, Y, model=None, stated=None):
    """(X, indicator of labels, classes, whether rows have several labels); of a fitted model, whose classes come first. Classes that are
    `stated` need not occur."""
    from scipy import sparse

    from mongoose_nb.data.indicator import check_Y
    from mongoose_nb.data.validate import check_same_rows, check_X

    X = check_X(X, None if model is None else model.n_features_in_, owner="SolarClassifier")
    known = None if model is None else model.classes_
    targets = Targets(Y)
    Y, plain = targets.y, not targets.multilabel
    if model is not None and plain == model.multilabel_:
        raise ValueError(f"Y holds {'one class' if plain else 'several labels'} a row; the model was fitted with the other form")
    if not plain:
        indicator = check_Y(Y, n_rows=X.shape[0])
        n = max(indicator.shape[1], 0 if known is None else len(known))
        indicator = sparse.csr_matrix((indicator.data, indicator.indices, indicator.indptr), shape=(indicator.shape[0], n))
        check_same_rows(X, indicator)
        return X, indicator, np.arange(n), True
    if len(Y) != X.shape[0]:
        raise ValueError(f"X has {X.shape[0]} rows and Y {len(Y)}; give one class for each row")
    classes = unique_classes(Y, "Y") if stated is None else unique_classes([*unique_classes(stated, "classes").tolist(), *Y.tolist()],
                                                                           "classes together with Y")
    if known is not None:
        before = set(known.tolist())
        new = [name for name in classes.tolist() if name not in before]
        classes = as_labels([*known.tolist(), *new], "Y together with the classes so far") if new else known
    order = np.argsort(classes, kind="stable")
    place = order[np.searchsorted(classes, Y, sorter=order)]
    return X, sparse.csr_matrix((np.ones(len(Y), np.float32), place.astype(np.int32), np.arange(len(Y) + 1)),
                                shape=(len(Y), len(classes))), classes, False
