"""What a kind of attention is to a language model."""

from __future__ import annotations

from typing import Any, NamedTuple

from mongoose_nb.attention.rotations import count_buckets
from mongoose_nb.core.registry import Registered


class LayerSettings(NamedTuple):
    """What a model says of one of its layers.

    Parameters
    ----------
    n_heads, head_width : int
        Heads, and width of each.
    max_length : int
        Most tokens of a sequence.
    n_hashes, bucket_size : int
        Of this layer.
    seed : int
        Of this layer.
    strict : bool
        Whether attention must not depend on later tokens in any way.
    n_features, thresh, scheduler_hashes, lr_rotations, margin
        See `ReformerLM`.
    """

    n_heads: int
    head_width: int
    max_length: int
    n_hashes: int
    bucket_size: int
    seed: int
    strict: bool = False
    n_features: int = 64
    thresh: float = 0.03
    scheduler_hashes: int = 64
    lr_rotations: float = 0.05
    margin: float = 1.0

    @property
    def n_buckets(self) -> int:
        """Buckets of the longest sequences."""
        return max(1, count_buckets(self.max_length, self.bucket_size))

    @property
    def strict_buckets(self) -> int | None:
        """The fixed number of buckets of attention that must not depend on later tokens; None where it may."""
        return self.n_buckets if self.strict else None


class AttentionKind(Registered, kind="attention"):
    """A kind of attention, chosen by ``ReformerLM(attention=...)``. It has no state of its own.

    Examples
    --------
    ::

        @register("attention", "local")
        class Local(AttentionKind):
            def attention(self, layer, rotations=None):
                return ScatterbrainAttention(0, "local", causal=True, window=layer.bucket_size)

            def is_strict(self, layer):
                return False                 # there is no `reader` for a local support
    """

    #: whether it is exact, as short sequences are attended to
    exact: bool = False

    def attention(self, layer: LayerSettings, rotations: Any = None) -> Any:
        """The attention of a layer, made again for every call.

        Parameters
        ----------
        layer : LayerSettings
        rotations : object, optional
            What `rotations` gave when the model was made.

        Returns
        -------
        object
            With the calls of `attention.LSHAttention`: ``forward(qk, v, mask=, step=) -> (out, cache)`` and
            ``backward(dout, cache) -> (dqk, dv)``, causal. Where `is_strict` says so, also ``reader(cache, step)``, an object whose
            ``read(q, v)`` gives the outputs of the next tokens, all (n, heads, width); their bits must not depend on n.
        """
        raise NotImplementedError  # abstract

    def is_strict(self, layer: LayerSettings) -> bool:
        """Whether a token depends on earlier ones alone, in every way: such attention can read from a cache."""
        return layer.strict

    def rotations(self, layer: LayerSettings) -> Any:
        """What the layer learns beside its weights, with the calls of `attention.LearnedRotations`; None by default."""
        return None

    def check_exchange(self, layer: LayerSettings, rotations: Any, own: AttentionKind) -> None:
        """Refuse, with a ValueError, to attend in place of the kind `own`, whose layer has these rotations.

        Parameters
        ----------
        layer : LayerSettings
            With the rounds that are wanted.
        rotations : object or None
        own : AttentionKind
        """
