"""Rotations that learn which tokens attend to each other, when the layer has turned (MONGOOSE, sections 3 and 4.2)."""

from __future__ import annotations

import numpy as np

from mongoose_nb.attention._arrays import check_heads, check_mask
from mongoose_nb.attention.lsh import LSHAttention
from mongoose_nb.attention.rotation_losses import LOSSES, Examples
from mongoose_nb.attention.rotations import draw_rotations
from mongoose_nb.core.adam import adam_step
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.rehash import ALL, Drift, Schedule, make_schedule
from mongoose_nb.rehash.base import Stored


class LearnedRotations(Stateful):
    """Directions of one layer's hashing, trained on its own queries and keys; give it to ``LSHAttention(rotations=...)``.

    Parameters
    ----------
    heads, n_hashes, width : int
        Of the layer.
    n_buckets : int
        Buckets of the longest sequences (`rotations.count_buckets`); shorter ones use the first n / 2 columns.
    loss : {"contrast", "triplet"}
        What is learned from the examples, see `rotation_losses`; the second one is the literature's.
    steps, first_steps : int
        Steps of Adam at a training, and at the first one (None: twice as many).
    lr : float
        Rate of Adam; it falls to nothing over a training.
    queries, keys : int
        Queries mined in a sequence, and keys that they are compared with in the loss, at most.
    sequences : int
        Sequences mined for one training, at most.
    sharpness, balance, margin : float
        Of the losses: how sharp softened buckets are, the weight of their balance, the margin of the triplets.
    missed : bool
        Whether keys that a query should have reached and did not are positives too (``"triplet"``; the other loss always sees them).
    schedule : int, str or rehash.Schedule, optional
        When to train: every so many steps, or by default ``Drift(0.03, check_every=10)``, when the rows of the layer's query-key
        projection have turned since the last training.
    seed : int

    Attributes
    ----------
    value : (heads, n_hashes, width, n_buckets / 2) float32
        The directions; replaced, never written to.
    version : int
        Trainings so far.
    """

    def __init__(self, heads: int, n_hashes: int, width: int, n_buckets: int, *, loss: str = "contrast", steps: int = 60,
                 first_steps: int | None = None, lr: float = 0.05, queries: int = 128, keys: int = 512, sequences: int = 4,
                 sharpness: float = 3.0, balance: float = 0.5, margin: float = 1.0, missed: bool = True,
                 schedule: int | str | Schedule | None = None, seed: int = 0) -> None:
        self.heads, self.n_hashes = check_int("heads", heads, low=1), check_int("n_hashes", n_hashes, low=1)
        self.width, self.n_buckets = check_int("width", width, low=1), check_int("n_buckets", n_buckets, low=2)
        if n_buckets % 2:
            raise ValueError(f"n_buckets must be even: a direction has two sides; got {n_buckets}")
        self.loss = check_choice("loss", loss, tuple(LOSSES))
        self.steps = check_int("steps", steps, low=1)
        self.first_steps = 2 * self.steps if first_steps is None else check_int("first_steps", first_steps, low=1)
        self.lr = check_number("lr", lr, low=0.0, open_low=True)
        self.queries, self.keys = check_int("queries", queries, low=1), check_int("keys", keys, low=2)
        self.sequences = check_int("sequences", sequences, low=1)
        self.sharpness = check_number("sharpness", sharpness, low=0.0, open_low=True)
        self.balance, self.margin = check_number("balance", balance, low=0.0), check_number("margin", margin, low=0.0)
        self.missed = bool(missed)
        self.schedule = Drift(0.03, check_every=10) if schedule is None else make_schedule(schedule)
        self.seed = check_int("seed", seed, low=0)
        drawn = draw_rotations("random", heads, n_hashes, width, n_buckets // 2, seed)
        self.value = np.ascontiguousarray(drawn.transpose(0, 1, 3, 2), np.float32)
        self.version, self._shape, self._bound, self._last = 0, None, False, {}

    # ------------------------------------------------------------------ saving

    saved_state = ("value", "version", "_bound", "_last")  # and the schedule, from `bind` on
    optional = ("schedule",)

    def state_restored(self) -> None:
        """Refuse a state of a schedule that has nowhere to go."""
        if self._bound and self._shape is None:
            raise ValueError("the saved rotations were trained: call bind(heads * width, inputs), the shape of the query-key projection, "
                             "first")

    # ------------------------------------------------------------------ when

    def bind(self, n_rows: int, width: int) -> None:
        """Prepare for a query-key projection of shape (n_rows, width): n_rows is heads times the width of a head.

        The first call of `due` does it otherwise. A saved state is restored after it.
        """
        if self._shape is None:
            self.schedule.bind(n_rows, width, seed=self.seed)
            self._shape = n_rows, width
            self.saved_state = (*type(self).saved_state, "schedule")

    def due(self, step: int, weights: np.ndarray) -> bool:
        """Whether to train after step `step` (from 0); to be called once a step, in order.

        Parameters
        ----------
        step : int
        weights : (heads * width, inputs) float32
            Rows of the layer's query-key projection. Those of the first call are what drift is measured from until the first training,
            which is due at once.

        Returns
        -------
        bool
        """
        stored = Stored(np.ascontiguousarray(weights, np.float32))
        if not self._bound:
            self.bind(*stored.weights.shape)
            self.schedule.rebuilt(stored)
            self._bound = True
            return True
        return self.schedule.after_step(step, None, stored) is ALL

    def trained(self, weights: np.ndarray) -> None:
        """Take note that the directions were trained for these weights."""
        self.schedule.rebuilt(Stored(np.ascontiguousarray(weights, np.float32)))

    def after_step(self, step: int, weights: np.ndarray, layer: LSHAttention, qk: np.ndarray, k: np.ndarray | None = None,
                   mask: np.ndarray | None = None) -> bool:
        """Train if it is time to; returns whether it was. Arguments as of `due` and `learn`."""
        if not self.due(step, weights):
            return False
        self.learn(layer, qk, k, mask)
        self.trained(weights)
        return True

    # ------------------------------------------------------------------ what

    def mine(self, layer: LSHAttention, qk: np.ndarray, k: np.ndarray | None = None, mask: np.ndarray | None = None) -> list[Examples]:
        """Examples from some sequences: exact attention of a sample of queries, and what the buckets of `layer` reach.

        Causal and padding masks are applied before anything is chosen, and a token is never its own positive or negative.

        Parameters
        ----------
        layer : LSHAttention
            The layer that uses these directions.
        qk, k, mask
            As in ``layer.forward``.

        Returns
        -------
        list of Examples
        """
        q = check_heads("qk", qk).array
        k = q if k is None else check_heads("k", k).array
        B, H, T, d = q.shape
        valid, _ = check_mask(mask, B, T)
        rng = stream(self.seed, "learned rotations", self.version, 0)
        out = []
        for b in rng.permutation(B)[:self.sequences]:
            places = np.flatnonzero(valid[b])
            if len(places) < 3:
                continue
            one = slice(b, b + 1)
            reach, slots = layer.reach(q[one], None if k is q else k[one], valid[one])
            out.append(self._examples(rng, q[b], k[b], places, reach[0], slots[0], layer.causal, k is q))
        return out

    def _examples(self, rng, q, k, places, reach, slots, causal, shared):
        H, T, d = q.shape
        later = places[1:]
        chosen = np.sort(rng.choice(later, min(self.queries, len(later)), replace=False))
        units = _unit(k[:, places])
        queries = q[:, chosen].astype(np.float32)
        scores = queries @ (units if shared else k[:, places]).swapaxes(1, 2).astype(np.float32) / np.float32(np.sqrt(d))  # (H, n, m)
        hidden = np.zeros((len(chosen), len(places)), bool)
        if causal:
            hidden |= places[None, :] > chosen[:, None]
        if shared:
            hidden |= places[None, :] == chosen[:, None]
        scores = np.where(hidden, -np.inf, scores)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        # (H, R, n, m) -> (H, n, m): reached in any round
        lo, count = reach[:, :, chosen, 0, None], reach[:, :, chosen, 1, None]
        at = slots[:, :, None, places]
        found = ((at >= lo) & (at < lo + count)).any(axis=1) & ~hidden
        positives = np.stack([_pick(scores, found, 1), _pick(scores, ~found & ~hidden, 1) if self.missed else
                              np.full(scores.shape[:2], -1)], axis=2)
        negatives = _pick(scores, found, -1)
        few = self._few_keys(rng, weights)
        if few is not None:  # keep some keys only, and renumber them
            renumber = np.full((H, len(places)), -1)
            np.put_along_axis(renumber, few, np.arange(few.shape[1])[None], 1)
            units = np.take_along_axis(units, few[:, :, None], 1)
            weights = np.take_along_axis(weights, few[:, None, :], 2)
            weights = weights / np.maximum(weights.sum(axis=2, keepdims=True), 1e-20)
            heads = np.arange(H)[:, None]
            positives = np.where(positives >= 0, renumber[heads[:, :, None], positives], -1)
            negatives = np.where(negatives >= 0, renumber[heads, negatives], -1)
        return Examples(_unit(queries), units, weights.astype(np.float32), positives, negatives)

    def _few_keys(self, rng, weights):
        """Places (H, keys) of the keys to keep: those with most mass, at most half as many as are wanted, and random ones."""
        H, n, m = weights.shape
        if m <= self.keys:
            return None
        rank = rng.random((H, m))
        mass = weights.sum(axis=1)
        best = np.argpartition(-mass, self.keys // 2, axis=1)[:, :self.keys // 2]
        np.put_along_axis(rank, best, -1.0, 1)
        return np.sort(np.argpartition(rank, self.keys, axis=1)[:, :self.keys], axis=1)

    def learn(self, layer: LSHAttention, qk: np.ndarray, k: np.ndarray | None = None, mask: np.ndarray | None = None) -> bool:
        """Mine, and train the directions; returns whether there was anything to learn from.

        Arguments as of `mine`. Nothing flows back into queries and keys.
        """
        from mongoose_nb.core.threads import one_blas_thread

        with one_blas_thread():  # the same bits for any number of threads
            examples = self.mine(layer, qk, k, mask)
            if not examples:
                return False
            self._learn(examples)
        return True

    def _learn(self, examples):
        steps = self.steps if self.version else self.first_steps
        value = self.value.copy()
        start = end = None
        m, v = np.zeros_like(value), np.zeros_like(value)
        for step in range(steps):
            loss, gradient = LOSSES[self.loss](value, examples[step % len(examples)], self.sharpness, self.balance, self.margin)
            start, end = loss if start is None else start, loss
            adam_step(value, m, v, gradient, step + 1, self.lr * (1 - step / steps) ** 0.5)
        self.value = value
        self.version += 1
        self._last = {"learn_loss_start": float(start), "learn_loss": float(end)}

    # ------------------------------------------------------------------ figures

    def report(self) -> dict:
        """Trainings so far, the loss at the first and last step of the last one, and what the schedule measured."""
        return {"trainings": self.version, **self._last, **(self.schedule.report() if self._bound else {})}


def _unit(rows):
    rows = rows.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), np.float32(1e-12))


def _pick(scores, allowed, sign):
    """Places of the largest (sign 1) or smallest score among those allowed, -1 where there is none."""
    best = np.where(allowed, sign * scores, -np.inf).argmax(axis=-1)
    return np.where(allowed.any(axis=-1), best, -1)
