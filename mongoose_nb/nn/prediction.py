"""What a network answers: the best outputs of a row, scores on labelled rows, and tables that are trained for prediction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import make
from mongoose_nb.core.threads import compute_threads, kernel_threads
from mongoose_nb.core.validation import check_int, check_pair, check_rows
from mongoose_nb.nn.answers import best_without, check_exclude, one_row, scores_of, top_probabilities
from mongoose_nb.nn.features import transform_batch
from mongoose_nb.nn.labelled import labelled
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.model import Model
from mongoose_nb.nn.proposer import NetworkProposer
from mongoose_nb.nn.ranking import Lists, Ranking
from mongoose_nb.nn.ranking.lists import joined
from mongoose_nb.nn.retrieval import serving
from mongoose_nb.nn.retrieval.base import Retriever
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets
from mongoose_nb.nn.training import backprop
from mongoose_nb.nn.training.timing import PhaseTimer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse

    from mongoose_nb.hashing import LearnedHash

# Samples whose hidden activations are held at once when predicting.
PREDICT_BLOCK = 8192
# Retrieved outputs that are held at once, about: 8,192 rows with 262,144 of them each took 8 GB.
LISTED_BLOCK = 1 << 25
# Rows that are ranked again at once.
RANKED_BLOCK = 2048
# Multiplications for a row that is ranked again, about.
RANKED_WORK = 1 << 17


class Predictor(Model):
    """The part of `Network` that predicts: its layers, output layer, retriever and ranking are made there."""

    def rows(self, X: Any) -> scipy.sparse.csr_matrix:
        """X as the network computes with it: canonical CSR float32, of numbers or, where `text` is set, of texts."""
        from mongoose_nb.data.validate import check_X
        from mongoose_nb.nn.text_features import is_texts

        if is_texts(X, expected=self.text is not None):
            if self.text is None:
                raise TypeError("X holds texts, and this network was trained on numbers: give rows of numbers, or set network.text to "
                                "the fitted nn.TextFeatures that made the training rows")
            X = self.text.transform(X)
        return check_X(X, n_features=self.n_features)

    def _check(self, X, Y):
        from mongoose_nb.data.indicator import check_Y
        from mongoose_nb.data.validate import check_same_rows

        X = self.rows(X)
        Y = check_Y(Y, n_outputs=self.n_outputs, n_rows=X.shape[0])
        check_same_rows(X, Y)
        return X, Y

    def _work(self, X, n_rows, active=None):
        """Multiplications for so many rows of X, about; `active` outputs of each, by default what the sampler computes."""
        if active is None:
            active = min(self.n_outputs, getattr(self.output.sampler, "candidates", self.n_outputs))
        n_rows = min(n_rows, X.shape[0])
        work, width = 0, X.nnz / X.shape[0]
        for layer in self.layers:
            work += width * layer.n_outputs
            width = layer.n_outputs
        return n_rows * (work + width * active)

    def transformed(self, x: Rows) -> Rows:
        """Rows as the first layer takes them: after the features, where there are any.

        Parameters
        ----------
        x : Rows
        """
        return x if self.features is None else transform_batch(self.features, x)

    def _forward(self, x, timer):
        """Input of the output layer."""
        return backprop.forward(self.layers, self.transformed(x), Run(self.step, train=False, timer=timer))[0]

    def hidden_activations(self, X: np.ndarray | scipy.sparse.csr_matrix) -> np.ndarray:
        """Input of the output layer, (n, width) float32, for rows `X`."""
        X = self.rows(X)
        with compute_threads(self._work(X, X.shape[0])), self._lock:
            return np.array(self._forward(Rows.of(X), PhaseTimer()))

    def predict_topk(self, X: np.ndarray | scipy.sparse.csr_matrix, k: int | None = None, *, exact: bool = True,
                     candidates: int | None = None, ranked: bool | None = None, exclude: Any = None,
                     probabilities: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Best `k` outputs of every row.

        Parameters
        ----------
        X : (n, n_features) CSR or dense
            Or a list of texts, where `text` is set. A single row may be 1-D, or one text; the answer then has no axis of rows.
        k : int, optional
            By default 5, or all where there are fewer.
        exact : bool
            True scores every output. False scores those that hash tables retrieve: the ones that `fit_serving` trained, else those
            of the LSH sampler, made for training, which miss many of the best outputs where there are many outputs.
        candidates : int, optional
            With ``exact=False``, most outputs to score for a row; by default that of `fit_serving`, else the sampler's, and at least k.
        ranked : bool, optional
            Whether the best outputs are ranked again by what `fit_ranking` made; by default if there is such a ranking.
        exclude : optional
            Outputs to leave out, such as those that a user has seen: an (n, n_outputs) sparse matrix whose entries are not zero there,
            or a list of lists of ids, by row; or ids, or a mask of booleans, for all rows.
        probabilities : bool
            Probabilities in place of logits: under the softmax over all outputs, those in `exclude` too; under the logistic loss of each
            output alone. Those of a ranking are calibrated on the rows that were held out: that the output is a label of the row.

        Returns
        -------
        ids : (n, k) int32
            Best first, the lower id first among equals; -1 where fewer than k were scored.
        scores : (n, k) float32
            Logits, or scores of the ranking; -inf where the id is -1. Or probabilities; 0 there.
        """
        X, single = one_row(X, None if self.text is None else self.n_features)
        k = min(5, self.n_outputs) if k is None else check_int("k", k, low=1, high=self.n_outputs)
        X = self.rows(X)
        if ranked and self.ranking is None:
            raise ValueError("ranked=True needs a ranking: call fit_ranking first")
        ranked = self.ranking is not None and ranked is not False
        if probabilities and not ranked and not exact and not self.output.loss_kind.logistic:
            raise ValueError("probabilities under the softmax are shares of all outputs: give exact=True")
        source = self.retriever or self.output.sampler
        if not exact and not hasattr(source, "retrieve"):
            raise ValueError(f"exact=False needs a network with the LSH sampler; this one has {source!r}: call fit_serving first")
        if exclude is None:
            ids, scores = self._best(X, k, exact, candidates, ranked)
        else:
            def best(X, k, exclude):
                return self._best(X, k, exact, candidates, ranked, exclude)

            exclude = check_exclude(exclude, X.shape[0], self.n_outputs)
            ids, scores = best_without(best, self._listed if exact and not ranked else None, X, k, exclude)
        if probabilities:
            scores = self.ranking.mixture.probabilities(scores) if ranked else top_probabilities(self, X, scores)
        return (ids[0], scores[0]) if single else (ids, scores)

    def _listed(self, X, k, start, count, ids):
        """The best of the outputs that are listed for each row."""
        none = np.zeros_like(count)
        lists = ActiveSets(start, count, ids, none, count, none, np.zeros(len(count), np.float32))
        with compute_threads(float(count.sum()) * self.output.n_inputs), self._lock:
            return self.output.topk_of(self._forward(Rows.of(X), PhaseTimer()), k, lists)

    def _best(self, X, k, exact, candidates, ranked, exclude=None):
        """`predict_topk` of canonical rows; a ranking is not proposed what is excluded."""
        if ranked:
            return self._ranked(X, k, exact, candidates, exclude)
        source = self.retriever or self.output.sampler
        if not exact:
            candidates = check_int("candidates", max(source.candidates, k) if candidates is None else candidates, low=1, high=2**31 - 2)
            candidates = min(candidates, self.n_outputs)
        ids = np.empty((X.shape[0], k), np.int32)
        scores = np.empty((X.shape[0], k), np.float32)
        timer = PhaseTimer()
        if not exact and self.retriever is not None and not self.retriever.built(self.step):
            # before the threads are limited to what a row or two are worth: that would take twice as long
            with compute_threads(self.n_outputs * self.output.n_inputs), self._lock:
                self.retriever.build(self.step)
        work = self._work(X, X.shape[0], self.n_outputs if exact else candidates)
        rows = PREDICT_BLOCK if exact else max(1, min(PREDICT_BLOCK, LISTED_BLOCK // candidates))
        with compute_threads(work) if exact else kernel_threads(work):
            for lo in range(0, X.shape[0], rows):
                block = slice(lo, min(lo + rows, X.shape[0]))
                with self._lock:
                    ids[block], scores[block] = self._topk(Rows.of(X, block), k, exact, candidates, timer)
        return ids, scores

    def _ranked(self, X, k, exact, candidates, exclude):
        """The best of the ranking, block by block."""
        ranking, parts = self.ranking, []
        for lo in range(0, max(1, X.shape[0]), RANKED_BLOCK):
            block = X if X.shape[0] <= RANKED_BLOCK else X[lo:lo + RANKED_BLOCK]  # a slice takes a tenth of the time of a single row
            left_out = None if exclude is None else exclude[lo:lo + RANKED_BLOCK]
            with kernel_threads(block.shape[0] * RANKED_WORK):
                parts.append(ranking.topk(block, k, NetworkProposer(self, exact, candidates, left_out)))
        return tuple(np.concatenate(part) for part in zip(*parts))

    def ranked_lists(self, X: np.ndarray | scipy.sparse.csr_matrix) -> tuple[Lists, np.ndarray]:
        """Candidates of every row and their scores by the ranking.

        Parameters
        ----------
        X : (n, n_features) CSR or dense

        Returns
        -------
        Lists
        scores : (entries,) float32
        """
        X = self.rows(X)
        if self.ranking is None:
            raise ValueError("there is no ranking: call fit_ranking first")
        parts = []
        for lo in range(0, max(1, X.shape[0]), RANKED_BLOCK):
            block = X if X.shape[0] <= RANKED_BLOCK else X[lo:lo + RANKED_BLOCK]  # a slice takes a tenth of the time of a single row
            with kernel_threads(block.shape[0] * RANKED_WORK):
                parts.append(self.ranking.scores(block, NetworkProposer(self)))
        return joined([lists for lists, _ in parts]), np.concatenate([scores for _, scores in parts])

    def _topk(self, x, k, exact, candidates, timer):
        h = self._forward(x, timer)
        if exact:
            return self.output.topk(h, k)
        sets = (self.retriever or self.output.sampler).retrieve(h, candidates, timer, self.step)
        return self.output.topk_of(h, k, sets)

    def predict(self, X: np.ndarray | scipy.sparse.csr_matrix) -> np.ndarray:
        """The best output of every row, (n,) int32."""
        return self.predict_topk(X, 1)[0][..., 0]

    def evaluate(self, X: np.ndarray | scipy.sparse.csr_matrix, Y: Any, *, k: int | None = None, exact: bool = True,
                 propensity: np.ndarray | None = None, ranked: bool | None = None) -> dict[str, float]:
        """Scores on labelled rows, means over those that have a label; a UserWarning says how many have none.

        Parameters
        ----------
        X, Y
            As for `fit`.
        k : int, optional
            Scores at 1, 3, 5, ... and `k`; 5 by default, or the number of outputs if there are fewer.
        exact : bool
            See `predict_topk`.
        propensity : (n_outputs,) array, optional
            Inverse propensities (`metrics.inverse_propensity` of the training labels); adds PSP@k.
        ranked : bool, optional
            See `predict_topk`.

        Returns
        -------
        dict
            P@1, nDCG@1, R@1 (recall), ... and PSP@1, ...

        Raises
        ------
        ValueError
            If no row has a label.
        """
        X, Y = labelled(*self._check(X, Y))
        k = min(5, self.n_outputs) if k is None else check_int("k", k, low=1, high=self.n_outputs)
        predicted, _ = self.predict_topk(X, k, exact=exact, ranked=ranked)
        return scores_of(Y, predicted, propensity)

    # ------------------------------------------------------------------ tables for prediction

    def candidates(self, X: np.ndarray | scipy.sparse.csr_matrix, n: int | None = None) -> np.ndarray:
        """Outputs that ``predict_topk(exact=False)`` scores, by the retriever of `fit_serving`.

        Parameters
        ----------
        X : (m, n_features) CSR or dense
        n : int, optional
            Most outputs for a row; by default the number of `fit_serving`.

        Returns
        -------
        (m, n) int32
            Different outputs of each row, in no particular order; -1 behind the last where there are fewer.
        """
        if self.retriever is None:
            raise ValueError("there is no retriever: call fit_serving first")
        n = check_int("n", self.retriever.candidates if n is None else n, low=1, high=self.n_outputs)
        X = self.rows(X)
        with compute_threads(self._work(X, X.shape[0], n)), self._lock:
            return self.retriever.listed(self._forward(Rows.of(X), PhaseTimer()), n, self.step)

    def use_retriever(self, retriever: str | dict | Retriever) -> None:
        """Have ``predict_topk(exact=False)`` score what a copy of `retriever`, bound to the output layer, gives."""
        self.retriever = make("retriever", retriever).bind(self.output.weights, self.output.bias, self.seed)

    def fit_serving(self, X: np.ndarray | scipy.sparse.csr_matrix, Y: Any, *, candidates: int | None = None, K: int | None = None,
                    L: int | None = None, rows: int = 8192, learn: str | dict | LearnedHash | None = None,
                    retriever: str | dict | Retriever | None = None, target: float | None = None,
                    validation: tuple | None = None) -> dict[str, float]:
        """Train hash tables for ``predict_topk(exact=False)`` and ``evaluate(exact=False)``; the weights stay as they are.

        The hash functions are trained so that true labels and the best-scoring outputs are found (`nn.LabelSensitiveRetriever`). They are
        saved with the network. When the weights move on, the tables follow, and the functions stay until this is called again.

        Parameters
        ----------
        X, Y
            As for `fit`: the training data, or others like them.
        candidates : int, optional
            Outputs to score for a row when predicting: by default a hundredth of all, at least 100.
        K, L : int, optional
            Hashes per table and tables: by default buckets of about 300 outputs, and 250.
        rows : int
            Rows of X to learn from, drawn at random.
        learn : hashing.LearnedHash, optional
            By default the contrast with ``labels=True`` in 200 steps.
        retriever : str or Retriever, optional
            Another way to find outputs, with arguments of its own; in place of `candidates`, `K`, `L` and `learn`: ``"exact"``, ``"index"``
            (an `LSHIndex`), ``"solar"``, ``"ivf"`` (needs the extra ``faiss``), or an object, also of a class of your own.
        target : float, optional
            Choose the number of candidates: the smallest with which P@1 is at most so much below that of all outputs, such as 0.002, on
            `validation`, or on a quarter of the `rows`, which the functions are not trained on.
        validation : (X, Y), optional
            Rows for the `target` that the network was not trained on. A network is surer of rows that it knows, and finds their labels
            with fewer candidates: without such rows, P@1 of new ones may fall by more than the target.

        Returns
        -------
        dict
            What the retriever reports of its training, such as `hashing.LearnedHash.report` and ``functions_changed``, whether the trained
            functions were better than random ones and stayed, and the ``seconds`` it took. Of the rows that
            `target` keeps aside, else of 1,024 that were learned from: ``candidates``; ``scored``, outputs that were scored for a row, and
            their ``share``; ``label_recall``, the share of the labels that were among them; ``P@1``; ``multiply_adds``, about what a
            row took in the output layer; and ``exact_multiply_adds``, what all outputs take: where this is less, as in small layers, keep
            to ``exact=True``. With `validation`, these are of its rows. With `target` also ``exact P@1``, and ``reached``,
            whether it is the P@1 that was wanted.
        """
        start = time.perf_counter()
        made = serving.retriever_of(retriever, {"candidates": candidates, "K": K, "L": L, "learn": learn}, target)
        X, Y = self._check(X, Y)
        held = None if validation is None else self._check(*check_pair("validation", validation))
        bound, report = serving.train(self, made, X, Y, rows, target, held)
        self.retriever = bound
        return {**report, "seconds": time.perf_counter() - start}

    def fit_ranking(self, X: np.ndarray | scipy.sparse.csr_matrix, Y: Any, *, candidates: int | None = None,
                    sources: Sequence | None = None, features: Any = "auto", held_out: float | np.ndarray = 0.1,
                    seed: int | None = None, objective: Any = "precision") -> dict[str, Any]:
        """Train what ranks the network's best outputs again: linear rankers, neighbours that vote, counts, weighed on held-out rows.

        Afterwards `predict_topk` and `evaluate` rank by these sources (`ranking.Ranking`), unless ``ranked=False``. The network stays as
        it is. The ranking is saved with it, and stays until this is called again. A network trained for a few epochs is enough: it only
        has to bring the right labels among the candidates. Where it was not trained on the held-out rows, its probabilities are weighed
        too. Sources that add nothing are dropped.

        Parameters
        ----------
        X, Y
            As for `fit`: the training data.
        candidates : int, optional
            Best outputs of the network that are candidates of a row; half as many labels that sources name join them. By default 100,
            or all labels where rows times labels are at most 4.2 million.
        sources : sequence of str or Source, optional
            What knows of candidates: by default ``"rankers"``, ``"neighbours"``, ``"co-occurrence"`` and ``"network"``. Objects take
            arguments, such as ``ranking.LinearRankers(C=1.0)``; a class of your own derives from `ranking.Source`.
        features : str or Features
            The form in which sources see a row: ``"tfidf"``, ``"log"``, ``"unit"``, ``"none"``, a step of your own (`nn.Features`), or
            ``"auto"``: the one by which neighbours vote best.
        held_out : float or (m,) int array
            Share of the rows, at most 5,000, on which sources are weighed; or indices of rows that the network was not trained on: then
            its probabilities are weighed too. Sources learn from these rows too, afterwards.
        seed : int, optional
            That of the network by default.
        objective : str or Objective
            What sources are weighed for: ``"precision"``, P@k, or ``"propensity"``, PSP@k, under which rare labels count more.

        Returns
        -------
        dict
            ``features``, ``mixture`` (the terms of the score), ``held_out`` (P@1, P@3, P@5 of each source and of the mixture),
            ``seconds`` by part, and ``bytes`` of what was kept.
        """
        X, Y = self._check(X, Y)
        held = None if np.ndim(held_out) == 0 else check_rows("held_out", held_out, X.shape[0])
        share = 0.1 if held is not None else held_out
        ranking = Ranking(candidates, sources, features, share, self.seed if seed is None else seed, objective)
        report = ranking.fit(X, Y, NetworkProposer(self), held)
        self.ranking = ranking
        return {**report, "bytes": ranking.nbytes}

    def update_ranking(self, X: np.ndarray | scipy.sparse.csr_matrix, Y: Any) -> None:
        """Give the ranking that `fit_ranking` made more training rows: they vote among the nearest rows.

        Linear rankers and counts do not learn from them, and the weights of the sources stay; `fit_ranking` with all rows brings both up
        to date. Memory grows with the rows.

        Parameters
        ----------
        X, Y
            As for `fit`: new rows.
        """
        X, Y = self._check(X, Y)
        if self.ranking is None:
            raise ValueError("there is no ranking: call fit_ranking first")
        self.ranking = self.ranking.updated(X, Y)

    def rehash(self) -> None:
        """Bring the hash tables up to date with the weights now, whatever the schedule says."""
        if self.retriever is not None:
            self.retriever.forget()
        with compute_threads(self.n_outputs * self.output.n_inputs), self._lock:
            for sampler in self.samplers().values():
                sampler.rehash_now()
