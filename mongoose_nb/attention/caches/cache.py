"""A cache of keys and values for generation, token by token, at a fixed budget if wanted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.attention.caches.eviction import Eviction
from mongoose_nb.attention.caches.keep_all import KeepAll
from mongoose_nb.attention.caches.quantised import LARGEST, quantise, restore
from mongoose_nb.core.locks import FairLock, locked
from mongoose_nb.core.registry import make
from mongoose_nb.core.validation import check_int


class KVCache:
    """Keys and values of one sequence in one layer, all heads; each head forgets tokens of its own choice. Threads take turns.

    Parameters
    ----------
    policy : str, dict or Eviction
        What is forgotten when the cache is full: ``"none"``, ``"window"``, ``"random"``, ``"heavy_hitters"`` or ``"scissorhands"``, or with
        arguments such as ``{"name": "scissorhands", "recent": 20}``.
    budget : int, optional
        Most tokens to keep; all by default. Every policy but ``"none"`` needs it.
    bits : {None, 8, 4}
        Store keys and values in so many bits a number, instead of as they come.

    Examples
    --------
    >>> from mongoose_nb.attention import KVCache
    >>> cache = KVCache("scissorhands", budget=256, bits=8)
    """

    def __init__(self, policy: str | dict | Eviction = "none", budget: int | None = None, bits: int | None = None) -> None:
        self.policy = make("eviction", policy)
        self.budget = None if budget is None else check_int("budget", budget, low=2)
        if self.budget is None and not isinstance(self.policy, KeepAll):
            raise ValueError(f"policy={self.policy!r} needs a budget, the number of tokens to keep, such as budget=512")
        if bits not in (None, 4, 8):
            raise ValueError(f"bits must be None, 4 or 8; got {bits!r}")
        self.bits, self._lock = bits, FairLock()
        self._n = self.step = self._width = self._capacity = 0
        self._dtype, self._mass, self._evictions, self._weights = np.dtype("float32"), 0.0, 0, None
        self._arrays: dict[str, np.ndarray] = {}
        self._seen = np.empty((0, 0))  # weights of the last query, with room for more

    def fresh(self) -> KVCache:
        """An empty cache of the same settings."""
        return KVCache(self.policy, self.budget, self.bits)

    def __len__(self) -> int:
        """Tokens that are kept, of every head."""
        return self._n

    @property
    def positions(self) -> np.ndarray:
        """Original positions (heads, n) of the tokens that are kept, in order."""
        return self._view("positions") if self._arrays else np.empty((0, 0), np.int64)

    @property
    def codes(self) -> np.ndarray:
        """Buckets (heads, n, rounds) of the keys that are kept, where they were given."""
        return self._view("codes") if self._arrays else np.empty((0, 0, 0), np.int32)

    @property
    def n_bytes(self) -> int:
        """Memory of the keys and values that are kept."""
        return sum(self._view(name).nbytes for name in self._arrays if name.startswith(("k", "v")))

    def _view(self, name):
        return self._arrays[name][:, :self._n]

    def _reserve(self, n, **rows):
        """Make room for n tokens more in arrays like rows, {name: (heads, anything, ...)}."""
        need = self._n + n
        if need <= self._capacity and rows.keys() <= self._arrays.keys():
            return
        self._capacity = max(16, 2 * self._capacity, need)
        for name, row in rows.items():
            grown = np.zeros((len(row), self._capacity, *row.shape[2:]), row.dtype)
            if name in self._arrays:
                grown[:, :self._n] = self._view(name)
            self._arrays[name] = grown

    def _added(self, n):
        self._n += n
        self.step += n

    def _check(self, k, v, shape):
        known = self._arrays.get("positions")
        if (k.ndim != len(shape) or k.shape != v.shape or k.dtype != v.dtype or k.dtype not in (np.float32, np.float64) or 0 in k.shape[-2:]
                or known is not None and ((len(known), self._width) != k.shape[-2:] or self.bits is None and k.dtype != self._dtype)):
            alike = "" if known is None else f", as before, {self._dtype} with {len(known)} heads of width {self._width}"
            raise ValueError(f"k and v must be float32 or float64 ({', '.join(shape)}), not empty, alike{alike}; got {k.dtype} {k.shape} "
                             f"and {v.dtype} {v.shape}")

    def _check_finite(self, k, v):
        if self.bits is not None and not all(np.abs(x).max(initial=0) <= LARGEST for x in (k, v)):
            raise ValueError(f"keys and values that are not finite, or beyond {LARGEST:.0e}, cannot be stored in {self.bits} bits; give "
                             "bits=None, or look for the NaN, infinity or large number in k and v")

    def _check_query(self, q):
        q, known = np.ascontiguousarray(q), self._arrays.get("positions")
        dtypes = (np.float32, np.float64) if known is None or self.bits is not None else (self._dtype,)
        if q.ndim != 2 or q.dtype not in dtypes or known is not None and q.shape != (len(known), self._width):
            shape = "(heads, width)" if known is None else f"(heads, width) = {(len(known), self._width)} like the keys"
            raise ValueError(f"q must be {' or '.join(np.dtype(dtype).name for dtype in dtypes)} {shape}; got {q.dtype} {q.shape}")
        return q

    def _check_codes(self, codes, shape):
        """Codes like those of the keys that are kept, (..., heads, rounds) int32; no rounds where there are none."""
        kept = self._arrays.get("codes")
        if codes is None:
            codes = np.empty((*shape, 0), np.int32)
        codes = np.ascontiguousarray(codes)
        if codes.dtype != np.int32 or codes.shape[:-1] != shape or kept is not None and codes.shape[-1] != kept.shape[2]:
            rounds = "rounds" if kept is None else str(kept.shape[2])
            raise ValueError(f"codes must be int32 ({', '.join(map(str, shape))}, {rounds}), for all tokens or for none; got {codes.dtype} "
                             f"{codes.shape}")
        return codes

    @locked
    def read(self, q: np.ndarray, v: np.ndarray, codes: np.ndarray | None = None, last: int | None = None) -> np.ndarray:
        """Attention of tokens, one after the other, whose queries scaled to length one are their keys: what `attend` and then `append` do.

        A token attends to those before it, and to itself only where there is no other. Where nothing is to be forgotten, all are
        computed by one call of a kernel, with the same bits.

        Parameters
        ----------
        q, v : (n, heads, width) float32 or float64
        codes : (n, heads, rounds) int32, optional
        last : int, optional
            As in `attend`.

        Returns
        -------
        (n, heads, width) array
        """
        from mongoose_nb.kernels.attention.cached import attend_rows, unit_rows

        q, v = np.ascontiguousarray(q), np.ascontiguousarray(v)
        self._check(q, v, ("tokens", "heads", "width"))
        n, heads, width = q.shape
        last = None if last is None else check_int("last", last, low=0)
        codes = self._check_codes(codes, (n, heads))
        k, out = np.empty_like(q), np.empty_like(q)
        if not n:
            return out
        unit_rows(q, k)
        self._check_finite(k, v)
        if self.budget is not None or self.bits is not None:
            for i in range(n):
                own = codes[i] if codes.shape[2] else None
                out[i] = self.attend(q[i], codes=own, last=last)
                alone = self.unreached
                out[i, alone] = own_values(q[i, alone], v[i, alone])
                self.append(k[i], v[i], own)
            return out
        self._width, self._dtype = width, q.dtype
        if self._n + n > self._capacity:
            places = np.empty((heads, 0), np.int64)
            self._reserve(n, k=k[0, :, None], v=k[0, :, None], codes=codes[0, :, None], positions=places, first=places, last=places,
                          marks=np.empty((heads, 0, 0), self.policy.marks_type))
        if self._seen.shape[1] < self._n + n:
            self._seen = np.empty((heads, self._capacity))
        arrays = self._arrays
        attend_rows(q, k, v, codes, arrays["k"], arrays["v"], arrays["codes"], arrays["positions"], arrays["first"], arrays["last"],
                    (self._n, self.step, self._n + n if last is None else min(last, self._n + n)), 1 / math.sqrt(width), out, self._seen)
        self._weights = self._seen[:, :self._n + n - 1]
        self._added(n)
        return out

    @locked
    def append(self, k: np.ndarray, v: np.ndarray, codes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Add a token; past the budget, others are forgotten first.

        Parameters
        ----------
        k, v : (heads, width) float32 or float64
        codes : (heads, rounds) int32, optional
            Buckets of the key, for `attend` to choose by.

        Returns
        -------
        k, v
            As they are kept: less exact with `bits`.
        """
        k, v = np.asarray(k), np.asarray(v)
        self._check(k, v, ("heads", "width"))
        codes = self._check_codes(codes, k.shape[:1])
        self._check_finite(k, v)
        if self.budget is not None and self._n >= self.budget:
            self._evict()
        self._width, self._dtype = k.shape[1], k.dtype
        rows = {"positions": np.full(len(k), self.step, np.int64), "codes": codes,
                "first": np.full(len(k), -1, np.int64), "last": np.full(len(k), -1, np.int64),
                "marks": np.zeros((len(k), self.policy.n_marks(self.budget or 0) if self.budget else 0), self.policy.marks_type)}
        if self.bits is None:
            rows |= {"k": k, "v": v}
        else:
            (rows["k"], rows["k_scales"]), (rows["v"], rows["v_scales"]) = quantise(k, self.bits), quantise(v, self.bits)
            k, v = (restore(rows[name], rows[f"{name}_scales"], self.bits, self._width).astype(k.dtype) for name in "kv")
        self._reserve(1, **{name: row[:, None] for name, row in rows.items()})
        for name, row in rows.items():
            self._arrays[name][:, self._n] = row
        self._added(1)
        return k, v

    def _evict(self):
        marks, positions = self._view("marks"), self._view("positions")
        importance = self.policy.importance(marks, positions, self.budget, self.step)
        free = int(np.isfinite(importance).sum(axis=1).min())  # the others are safe as long as there are free ones
        gone = max(1, min(free, self.policy.n_dropped(self.budget)))
        keep = np.sort(np.argsort(importance, axis=1, kind="stable")[:, gone:], axis=1)
        if self._weights is not None and self._weights.shape == importance.shape:
            total = self._weights.sum(axis=1)
            kept = np.take_along_axis(self._weights, keep, axis=1).sum(axis=1)
            self._mass += float(np.divide(kept, total, out=np.ones_like(kept), where=total > 0).mean())
            self._evictions += 1
        for array in self._arrays.values():
            rows = np.arange(len(array))[:, None]
            array[:, :keep.shape[1]] = array[rows, keep]
        self._n = keep.shape[1]

    @locked
    def reached(self, heads: int, codes: np.ndarray | None = None, last: int | None = None) -> np.ndarray:
        """Which of the tokens that are kept a query of each head reaches, (heads, n) bool; arguments as in `attend`."""
        if codes is None:
            return np.ones((heads, self._n), bool)
        from mongoose_nb.kernels.attention.cached import reach_row

        kept, codes = self._arrays.get("codes"), np.ascontiguousarray(codes)
        known = "there are none" if kept is None or not kept.shape[2] else f"{kept.dtype} ({len(kept)}, {kept.shape[2]})"
        if kept is None or not kept.shape[2] or codes.shape != (heads, kept.shape[2]) or heads != len(kept) or codes.dtype != kept.dtype:
            raise ValueError(f"codes must be like those of the keys that are kept ({known}), for {heads} heads; got {codes.dtype} "
                             f"{codes.shape}. Give codes with every `append`, or leave them out")
        out = np.empty((heads, self._n), bool)
        reach_row(kept, codes, self._n if last is None else min(check_int("last", last, low=0), self._n), out)
        return out

    @locked
    def attend(self, q: np.ndarray, scale: float | None = None, codes: np.ndarray | None = None, last: int | None = None,
               kernel: Callable[..., None] | None = None) -> np.ndarray:
        """Attention of a query to the tokens that are kept.

        Parameters
        ----------
        q : (heads, width) array
        scale : float, optional
            Of the scores; 1 / sqrt(width) by default.
        codes : (heads, rounds) int32, optional
            Buckets of the query: only keys that share one in some round count.
        last : int, optional
            And of those of a round, the last so many.
        kernel : callable, optional
            Attends in place of this cache, ``kernel(keys, values, reached, n, weights)``: it reads the first n of the keys and values
            (heads, capacity, width), and fills weights (heads, n) for the policy.

        Returns
        -------
        (heads, width) array
            Zeros of a head without any key.
        """
        from mongoose_nb.kernels.attention.cached import attend_row, mark_row

        q = self._check_query(q)
        out = np.zeros_like(q)
        if not self._n:
            self._weights = np.zeros((len(q), 0))
            return out
        weights = np.empty((len(q), self._n))
        allowed = self.reached(len(q), codes, last)
        if self.bits is None:
            keys, values = self._arrays["k"], self._arrays["v"]
        else:
            keys, values = (restore(self._view(name), self._view(f"{name}_scales"), self.bits, self._width).astype(q.dtype)
                            for name in "kv")
        if kernel is None:
            scale = 1 / math.sqrt(q.shape[1]) if scale is None else float(scale)
            attend_row(q, keys, values, allowed, self._n, scale, out, weights)
        else:
            kernel(keys, values, allowed, self._n, weights)
        self._weights = weights
        mark_row(weights, self.step, self._arrays["first"], self._arrays["last"])
        if self.budget is not None:
            self.policy.observe(self._view("marks"), weights, self.step)
        return out

    @property
    def unreached(self) -> np.ndarray:
        """Heads (heads,) whose last query reached no token, bool."""
        return np.zeros(0, bool) if self._weights is None else ~(self._weights != 0).any(axis=1)  # NaN is no zero

    @locked
    def stats(self) -> dict[str, Any]:
        """What the cache holds, and how well it chose.

        Returns
        -------
        dict
            ``kept``: tokens that are kept; ``seen``: tokens that were added; ``bytes`` of the keys and values; ``mass_kept``: share of a
            query's attention that fell on the tokens that were kept when others were forgotten, mean over heads and these moments, 1
            where none was; ``persistence``: see `persistence`; ``important``: share of the tokens of the first half, of those that are
            kept, that were important to a query of that half, mean over heads. Persistence means little where nearly all were.
        """
        at = self.step // 2
        return {"kept": self._n, "seen": self.step, "bytes": self.n_bytes,
                "mass_kept": self._mass / self._evictions if self._evictions else 1.0, "persistence": self.persistence(at),
                "important": self._important(at)}

    def _important(self, at):
        if not self._arrays:
            return math.nan
        early, first = self._view("positions") < at, self._view("first")
        found = early.any(axis=1)
        important = (early & (first >= 0) & (first < at)).sum(axis=1)
        return float((important[found] / early.sum(axis=1)[found]).mean()) if found.any() else math.nan

    @locked
    def persistence(self, at: int | None = None) -> float:
        """Whether the tokens that are important later were important before (Liu et al., 2023, section 3).

        A token is important to a query that gives it more than a uniform share of its attention.

        Parameters
        ----------
        at : int, optional
            The moment, a number of tokens; half of those that were added by default.

        Returns
        -------
        float
            Of the tokens before `at` that were important to a query from then on, the share that was so to one before, mean over
            heads. nan where there are none.
        """
        at = self.step // 2 if at is None else check_int("at", at, low=0)
        if not self._arrays:
            return math.nan
        later = (self._view("last") >= at) & (self._view("positions") < at)
        before = later & (self._view("first") < at)
        found = later.any(axis=1)
        return float((before.sum(axis=1)[found] / later.sum(axis=1)[found]).mean()) if found.any() else math.nan

    def __repr__(self):
        return f"KVCache({self.policy!r}, budget={self.budget}, bits={self.bits})"


def own_values(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Outputs (n, width) of queries that reach no other token: their own values v, NaN where q has one."""
    return np.where(np.isnan(q).any(axis=1, keepdims=True), v.dtype.type(np.nan), v)
