"""Attention with random features: beside hashing, or alone."""

from __future__ import annotations

from typing import Any

from mongoose_nb.attention import ScatterbrainAttention
from mongoose_nb.core.registry import register
from mongoose_nb.reformer.kinds.base import AttentionKind, LayerSettings


@register("attention", "scatterbrain")
class Scatterbrain(AttentionKind):
    """Hashing, and random features for what it does not reach. Both are drawn again at every step."""

    support: str | None = "lsh"

    def attention(self, layer: LayerSettings, rotations: Any = None) -> ScatterbrainAttention:
        return ScatterbrainAttention(layer.n_features, self.support, layer.n_hashes, layer.bucket_size, causal=True, strict=layer.strict,
                                     n_buckets=layer.strict_buckets, seed=layer.seed, redraw=True)


@register("attention", "performer")
class Performer(Scatterbrain):
    """Random features alone."""

    support = None

    def is_strict(self, layer: LayerSettings) -> bool:
        return True
