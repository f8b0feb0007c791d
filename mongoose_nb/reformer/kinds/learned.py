"""Attention by hashing with rotations that learn while the model trains."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mongoose_nb.attention import LearnedRotations, LSHAttention
from mongoose_nb.core.registry import name_of, register
from mongoose_nb.reformer.kinds.base import AttentionKind, LayerSettings
from mongoose_nb.rehash import Drift

# Sequences of a batch that are kept to learn rotations from.
SEQUENCES = 4


class Learned(AttentionKind):
    """Rotations stay until a schedule trains them again."""

    #: of `attention.LearnedRotations`
    loss = "contrast"

    def rotations(self, layer: LayerSettings) -> LearnedRotations:
        bits = 64 * -(-layer.scheduler_hashes // 64)
        return LearnedRotations(layer.n_heads, layer.n_hashes, layer.head_width, max(2, layer.n_buckets), loss=self.loss,
                                lr=layer.lr_rotations, margin=layer.margin, sequences=SEQUENCES,
                                schedule=Drift(layer.thresh, check_every=10, bits=bits), seed=layer.seed)

    def attention(self, layer: LayerSettings, rotations: Any = None) -> LSHAttention:
        if layer.n_hashes < rotations.n_hashes:
            rotations = SimpleNamespace(value=rotations.value[:, :layer.n_hashes])
        return LSHAttention(layer.n_hashes, layer.bucket_size, True, rotations, layer.seed, exact_below=0, redraw=True,
                            strict=layer.strict, n_buckets=layer.strict_buckets)

    def check_exchange(self, layer: LayerSettings, rotations: Any, own: AttentionKind) -> None:
        if type(own) is not type(self) or layer.n_hashes > rotations.n_hashes:
            raise ValueError(f"attention {name_of(type(self))!r} with {layer.n_hashes} rounds needs as many learned rotations; the layer "
                             f"has {'none' if rotations is None else rotations.n_hashes} ({name_of(type(own))!r}): give attention='lsh' "
                             "for random ones")


@register("attention", "contrast")
class Contrast(Learned):
    """By the attention mass inside buckets, against their load."""


@register("attention", "triplet")
class Triplet(Learned):
    """By the hinge loss of the literature."""

    loss = "triplet"
