"""Hash functions that learn which rows a query is to find (Chen et al., "MONGOOSE", ICLR 2021, section 3.3).

A. *One projection for queries and rows.* A SimHash family stays what it is, and only its functions change. Two projections, one
   for each side, gained nothing over one (EURLEX57K, recall of the exact top 10 among 50 of 4,271 candidates: 0.86 against 0.88;
   random functions 0.42).
B. *What is deployed is what was trained*: the sign of the same projection, in float32. How far the sign departs from the tanh that it
   was trained with is measured every time, see `LearnedHash.report`.
C. *Rows are never all projected while learning*: a step reads its queries and some hundreds of rows. Mining does visit all rows, once
   per training, for a few thousand queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.adam import adam_step
from mongoose_nb.core.registry import Registered, find, fresh, make, register
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.hashing.learned_losses import Examples, soft_bits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mongoose_nb.hashing.base import HashFamily

# Queries from which pairs are mined, and pairs kept of each kind: unions of buckets are long.
_PAIR_QUERIES, _PAIRS = 512, 1 << 16
# Rows that are made on the fly at once.
_MADE = 1 << 16
# Most of anything that is counted: settings may come from a file, and must not take all memory, or run for ever.
MOST = 1 << 20


@register("learned hash", "learned")
class LearnedHash(Registered, Stateful, kind="learned hash"):
    """Trains the functions of a hash family on recent queries.

    Parameters
    ----------
    loss : str
        ``"contrast"``, ``"triplet"`` or ``"logistic"``; see `learned_losses`.
        Only the first is recommended: the others are the paper's and the released code's.
    steps : int
        Adam steps at a training. More than 20 gained nothing while a network trained, and took much longer.
    first_steps : int, optional
        At the first training, which starts from random functions; three times `steps` by default.
    lr : float
        Adam's learning rate for functions of unit-variance entries.
    queries : int
        Recent activations that are kept to learn from.
    batch : int
        Queries, or pairs, of a step.
    rows : int
        Rows of a step, half of them positives, under ``"contrast"``.
    positives : int
        Best-scoring rows that a query is to find.
    labels : bool
        Whether true labels take the first places among them: for serving rather than for training.
    sharpness : float
        Logit of full agreement under ``"contrast"``.
    margin : float
        Of the hinge, under ``"triplet"``.
    negative_weight : float
        What a wrongly returned row weighs against a missed one, at most 1, under ``"triplet"`` and ``"logistic"``.
    missed_above, returned_below : float, optional
        Thresholds of the pairs, under ``"triplet"`` and ``"logistic"``, as shares: a label that was not returned counts if its logit is
        above this share of the labels' logits, as the best outputs alone can win; an output that was returned counts as harmful if its
        logit is below this share of all logits. 0.25 and 0.99 are those of "Climbing the WOL". By default all labels and best outputs
        that were missed count, and what is below the median of its query.
    balance : float
        Weight of the mean square of the bits' means over the rows: bits that are the same for all rows say nothing.

    Notes
    -----
    Everything random is keyed by (seed, number of the training), so a run that is saved and resumed learns the same.
    """

    saved_state = ("_m", "_v", "_t", "_trainings", "_last")
    optional = ("_m", "_v")

    def __init__(self, loss: str = "contrast", *, steps: int = 20, first_steps: int | None = None, lr: float = 0.05, queries: int = 2048,
                 batch: int = 128, rows: int = 768, positives: int = 10, labels: bool = False, sharpness: float = 20.0,
                 margin: float = 1.0, negative_weight: float = 0.3, missed_above: float | None = None,
                 returned_below: float | None = None, balance: float = 1.0) -> None:
        find("hash loss", loss)
        self.loss = loss
        self.steps = check_int("steps", steps, low=1, high=MOST)
        self.first_steps = None if first_steps is None else check_int("first_steps", first_steps, low=1, high=MOST)
        self.lr = check_number("lr", lr, low=0.0, open_low=True)
        self.queries = check_int("queries", queries, low=1, high=MOST)
        self.batch = check_int("batch", batch, low=2, high=MOST)
        self.rows = check_int("rows", rows, low=2, high=MOST)
        self.positives = check_int("positives", positives, low=1, high=MOST)
        self.labels = bool(labels)
        self.sharpness = check_number("sharpness", sharpness, low=0.0, open_low=True)
        self.margin = check_number("margin", margin, low=0.0)
        self.negative_weight = check_number("negative_weight", negative_weight, low=0.0, high=1.0)
        self.missed_above = None if missed_above is None else check_number("missed_above", missed_above, low=0.0, high=1.0)
        self.returned_below = None if returned_below is None else check_number("returned_below", returned_below, low=0.0, high=1.0)
        self.balance = check_number("balance", balance, low=0.0)

    @property
    def needs_pairs(self) -> bool:
        """Whether the loss is one of pairs that tables missed or returned, so that `mine` has to be given `retrieved`."""
        return bool(find("hash loss", self.loss).needs_pairs)

    # ------------------------------------------------------------------ one family's functions

    def bind(self, family: HashFamily, seed: int = 0) -> LearnedHash:
        """Get ready to train a family.

        Parameters
        ----------
        family : HashFamily
            A trainable one.
        seed : int
            Keys the random choices.

        Returns
        -------
        self
        """
        self._family, self._seed = family, seed
        self._m = self._v = np.zeros(family.functions.shape, np.float32)
        self._t = self._trainings = 0
        self._last = {}
        return self

    def follow(self, family: HashFamily) -> None:
        """Go on with another object of the family whose functions are being trained."""
        if family.functions.shape != self._m.shape:
            raise ValueError(f"the saved moments of the learned hash have shape {self._m.shape}; the functions have "
                             f"{family.functions.shape}")
        self._family = family

    def mine(self, h: np.ndarray, weights: np.ndarray, bias: np.ndarray, labels: np.ndarray, retrieved: Callable | None = None) -> Examples:
        """What the queries are to find: a pass over all outputs.

        Parameters
        ----------
        h : (m, d) float32
            Activations.
        weights, bias : (n, d) and (n,) float32
            Weights may be rows that slices and lists of ids make on the fly.
        labels : (m, p) int32
            True labels, -1 where there are fewer.
        retrieved : callable, optional
            ``retrieved(h) -> indptr, ids``: what the tables return. Asked for the losses on pairs alone.

        Returns
        -------
        Examples
        """
        top = _best_rows(h, weights, bias, min(self.positives, len(weights)))
        positives = labels_first(labels, top) if self.labels else top
        none = (np.zeros(0, np.int64),) * 2
        if retrieved is None or not self.needs_pairs:
            return Examples(positives, none, none)
        few = slice(0, _PAIR_QUERIES)
        wanted = labels[few] if self.missed_above is not None else labels_first(labels[few], top[few], both=True)
        return Examples(positives, *self._pairs(h[few], weights, bias, wanted, *retrieved(h[few])))

    def _pairs(self, h, weights, bias, wanted, indptr, ids):
        """Pairs missed: wanted and not returned. Pairs returned: with a low score, not wanted."""
        rng = self._rng(1)
        owner = np.repeat(np.arange(len(h)), np.diff(indptr))
        n_rows = len(weights)
        found = owner * n_rows + ids  # ascending
        query, place = np.nonzero(wanted >= 0)
        keys = np.unique(query * n_rows + wanted[query, place])
        missed = keys[~_among(keys, found)]
        if self.missed_above is not None and len(keys):
            logits = (h[keys // n_rows] * weights[keys % n_rows]).sum(axis=1) + bias[keys % n_rows]
            missed = missed[(logits >= np.quantile(logits, self.missed_above))[np.searchsorted(keys, missed)]]
        sample = np.arange(n_rows) if n_rows <= 1024 else rng.integers(0, n_rows, 1024)
        logits = h @ weights[sample].T + bias[sample]
        limit = (np.median(logits, axis=1) if self.returned_below is None
                 else np.full(len(h), np.quantile(logits, self.returned_below), np.float32))
        if len(found) > 4 * _PAIRS:
            found = found[np.unique(rng.integers(0, len(found), 4 * _PAIRS))]
        found = found[~_among(found, keys)]
        query, row = found // n_rows, found % n_rows
        low = (h[query] * weights[row]).sum(axis=1) + bias[row] < limit[query]
        returned = found[low]
        most = min(len(missed), len(returned), _PAIRS)
        missed, returned = (np.sort(rng.choice(a, most, replace=False)) if most else a[:0] for a in (missed, returned))
        return (missed // n_rows, missed % n_rows), (returned // n_rows, returned % n_rows)

    def learn(self, queries: np.ndarray, rows: Any, examples: Examples) -> bool:
        """Train the family's functions; they are replaced, so tables built before refuse to answer.

        Parameters
        ----------
        queries : (m, dim) float32
            As they are hashed.
        rows : array-like of shape (n, dim)
            As they are hashed: ``rows[ids]`` gives some.
        examples : Examples

        Returns
        -------
        bool
            False where there was nothing to learn from, and nothing has changed.
        """
        from mongoose_nb.core.threads import one_blas_thread

        loss = find("hash loss", self.loss)(self, self._family.K)
        if not loss.ready(examples):
            return False
        with one_blas_thread():  # the same bits for any number of threads
            self._learn(loss, queries, rows, examples)
        return True

    def _learn(self, loss, queries, rows, examples):
        steps = self.steps if self._trainings else self.first_steps or 3 * self.steps
        rng = self._rng(0)
        n_rows = rows.shape[0]
        # projections of unit variance under functions of unit variance, on either side
        to_q = 1 / max(_rms(queries), 1e-30)
        to_u = 1 / max(_rms(rows[rng.integers(0, n_rows, 1024)]), 1e-30)
        functions = self._family.functions.copy()
        if self._t == 0:
            self._m, self._v = np.zeros_like(functions), np.zeros_like(functions)
        start = end = None
        for step in range(steps):
            who, which, target = loss.draw(rng, examples, n_rows)
            q, u = queries[who] * np.float32(to_q), rows[which] * np.float32(to_u)
            zq, zu = q @ functions, u @ functions
            value, dq, du = loss.gradient(zq, zu, target)
            if self.balance:
                bits, slope = soft_bits(zu)
                du += np.float32(2 * self.balance / zu.size) * bits.mean(axis=0) * slope
            start, end = value if start is None else start, value
            self._t += 1  # the rate falls to nothing over a training
            adam_step(functions, self._m, self._v, q.T @ dq + u.T @ du, self._t, self.lr * (1 - step / steps) ** 0.5, beta2=0.99, eps=1e-12)
        self._family.set_functions(functions)
        self._trainings += 1
        self._measure(queries * np.float32(to_q), rows, np.float32(to_u), examples, start, end)

    def _measure(self, queries, rows, to_u, examples, start, end):
        """Collision rates of the deployed signs and of the relaxation, for pairs to be found and for random pairs."""
        rng = self._rng(2)
        functions = self._family.functions
        query, place = np.nonzero(examples.positives >= 0)
        if not len(query):
            return
        chosen = rng.integers(0, len(query), 1024)
        zq = queries[query[chosen]] @ functions
        rates = {}
        for name, ids in (("positive", examples.positives[query[chosen], place[chosen]]), ("random", rng.integers(0, rows.shape[0], 1024))):
            zu = (rows[ids] * to_u) @ functions
            rates[name] = float(((zq > 0) == (zu > 0)).mean()), float((0.5 + 0.5 * np.tanh(zq) * np.tanh(zu)).mean(dtype=np.float64))
        signs = ((zu > 0).mean(axis=0) - 0.5) * 2
        self._last = {"learn_loss_start": start, "learn_loss": end, "collision_positive": rates["positive"][0],
                      "collision_random": rates["random"][0], "bit_bias": float(np.abs(signs).mean()),
                      "quantisation_gap": (rates["positive"][0] - rates["random"][0]) - (rates["positive"][1] - rates["random"][1])}

    def _rng(self, purpose):
        return stream(self._seed, "learned hash functions", self._trainings, purpose)

    # ------------------------------------------------------------------ figures, saving

    def report(self) -> dict[str, float]:
        """Trainings so far, and of the last one: the loss at its first and last step; the share of bits in which a query agrees with
        the rows that it is to find (`collision_positive`) and with random ones (`collision_random`), as deployed; by how much the
        difference of the two is larger than under the relaxation (`quantisation_gap`); and the mean absolute value of the bits' means
        over the rows (`bit_bias`), 0 for balanced bits."""
        return {"trainings": self._trainings, **self._last}

    def state_restored(self) -> None:
        """Refuse counts that cannot be."""
        for name in ("t", "trainings"):
            check_int(name, getattr(self, f"_{name}"), low=0, high=2**62)


def labels_first(labels: np.ndarray, top: np.ndarray, both: bool = False) -> np.ndarray:
    """Rows of `labels` before those of `top`, without repetition: as many columns as `top` has, or as the two have together.

    Parameters
    ----------
    labels : (m, p) int
        -1 where there are fewer.
    top : (m, k) int
    both : bool

    Returns
    -------
    (m, k) or (m, p + k) int32
        -1 where there are fewer.
    """
    joined = np.concatenate([labels, top], axis=1).astype(np.int32)
    repeated = np.zeros(joined.shape, bool)
    repeated[:, labels.shape[1]:] = (top[:, :, None] == labels[:, None, :]).any(axis=2)
    joined[repeated] = -1
    if both:
        return joined
    order = np.argsort(joined < 0, axis=1, kind="stable")
    return np.take_along_axis(joined, order, 1)[:, :top.shape[1]]


def make_learned(learn: None | str | dict | LearnedHash, **settings: Any) -> LearnedHash | None:
    """A `LearnedHash` of its own state.

    Parameters
    ----------
    learn : None, str, dict or LearnedHash
        None stays None. A string is the name of a loss. A dict is a description. Of an object a new one is made.
    **settings
        Arguments for one that is given by the name of its loss.

    Returns
    -------
    LearnedHash or None
    """
    if learn is None:
        return None
    if isinstance(learn, str):
        return LearnedHash(learn, **settings)
    if isinstance(learn, LearnedHash):
        return fresh(learn)
    if isinstance(learn, dict):
        return make("learned hash", {"name": "learned", **learn})
    raise TypeError(f"learn must be None, the name of a loss, or a hashing.LearnedHash; got {learn!r}")


def _among(values, ascending):
    """Which of `values` are in the other array."""
    if not len(ascending):
        return np.zeros(len(values), bool)
    return ascending[np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)] == values


def _rms(rows):
    return float(np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1).mean()))


def _best_rows(h, weights, bias, k):
    """Ids of the k rows with the largest scores for every query, the best first; rows on the fly are made a block at a time."""
    from mongoose_nb.core.threads import one_blas_thread
    from mongoose_nb.kernels.layers import wide

    ids, best = np.zeros((len(h), 0), np.int32), np.zeros((len(h), 0), np.float32)
    step = len(weights) if isinstance(weights, np.ndarray) else _MADE
    for lo in range(0, len(weights), step):
        rows = weights[lo:lo + step]
        shape = 1, len(h), min(k, len(rows))
        scores, top = np.empty(shape, np.float32), np.empty(shape, np.int32)
        with one_blas_thread():
            wide.topk_exact(h, rows, bias[lo:lo + step], 256, 1, scores, top)
        ids, best = np.concatenate([ids, top[0] + np.int32(lo)], axis=1), np.concatenate([best, scores[0]], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        ids, best = np.take_along_axis(ids, order, 1), np.take_along_axis(best, order, 1)
    return ids
