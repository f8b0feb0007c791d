"""What a classifier over a `Network` answers: classes, best outputs, scores, probabilities, and how right they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.labels import as_labels
from mongoose_nb.core.registry import make
from mongoose_nb.nn.answers import one_row, top_probabilities
from mongoose_nb.nn.label_names import names_of
from mongoose_nb.sklearn.base import NotFittedError, check_names, of_one_fit, threads
from mongoose_nb.sklearn.outputs import indicator, logits, probabilities, ranked_probabilities, ranked_scores, ranked_top_probabilities
from mongoose_nb.sklearn.targets import Targets

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["NetworkPrediction"]


class NetworkPrediction:
    """The answers of an estimator with a ``network_``, ``classes_``, ``multilabel_``, ``k_`` and ``n_jobs``."""

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray | scipy.sparse.csr_matrix:
        """The class of every row; of a multi-label problem, each row's `k_` best labels.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame, or n texts

        Returns
        -------
        (n,) array of classes, or n lists of names where y was lists of names, or (n, n_labels) indicator: an array where y was one, CSR
        where it was sparse or ids
            For another number of labels or their scores, see `predict_topk`.
        """
        return self._predict(self._check(X))

    def _predict(self, X):
        if not self.multilabel_:
            return self.classes_[self._topk(X, 1)[0][:, 0]]
        ids = self._topk(X, self.k_)[0]
        if self._form == "names":
            return [[str(name) for name in row] for row in self.classes_[ids]]
        return indicator(ids, len(self.classes_), self._dtype, self._form == "dense")

    @of_one_fit
    def predict_topk(self, X: Any, k: int | None = None, *, exact: bool = True, candidates: int | None = None, names: bool = False,
                     proba: bool = False, exclude: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Best `k` outputs of every row.

        Parameters
        ----------
        X : (n, n_features) CSR, dense array or data frame, or n texts
            A single row may be 1-D, or one text; the answer then has no axis of rows.
        k : int, optional
            By default 5, or all where there are fewer.
        exact : bool
            True scores every output. False scores those that the hash tables retrieve (needs the LSH sampler).
        candidates : int, optional
            With ``exact=False``, most outputs to score for a row.
        names : bool
            Classes, or names of labels, in place of their places in `classes_`.
        proba : bool
            Probabilities, as of `predict_proba`, in place of logits.
        exclude : optional
            Outputs to leave out, by row or for all rows; see `Network.predict_topk`.

        Returns
        -------
        ids : (n, k) int32
            Places in `classes_`, best first; -1 where fewer than k were scored. With `names` an object array of classes, None there.
        scores : (n, k) float32
            Logits, or scores of the ranking; -inf where the id is -1. With `proba` probabilities, 0 there.
        """
        X, single = one_row(X, self.n_features_in_ if self.__sklearn_is_fitted__() and self.network_.text is not None else None)
        X = self._check(X)
        ids, scores = self._topk(X, k, exact=exact, candidates=candidates, exclude=exclude)
        if proba and self.network_.ranking is not None:
            with threads(self.n_jobs):
                scores = ranked_top_probabilities(self.network_, X, scores, self.multilabel_)
        elif proba:
            scores = self._top_probabilities(X, scores, exact)
        ids = names_of(self.classes_, ids) if names else ids
        return (ids[0], scores[0]) if single else (ids, scores)

    def _top_probabilities(self, X, scores, exact):
        of_one = make("loss", self.network_.loss).logistic and self.multilabel_
        if not exact and not of_one:
            raise ValueError("these probabilities are shares of all outputs: give exact=True")
        with threads(self.n_jobs):
            return top_probabilities(self.network_, X, scores, normalise=not self.multilabel_)

    @of_one_fit
    def decision_function(self, X: Any) -> np.ndarray:
        """Logits of all outputs, or scores of the ranking, for problems of moderate width.

        Outputs that a ranking has no score for get one below all others of the row.

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

    @of_one_fit
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of all outputs, for problems of moderate width.

        Under the softmax they sum to 1 over the outputs. Under the logistic loss, and with a ranking, every label has its own, and those of
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
        X = self._check(X)
        if self.network_.ranking is not None:
            with threads(self.n_jobs):
                return ranked_probabilities(self.network_, X, self.multilabel_)
        return probabilities(self._logits(X), make("loss", self.network_.loss).logistic, self.multilabel_)

    @of_one_fit
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
            _, Y = targets.encode(X.shape[0], self.classes_, strict=False)
            with threads(self.n_jobs):
                return self.network_.evaluate(X, Y, k=1)["P@1"]
        if len(targets.y) != X.shape[0]:
            raise ValueError(f"y has {len(targets.y)} rows, X has {X.shape[0]}; they must describe the same samples")
        if len(targets.y):
            as_labels([*self.classes_[:1].tolist(), *targets.y[:1].tolist()], "y together with the classes")
        return float(np.mean(self._predict(X) == targets.y))

    def _topk(self, X, k, **options):
        with threads(self.n_jobs):
            return self.network_.predict_topk(X, k, **options)

    def _logits(self, X):
        with threads(self.n_jobs):
            return (logits if self.network_.ranking is None else ranked_scores)(self.network_, X)

    def _check(self, X):
        """X in canonical form, if the estimator is fitted and X is of its kind."""
        from mongoose_nb.data.validate import check_X
        from mongoose_nb.nn.text_features import is_texts

        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate "
                                 "arguments before using this estimator.")
        if is_texts(X, expected=self.network_.text is not None):
            return self.network_.rows(X)
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
