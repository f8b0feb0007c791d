"""Exact attention."""

from __future__ import annotations

from typing import Any

from mongoose_nb.attention import LSHAttention
from mongoose_nb.core.registry import register
from mongoose_nb.reformer.kinds.base import AttentionKind, LayerSettings


@register("attention", "full")
class Full(AttentionKind):
    """All earlier tokens."""

    exact = True

    def attention(self, layer: LayerSettings, rotations: Any = None) -> LSHAttention:
        return LSHAttention(layer.n_hashes, layer.bucket_size, True, seed=layer.seed, kind="full", exact_below=0)

    def is_strict(self, layer: LayerSettings) -> bool:
        return True
