"""The attention of one layer: what its kind makes, and what it is exchanged for."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.registry import make
from mongoose_nb.core.validation import check_int
from mongoose_nb.reformer.kinds import AttentionKind, Full, LayerSettings
from mongoose_nb.reformer.kinds.learned import SEQUENCES


def check_layers(n_layers: int, attention: Any, n_hashes: int | Sequence[int],
                 bucket_size: int | Sequence[int]) -> tuple[tuple, tuple, tuple]:
    """The three settings of every layer, as tuples; a kind of attention stays the name that it was given by."""
    def each(name, value):
        values = [value] * n_layers if isinstance(value, str | numbers.Integral | dict | AttentionKind) else list(value)
        if len(values) != n_layers:
            raise ValueError(f"{name} must be one value, or one for each of n_layers={n_layers} layers; got {value!r}")
        return values

    def kind(value):
        made = make("attention", value)
        return value if isinstance(value, str) else made

    return (tuple(kind(value) for value in each("attention", attention)),
            tuple(check_int("n_hashes", n, low=1) for n in each("n_hashes", n_hashes)),
            tuple(check_int("bucket_size", n, low=1) for n in each("bucket_size", bucket_size)))


def make_core(model: Any, layer: int, seed: int) -> Core:
    """The core of one layer of a model."""
    settings = LayerSettings(model.n_heads, model.width // model.n_heads, model.max_length, model.n_hashes[layer],
                             model.bucket_size[layer], seed, model.strict, model.n_features, model.thresh, model.scheduler_hashes,
                             model.lr_rotations, model.margin)
    return Core(make("attention", model.attention[layer]), settings, model.full_attention_up_to)


class Core:
    """A layer's attention, exact for short sequences, and replaceable for evaluation.

    Parameters
    ----------
    kind : AttentionKind
    settings : LayerSettings
    full_up_to : int
        Longest sequence that is attended to exactly.
    """

    def __init__(self, kind: AttentionKind, settings: LayerSettings, full_up_to: int = 0) -> None:
        self.kind, self.settings, self.full_up_to = kind, settings, full_up_to
        self.rotations = kind.rotations(settings)
        self.instead = (kind, settings)
        self._seen = None

    def replace(self, kind: Any, n_hashes: int | None) -> None:
        """Attend in another way from now on; None keeps what the layer was made with."""
        kind = self.kind if kind is None else make("attention", kind)
        n_hashes = self.settings.n_hashes if n_hashes is None else check_int("n_hashes", n_hashes, low=1)
        settings = self.settings._replace(n_hashes=n_hashes)
        kind.check_exchange(settings, self.rotations, self.kind)
        self.instead = (kind, settings)

    def attention(self, length: int) -> Any:
        """The attention in use for sequences of this length."""
        kind, settings = self.instead
        return Full().attention(settings) if length <= self.full_up_to else kind.attention(settings, self.rotations)

    def is_strict(self, length: int) -> bool:
        """Whether the attention in use for sequences up to this length never depends on later tokens."""
        kind, settings = self.instead
        return kind.exact or length <= self.full_up_to or not self.full_up_to and kind.is_strict(settings)

    def forward(self, qk: np.ndarray, v: np.ndarray, mask: np.ndarray | None = None, step: int = 0) -> tuple:
        """(out, cache); see `attention.LSHAttention`."""
        attention = self.attention(qk.shape[2])
        out, cache = attention.forward(qk, v, mask=mask, step=step)
        return out, (attention, qk, mask, cache)

    def backward(self, dout: np.ndarray, cache: Any) -> tuple:
        """(dqk, dv). A few sequences are kept for the rotations to learn from: once a step, computed again or not."""
        attention, qk, mask, cache = cache
        if self.rotations is not None and getattr(attention, "rotations", None) is self.rotations:
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


@contextlib.contextmanager
def attending(cores: Sequence[Core], kind: Any, n_hashes: int | None) -> Iterator[None]:
    """Other attention in all these layers within the block; see `Core.replace`."""
    before = [core.instead for core in cores]
    try:
        for core in cores:
            core.replace(kind, n_hashes)
        yield
    finally:
        for core, instead in zip(cores, before):
            core.instead = instead
