"""Attention by hashing, with exact attention behind the same interface.

::

    qk, v (batch, heads, tokens, width)
        |
        v          rotations.py: random, orthogonal; learned.py: learned
    hash rows  <-------------------
        |
    sort by (bucket, position), an interval of keys for every query       kernels.attention.sort
        |
    chunk by chunk, round by round: one softmax over all pairs reached    kernels.attention.chunks
        |
    out, cache  ->  backward(dout, cache) -> dqk, dv

- `lsh`: `LSHAttention`, `lsh_attention`
- `full`: `full_attention`, the exact twin
- `scatterbrain`: `ScatterbrainAttention`, hashing plus random features (`features`)
- `caches`: `KVCache`, keys and values of earlier tokens in generation, and what to forget
- `mass`: `attention_mass`, the share of exact attention that the buckets recover
- `learned`: `LearnedRotations`, trained on the layer's own queries and keys when a schedule says so; `rotation_losses`
"""

from mongoose_nb.attention.caches import KVCache
from mongoose_nb.attention.full import full_attention, full_attention_backward
from mongoose_nb.attention.learned import LearnedRotations
from mongoose_nb.attention.lsh import LSHAttention, lsh_attention
from mongoose_nb.attention.mass import Mass, attention_mass
from mongoose_nb.attention.scatterbrain import ScatterbrainAttention, scatterbrain_attention

__all__ = ["KVCache", "LSHAttention", "LearnedRotations", "Mass", "ScatterbrainAttention", "attention_mass",
           "full_attention", "full_attention_backward", "lsh_attention", "scatterbrain_attention"]
