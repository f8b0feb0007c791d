"""Which attention a layer uses: hashed with random or learned rotations, or exact."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from mongoose_nb.attention import LearnedRotations, LSHAttention, ScatterbrainAttention
from mongoose_nb.attention.rotations import count_buckets
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.rehash import Drift

LEARNED = ("triplet", "contrast")
# support of the kinds with random features
FEATURES = {"scatterbrain": "lsh", "performer": None}
KINDS = ("lsh", *LEARNED, "full", *FEATURES)
# Sequences of a batch that are kept to learn rotations from.
SEQUENCES = 4


def check_layers(n_layers: int, attention: str | Sequence[str], n_hashes: int | Sequence[int],
                 bucket_size: int | Sequence[int]) -> tuple[tuple, tuple, tuple]:
    """The three settings of every layer, as tuples."""
    def each(name, value):
        values = [value] * n_layers if isinstance(value, str | numbers.Integral) else list(value)
        if len(values) != n_layers:
            raise ValueError(f"{name} must be one value, or one for each of n_layers={n_layers} layers; got {value!r}")
        return values

    return (tuple(check_choice("attention", kind, KINDS) for kind in each("attention", attention)),
            tuple(check_int("n_hashes", n, low=1) for n in each("n_hashes", n_hashes)),
            tuple(check_int("bucket_size", n, low=1) for n in each("bucket_size", bucket_size)))


def make_core(model: Any, layer: int, seed: int) -> Core:
    """The core of one layer of a model."""
    kind, n_hashes, bucket_size = model.attention[layer], model.n_hashes[layer], model.bucket_size[layer]
    rotations = None
    if kind in LEARNED:
        n_buckets = max(2, count_buckets(model.max_length, bucket_size))
        bits = 64 * -(-model.scheduler_hashes // 64)
        rotations = LearnedRotations(model.n_heads, n_hashes, model.width // model.n_heads, n_buckets, loss=kind, lr=model.lr_rotations,
                                     margin=model.margin, sequences=SEQUENCES, schedule=Drift(model.thresh, check_every=10, bits=bits),
                                     seed=seed)
    strict = max(1, count_buckets(model.max_length, bucket_size)) if model.strict else None
    return Core(kind, n_hashes, bucket_size, model.full_attention_up_to, seed, rotations, strict, model.n_features)


class Core:
    """A layer's attention, exact for short sequences, and replaceable for evaluation.

    Random rotations are drawn again at every step, so that no model comes to rely on a few of them. Learned rotations stay until they are
    trained again.

    Parameters
    ----------
    kind : {"lsh", "triplet", "contrast", "full", "scatterbrain", "performer"}
    n_hashes, bucket_size : int
    full_up_to : int
        Longest sequence that is attended to exactly.
    seed : int
        Of the rotations.
    rotations : LearnedRotations, optional
        Those of a kind that learns.
    strict_buckets : int, optional
        Number of buckets, for attention that does not depend on later tokens; see `attention.LSHAttention`.
    n_features : int
        Random features of a head, of the kinds that have some; see `attention.ScatterbrainAttention`.
    """

    def __init__(self, kind: str, n_hashes: int, bucket_size: int, full_up_to: int, seed: int,
                 rotations: LearnedRotations | None = None, strict_buckets: int | None = None,
                 n_features: int = 64) -> None:
        self.kind, self.n_hashes, self.bucket_size, self.full_up_to, self.seed = kind, n_hashes, bucket_size, full_up_to, seed
        self.rotations, self.strict_buckets, self.n_features = rotations, strict_buckets, n_features
        self.instead = (kind, n_hashes)
        self._seen = None

    def replace(self, kind: str | None, n_hashes: int | None) -> None:
        """Attend in another way from now on; None keeps what the layer was made with."""
        kind = self.kind if kind is None else check_choice("attention", kind, KINDS)
        n_hashes = self.n_hashes if n_hashes is None else check_int("n_hashes", n_hashes, low=1)
        if kind in LEARNED and (kind != self.kind or n_hashes > self.n_hashes):
            raise ValueError(f"attention {kind!r} with {n_hashes} rounds needs as many learned rotations; the layer has "
                             f"{self.n_hashes if self.rotations else 'none'} ({self.kind!r}): give attention='lsh' for random ones")
        self.instead = (kind, n_hashes)

    def attention(self, length: int) -> LSHAttention | ScatterbrainAttention:
        """The attention in use for sequences of this length."""
        kind, n_hashes = self.instead
        full = kind == "full" or length <= self.full_up_to
        if kind in FEATURES and not full:
            return ScatterbrainAttention(self.n_features, FEATURES[kind], n_hashes, self.bucket_size, causal=True,
                                         strict=self.strict_buckets is not None, n_buckets=self.strict_buckets, seed=self.seed, redraw=True)
        rotations = None
        if kind in LEARNED:
            rotations = self.rotations if n_hashes == self.n_hashes else SimpleNamespace(value=self.rotations.value[:, :n_hashes])
        return LSHAttention(n_hashes, self.bucket_size, True, rotations, self.seed, kind="full" if full else "lsh", exact_below=0,
                            redraw=True, strict=self.strict_buckets is not None, n_buckets=self.strict_buckets)

    def forward(self, qk: np.ndarray, v: np.ndarray, mask: np.ndarray | None = None, step: int = 0) -> tuple:
        """(out, cache); see `attention.LSHAttention`."""
        attention = self.attention(qk.shape[2])
        out, cache = attention.forward(qk, v, mask=mask, step=step)
        return out, (attention, qk, mask, cache)

    def backward(self, dout: np.ndarray, cache: Any) -> tuple:
        """(dqk, dv). A few sequences are kept for the rotations to learn from: once a step, computed again or not."""
        attention, qk, mask, cache = cache
        if self.rotations is not None and attention.kind != "full":
            self._seen = (attention, qk[:SEQUENCES].copy(), None if mask is None else mask[:SEQUENCES])
        return attention.backward(dout, cache)

    def after_step(self, step: int, weights: np.ndarray) -> None:
        """After the optimiser step: let the rotations learn when `weights`, rows of the query-key projection, have turned."""
        if self._seen is None:
            return
        attention, qk, mask = self._seen
        self._seen = None
        self.rotations.after_step(step, weights, attention, qk, mask=mask)

    def bind(self, n_rows: int, width: int) -> None:
        """Prepare for a query-key projection of so many rows; see `LearnedRotations.bind`."""
        if self.rotations is not None:
            self.rotations.bind(n_rows, width)

    def report(self) -> dict[str, Any]:
        """Trainings of the rotations and what their schedule measured; empty without."""
        return {} if self.rotations is None else {k: float(v) for k, v in self.rotations.report().items() if v is not None}
