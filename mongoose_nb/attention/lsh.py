"""LSH attention: every token attends to those that fall into its bucket, in one or several rounds of hashing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mongoose_nb.attention._arrays import Rows, check_heads, check_mask, factors_of, log_partitions, zeros_like
from mongoose_nb.attention.caches.cache import KVCache
from mongoose_nb.attention.caches.readers import KeyReader
from mongoose_nb.attention.full import FullCache, full_attention, full_attention_backward
from mongoose_nb.attention.rotations import as_directions, check_rotations, count_buckets
from mongoose_nb.core.validation import check_choice, check_int

# Exact attention is the faster one below so many tokens per round and token of a bucket: with buckets of 64 the two met at about 110
# tokens in 1 round, 200 in 2 and 480 in 4 (width 64, causal, forward and backward).
_CROSSOVER = 2


class Scheme(NamedTuple):
    """How rounds, chunks and buckets play together; see `SCHEMES`."""

    chunk: int  # mean buckets that a chunk holds
    across: bool  # whether keys of other buckets inside the window count
    distinct: bool  # whether a pair that several rounds reach counts once
    wrap: bool  # whether the first chunk looks back to the last one of the round before
    redraw: bool  # whether rotations are drawn again at every step


#: the paper's way, and that of the released code (chunks of one mean bucket, nothing masked but the future)
SCHEMES = {"paper": Scheme(2, False, True, False, False), "released": Scheme(1, True, False, True, True)}


class LSHCache(NamedTuple):
    """What the backward pass needs of the forward pass."""

    q: Rows
    k: Rows
    v: Rows
    out: Rows
    inverse: np.ndarray  # (B, H, T), factors of the keys
    top: np.ndarray  # (B, H, T), largest scores over all rounds
    share: np.ndarray  # (B, H, T), one over sums of exp(score - top), 0 for tokens that attend to nothing
    buckets: object  # (B, H, R, T) int32, or two of them for queries and keys; give it to `forward` to hash alike
    plan: object  # kernels.attention.chunks.Plan
    rules: object  # kernels.attention.chunks.Rules

    @property
    def log_z(self) -> np.ndarray:
        """Log-partitions (B, H, T) float64, -inf for tokens that attend to nothing."""
        return log_partitions(self.top, self.share)


class LSHAttention:
    """Self-attention in O(n log n) by angular hashing (Kitaev et al., "Reformer", ICLR 2020, section 2).

    Parameters
    ----------
    n_hashes : int
        Rounds of hashing. More rounds of smaller buckets reach more of the large entries, at equal memory and in more time.
    bucket_size : int
        Mean number of tokens in a bucket.
    causal : bool or "strict"
        Whether a token sees the values of those before it only. Which of them it sees still depends on later tokens, by the number of
        buckets and the bounds of chunks; ``"strict"`` is short for ``causal=True, strict=True``.
    rotations : {None, "random", "orthogonal"} or array
        Directions to hash by: an array (heads, n_hashes, width, columns), or (n_hashes, width, columns) for all heads, of which the
        first n_buckets / 2 columns are used; an object with an attribute `value` that is such an array (`LearnedRotations`), read at
        every call; None means random ones, for every head its own.
    seed : int
        Keys random directions.
    variant : {"paper", "released"}
        ``"paper"``: a chunk holds two mean buckets, keys of other buckets are masked, a pair that several rounds reach counts once, the
        first chunk looks back to nothing, rotations stay. ``"released"``, as the published code has it: a chunk holds one mean bucket,
        all keys of the window count, as often as they are reached, the first chunk of a round looks back to the last one of the round
        before, rotations are drawn again at every step. The latter needs shared queries and keys.
    kind : {"lsh", "full"}
        ``"full"``: exact attention behind the same calls.
    exact_below : int, optional
        Sequences of fewer tokens get exact attention; by default 2 * n_hashes * bucket_size, where the two met when measured. A model
        that was trained with hashing may rely on it: give 0 to keep it.
    redraw : bool, optional
        Whether random rotations depend on the step; the variant's habit by default.
    strict : bool
        Whether nothing about a token depends on later ones, so that a prefix alone has the outputs that it has in a longer text, up to
        rounding. A token then sees the last 2 * bucket_size tokens of its bucket; the number of buckets is fixed, and short sequences are
        hashed too. Needs ``causal=True``, `n_buckets`, shared queries and keys, and variant ``"paper"``.
    n_buckets : int, optional
        Buckets of a round, an even number or 1; by default as many as hold `bucket_size` tokens each (`rotations.count_buckets`), which
        depends on the number of tokens.
    """

    def __init__(self, n_hashes: int = 4, bucket_size: int = 64, causal: bool | str = False,
                 rotations: Any = None, seed: int = 0, variant: str = "paper", kind: str = "lsh",
                 exact_below: int | None = None, redraw: bool | None = None, strict: bool = False, n_buckets: int | None = None) -> None:
        self.n_hashes = check_int("n_hashes", n_hashes, low=1, high=64)
        self.bucket_size = check_int("bucket_size", bucket_size, low=1)
        if isinstance(causal, str):
            check_choice("causal", causal, ("strict",))
            strict = True
        self.causal = bool(causal)
        self.rotations = None if rotations is None else check_rotations(rotations, self.n_hashes)
        self.seed = check_int("seed", seed, low=0)
        self.variant = check_choice("variant", variant, tuple(SCHEMES))
        self.kind = check_choice("kind", kind, ("lsh", "full"))
        self.exact_below = (_CROSSOVER * self.n_hashes * self.bucket_size if exact_below is None else
                            check_int("exact_below", exact_below, low=0))
        self.scheme = SCHEMES[variant]
        self.redraw = self.scheme.redraw if redraw is None else bool(redraw)
        self.strict = bool(strict)
        self.n_buckets = None if n_buckets is None else check_int("n_buckets", n_buckets, low=1)
        if self.n_buckets is not None and self.n_buckets > 1 and self.n_buckets % 2:
            raise ValueError(f"n_buckets must be even, as a direction has two sides, or 1; got {n_buckets}")
        if self.strict:
            self._check_strict(exact_below)

    def _check_strict(self, exact_below):
        for name, value, wanted in (("causal", self.causal, True), ("variant", self.variant, "paper"),
                                    ("exact_below", exact_below or 0, 0)):
            if value != wanted:
                raise ValueError(f"strict=True, where nothing depends on later tokens, needs {name}={wanted!r}; got {value!r}")
        if self.n_buckets is None:
            raise ValueError("strict=True needs n_buckets, for instance rotations.count_buckets(longest, bucket_size): their number "
                             "must not depend on the length")
        self.exact_below = 0

    def count_buckets(self, length: int) -> int:
        """Buckets of a round for so many tokens."""
        return count_buckets(length, self.bucket_size) if self.n_buckets is None else self.n_buckets

    def is_exact(self, length: int) -> bool:
        """Whether so many tokens get exact attention."""
        return self.kind == "full" or length < self.exact_below

    def buckets(self, x: np.ndarray, step: int = 0) -> np.ndarray:
        """Buckets (B, H, R, T) int32 of the rows of x (B, H, T, d)."""
        x = check_heads("x", x)
        from mongoose_nb.core.threads import compute_threads

        B, H, T, d = x.array.shape
        with compute_threads(B * H * T * d * self.n_hashes * self.count_buckets(T) // 2):
            return self._hash(x, step)

    def row_buckets(self, step: int = 0) -> Callable[[np.ndarray], np.ndarray]:
        """A function of rows (n, heads, width), tokens first, that gives their buckets (n, heads, rounds) int32: those of `buckets` up to
        rounding, which do not depend on the number of rows. Needs `n_buckets`."""
        prepared: dict = {}

        def buckets(rows):
            from mongoose_nb.kernels.attention.cached import hash_rows

            key = rows.shape[1:], rows.dtype
            if key not in prepared:
                directions = self._directions(check_heads("rows", rows.transpose(1, 0, 2)[None]), step)
                prepared[key] = np.ascontiguousarray(directions.transpose(0, 2, 1))
            codes = np.empty((*rows.shape[:2], self.n_hashes), np.int32)
            hash_rows(np.ascontiguousarray(rows), prepared[key], codes)
            return codes
        return buckets

    def _directions(self, x, step):
        H, T, d = x.array.shape[1:]
        rotations = "random" if self.rotations is None else getattr(self.rotations, "value", self.rotations)
        return as_directions(rotations, H, self.n_hashes, d, self.count_buckets(T) // 2, x.rows.dtype, self.seed,
                             step if self.redraw else 0)

    def _hash(self, x, step):
        from mongoose_nb.kernels.attention.rotation_hash import hash_tokens

        B, H, T, _ = x.array.shape
        codes = np.empty((B, H, self.n_hashes, T), np.int32)
        hash_tokens(x.heads, self._directions(x, step), codes)
        return codes

    def forward(self, qk: np.ndarray, v: np.ndarray, k: np.ndarray | None = None, mask: np.ndarray | None = None, step: int = 0,
                buckets: np.ndarray | tuple | None = None) -> tuple:
        """Attend.

        Parameters
        ----------
        qk, v, k : (batch, heads, tokens, width) float32 or float64
            Without `k` queries are the keys: those are scaled to length one, and a token attends to itself only where there is nothing
            else. With `k` keys are taken as they are, own token included. Views of (batch, tokens, heads, width) are taken without
            a copy, and the output has the layout of qk.
        mask : (batch, tokens) bool, optional
            False for padding: no key, and as a query its output is zero.
        step : int
            Keys random rotations where they are drawn again.
        buckets : optional
            ``cache.buckets`` of an earlier call with these tokens, to hash exactly alike when activations are recomputed.

        Returns
        -------
        out : array like qk
        cache
            For `backward`.
        """
        if self.is_exact(np.shape(qk)[2] if np.ndim(qk) == 4 else 0):
            return full_attention(qk, v, k, causal=self.causal, mask=mask)
        from mongoose_nb.core.threads import compute_threads
        from mongoose_nb.kernels.attention import chunks as attention_chunks
        from mongoose_nb.kernels.attention import rows as attention_rows

        q = check_heads("qk", qk)
        v = check_heads("v", v, q)
        if k is not None and self.variant == "released":
            raise ValueError("variant='released' has no separate keys: leave k out, or use variant='paper'")
        if k is not None and self.strict:
            raise ValueError("strict=True has no separate keys: leave k out")
        k = q if k is None else check_heads("k", k, q)
        B, H, T, d = q.array.shape
        valid, counts = check_mask(mask, B, T)
        inverse = np.ones((B, H, T), q.rows.dtype)
        top = np.full((B, H, T), -1e30, q.rows.dtype)
        total = np.zeros((B, H, T), q.rows.dtype)
        out = zeros_like(q)
        with compute_threads(B * H * self.n_hashes * T * self.bucket_size * d):
            if buckets is None:
                buckets = self._hash(q, step) if k is q else (self._hash(q, step), self._hash(k, step))
            plan, rules = self._plan(buckets, valid, counts, k is q)
            if k is q:
                attention_rows.invert_lengths(k.heads, inverse)
            for r in range(self.n_hashes):
                attention_chunks.attend(q.heads, k.heads, v.heads, factors_of(q, inverse), plan, rules, r, out.heads, top, total)
        return out.array, LSHCache(q, k, v, out, inverse, top, total, buckets, plan, rules)

    def reach(self, qk: np.ndarray, k: np.ndarray | None = None, mask: np.ndarray | None = None,
              step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """What every query reaches by hashing: (reach (B, H, R, T, 2), slots (B, H, R, T)), both int32.

        In round r query t reaches the keys whose slot is at least ``reach[..., r, t, 0]``, by less than ``reach[..., r, t, 1]``. Slots of
        tokens that the mask leaves out are -1. Under the released variant the causal mask comes on top.
        """
        q = check_heads("qk", qk)
        k = q if k is None else check_heads("k", k, q)
        valid, counts = check_mask(mask, q.array.shape[0], q.array.shape[2])
        buckets = self.buckets(q.array, step) if k is q else (self.buckets(q.array, step), self.buckets(k.array, step))
        plan, _ = self._plan(buckets, valid, counts, k is q)
        return plan.reach, plan.slot_k

    def reader(self, cache: KVCache, step: int = 0) -> KeyReader:
        """Attention of one sequence token by token with an empty cache; queries are keys.

        Raises
        ------
        ValueError
            Where attention depends on later tokens.
        """
        if not self.causal or self.kind != "full" and not self.strict:
            raise ValueError(f"a cache needs attention that never depends on later tokens: kind='full' with causal=True, or strict=True; "
                             f"got {self!r}")
        if self.kind == "full":
            return KeyReader(cache)
        return KeyReader(cache, self.row_buckets(step), self.scheme.chunk * self.bucket_size - 1)

    def _plan(self, buckets, valid, counts, shared):
        from mongoose_nb.kernels.attention import chunks as attention_chunks
        from mongoose_nb.kernels.attention import sort as attention_sort

        scheme = self.scheme
        codes_q, codes_k = (buckets, buckets) if shared else buckets
        shape = (*valid.shape[:1], codes_q.shape[1], self.n_hashes, valid.shape[1])
        n_buckets = self.count_buckets(shape[3])
        for codes in (codes_q, codes_k):
            _check_buckets(codes, shape, n_buckets)
        chunk = min(scheme.chunk * self.bucket_size, max(1, shape[3]))  # a chunk of more than all tokens is one of all
        rules = attention_chunks.Rules(chunk, shared, self.causal, scheme.across, scheme.distinct, scheme.wrap,
                                       self.strict)
        order_k, slot_k = np.empty((2, *shape), np.int32)
        order_q = order_k if shared else np.empty(shape, np.int32)
        reach = np.empty((*shape, 2), np.int32)
        attention_sort.sort_tokens(codes_q, codes_k, valid, n_buckets, rules, order_q, order_k, slot_k, reach)
        return attention_chunks.Plan(counts, order_q, order_k, slot_k, reach), rules

    def backward(self, dout: np.ndarray, cache: LSHCache | FullCache) -> tuple:
        """Gradients for the gradient `dout` of the output: (dqk, dv), or (dq, dv, dk) where keys were given; arrays like qk."""
        if isinstance(cache, FullCache):
            return full_attention_backward(dout, cache)
        from mongoose_nb.core.threads import compute_threads
        from mongoose_nb.kernels.attention import chunks as attention_chunks
        from mongoose_nb.kernels.attention import rows as attention_rows
        from mongoose_nb.kernels.attention.tile import Saved

        q, k, v, rules = cache.q, cache.k, cache.v, cache.rules
        g = check_heads("dout", dout, q)
        R, T = cache.plan.order_q.shape[2:]
        delta = np.empty_like(cache.top)
        dq, dv = zeros_like(q), zeros_like(v)
        dk = dq if rules.shared else zeros_like(k)
        run = attention_chunks.RUN if rules.shared else -(-T // rules.chunk)
        parities = (0, 1, 2) if rules.wrap else (0, 1) if rules.shared else (0,)
        with compute_threads(q.array.size * R * rules.chunk):
            attention_rows.dot_rows(cache.out.heads, g.heads, delta)
            factors, saved = factors_of(q, cache.inverse), Saved(cache.top, cache.share, delta)
            gradients = attention_chunks.Gradients(dq.rows, dk.rows, dv.rows)
            for r in range(R):
                for parity in parities:
                    attention_chunks.attend_backward(q.heads, k.heads, v.heads, g.heads, factors, cache.plan, rules, r, run, parity,
                                                     saved, gradients)
        return (dq.array, dv.array) if rules.shared else (dq.array, dv.array, dk.array)

    def __repr__(self):
        return (f"LSHAttention(n_hashes={self.n_hashes}, bucket_size={self.bucket_size}, causal={self.causal}, "
                f"variant={self.variant!r}, kind={self.kind!r}, exact_below={self.exact_below}, strict={self.strict}, "
                f"n_buckets={self.n_buckets})")


def _check_buckets(codes, shape, n_buckets):
    if getattr(codes, "shape", None) != shape or codes.dtype != np.int32 or codes.size and not 0 <= codes.min() <= codes.max() < n_buckets:
        raise ValueError(f"buckets must be an int32 array {shape} of numbers below {n_buckets}, as an earlier call returned in its cache; "
                         f"got {type(codes).__name__} {getattr(codes, 'shape', '')}")


def lsh_attention(qk: np.ndarray, v: np.ndarray, *, k: np.ndarray | None = None, mask: np.ndarray | None = None, step: int = 0,
                  buckets: np.ndarray | tuple | None = None, **settings) -> tuple:
    """`LSHAttention` as one function.

    Parameters
    ----------
    qk, v, k, mask, step, buckets
        As in `LSHAttention.forward`.
    **settings
        Arguments of `LSHAttention`, such as ``n_hashes=4``.

    Returns
    -------
    out : array like qk
    backward : callable
        ``backward(dout)`` gives (dqk, dv), or (dq, dv, dk) with `k`.
    """
    layer = LSHAttention(**settings)
    out, cache = layer.forward(qk, v, k, mask, step, buckets)
    return out, lambda dout: layer.backward(dout, cache)
