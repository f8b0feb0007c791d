"""Attention by hashing with random rotations."""

from __future__ import annotations

from typing import Any

from mongoose_nb.attention import LSHAttention
from mongoose_nb.core.registry import register
from mongoose_nb.reformer.kinds.base import AttentionKind, LayerSettings


@register("attention", "lsh")
class LSH(AttentionKind):
    """Rotations are drawn again at every step, so that no model comes to rely on a few of them."""

    def attention(self, layer: LayerSettings, rotations: Any = None) -> LSHAttention:
        return LSHAttention(layer.n_hashes, layer.bucket_size, True, seed=layer.seed, exact_below=0, redraw=True, strict=layer.strict,
                            n_buckets=layer.strict_buckets)
