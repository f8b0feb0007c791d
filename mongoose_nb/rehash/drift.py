"""A schedule that watches the rows turn (Chen et al., "MONGOOSE: A learnable LSH framework", ICLR 2021, sections 3.1 and 3.2).

A. *What is watched is the row as it is hashed.* With centring the tables hold ``[w - mean(w), (w - mean(w)) . q / a + ...]``, q and a
   fixed since they were built, so the rotation of that vector is what makes buckets stale. The rotation of w itself is another: in the
   first steps of training all rows move together, which changes no order of inner products and which the mean takes out. Measured on
   100,000 outputs, steps 27 to 100: w has changed 0.155 of its bits, w less its mean 0.098, the hashed row 0.128. The vector is linear
   in w, so it is coded by a projection of w alone, made once per build, and compared with the projection of the mean.
B. *Biases are left out*, so that a rescaling of the weights turns nothing. They moved the hashed row by up to 0.011 of its bits within
   the first 100 steps of the same run, and by 0.003 or less after.
C. *A mean needs no more than a few thousand rows.* 2,048 drawn at random once give the mean over all to 0.0015 (one standard error),
   at 1.5 ms a look however many rows there are. They are all coded at every look, since the mean of the rows moves with every step.
D. *Row by row*, all rows are watched, but no more of them are coded at a look: those touched most since they were last looked at.
"""

import math
from typing import Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.streams import sequence
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.rehash.base import ALL, Schedule, Stored

BLOCK = 1 << 14  # rows coded at once
# A moved row costs as much as this many rows of a full build (5 to 12 were measured).
MOVE_COST = 10


@register("rehash schedule", "drift", "auto", "Drift")
class Drift(Schedule):
    """Rehash when the rows have turned, not when time has passed.

    Every row that is watched has a code of random bits, independent of the tables' hash functions. A row that turned by an angle
    theta since its last insertion has changed a share theta / pi of them in the mean, whatever its length. Shares are counted
    against the snapshot of the last insertion, never against the last look.

    Parameters
    ----------
    thresh : float or "auto"
        Changed share above which tables are stale. ``"auto"``: that at which tables of the K and L in use still retrieve `keep` times
        what fresh ones would (`theory.threshold`).
    check_every : int
        Steps from one look to the next.
    rows : int
        Rows coded at a look: a random sample drawn once, or with `per_row` those touched most since they were last looked at.
    bits : int
        Bits of a code, a multiple of 64.
    weight : {"rows", "touch"}
        Whether the mean counts every row alike, or as often as it was touched since the tables were built: rows of frequent labels
        turn farther than a plain mean over many rare ones shows.
    per_row : bool
        False: all rows are re-inserted when the mean share exceeds `thresh`. True (Algorithm 1): rows that reach `thresh` become
        candidates of every sample; when they are more than `list_size`, they are re-inserted, and with them those that would follow
        soon: the list grows by half as long as its last row has turned nearly as far as the last before
        (a factor 1 - 1 / log n). Where that takes more than a tenth of all rows, all are re-inserted, which then costs less.
    list_size : int, optional
        Most rows on the list; by default sqrt(n), and no more than a quarter of the candidates retrieved for a sample.
    keep : float
        Wanted share of the recall of fresh tables, for ``thresh="auto"``.
    longest : int, optional
        Steps after which all rows are re-inserted though they have hardly turned. For hash functions that learn: they have to follow
        the queries too, whose changes no row shows.

    Attributes
    ----------
    threshold : float
        `thresh`, or what it came to.
    changed_share : float or None
        Mean share at the last look.
    error : float
        Its standard error, from the rows being a sample.
    always : array of int32
        The rows on the list.
    """

    def __init__(self, thresh: float | str = "auto", *, check_every: int = 20, rows: int = 2048, bits: int = 64, weight: str = "rows",
                 per_row: bool = False, list_size: int | None = None, keep: float = 0.98,
                 longest: int | None = None) -> None:
        self.thresh = thresh if isinstance(thresh, str) and thresh == "auto" else check_number("thresh", thresh, low=0.0, high=1.0)
        self.check_every = check_int("check_every", check_every, low=1)
        self.rows = check_int("rows", rows, low=2)
        self.bits = check_int("bits", bits, low=64, high=4096)
        if self.bits % 64:
            raise ValueError(f"bits must be a multiple of 64; got {bits}")
        self.weight = check_choice("weight", weight, ("rows", "touch"))
        self.per_row = bool(per_row)
        self.list_size = None if list_size is None else check_int("list_size", list_size, low=0)
        self.keep = check_number("keep", keep, low=0.0, high=1.0, open_low=True, open_high=True)
        self.longest = None if longest is None else check_int("longest", longest, low=1)
        self._sketch: Any = None

    # ------------------------------------------------------------------ what all schedules have

    measures = True
    needs_touched = property(lambda self: self.per_row or self.weight == "touch", doc="Whether marks are kept.")
    always = property(lambda self: self._always, doc="Ids of the rows on the list, int32.")
    changed_share = property(lambda self: self._share, doc="Mean share at the last look, None before the first.")
    error = property(lambda self: self._error, doc="Standard error of `changed_share`.")
    threshold = property(lambda self: self._threshold, doc="`thresh`, or what it came to.")
    functions = property(lambda self: self._family.functions, lambda self, value: self._family.set_functions(value),
                         doc="Directions that rows are coded by, (d, bits) float32.")

    saved_state = ("_sketch", "functions", "_always", "_sample", "_threshold", "_share", "_error", "_looks", "_sum", "_since")
    resizable = ("_always",)
    optional = ("_sample", "_since")

    def bind(self, n_rows: int, width: int, *, family: Any = None, seed: int = 0, room: int | None = None) -> None:
        """Draw the projection and the sample; see `Schedule.bind`. Without a family ``thresh="auto"`` is an error."""
        from mongoose_nb._ext import DriftSketch
        from mongoose_nb.hashing import SimHash
        from mongoose_nb.rehash import theory

        if self.thresh == "auto":
            if family is None:
                raise ValueError("thresh='auto' is computed from the tables' hash family: bind with one, or give thresh a number")
            self._threshold = theory.threshold(family.K, family.L, self.keep, collision=family.collision_probability)
        else:
            self._threshold = float(self.thresh)
        draw, choice = sequence(seed, "drift").spawn(2)
        seed = int(draw.generate_state(1, np.uint64)[0])
        self._drawn = SimHash(width + 1, 32, self.bits // 32, seed=seed).functions
        self._family = SimHash(width, 32, self.bits // 32, seed=seed)
        self._sample = None  # all rows
        if n_rows > self.rows:
            rng = np.random.Generator(np.random.Philox(choice))
            self._sample = np.sort(rng.choice(n_rows, self.rows, replace=False)).astype(np.int32)
        self._sketch = DriftSketch(n_rows, bits=self.bits, rows=None if self.per_row else self._sample)
        self._n_rows = n_rows
        bound = math.isqrt(n_rows) if room is None else min(math.isqrt(n_rows), room // 4)
        self._bound = bound if self.list_size is None else self.list_size
        self._always = np.zeros(0, np.int32)
        self._share, self._error = None, 0.0
        self._looks, self._sum = 0, 0.0  # since the last report
        self._since = 0  # steps since all rows were inserted

    def after_step(self, step: int, touched: np.ndarray | None, stored: Stored) -> Any:
        """Note what was touched, and look when it is time to; see `Schedule.after_step`."""
        if self.needs_touched:
            self._sketch.touch(touched)
        self._since += 1
        if self.longest is not None and self._since >= self.longest:
            return ALL
        if (step + 1) % self.check_every:
            return None
        return self._look_row_by_row(stored) if self.per_row else self._look(stored)

    def rebuilt(self, stored: Stored, ids: np.ndarray | None = None) -> None:
        """Take the snapshot of the rows as they are now; see `Schedule.rebuilt`."""
        if ids is None:
            self._aim(stored)
            self._since = 0
            places = None
        else:
            places = ids if self._sketch.rows is None else np.flatnonzero(np.isin(self._sketch.rows, ids)).astype(np.int32)
        self._record(stored, places)
        self._sketch.take_snapshot(places)
        self._always = np.zeros(0, np.int32) if ids is None else np.setdiff1d(self._always, ids)

    def report(self) -> dict[str, float]:
        """Mean share over the looks since the last report."""
        share = self._sum / self._looks if self._looks else self._share or 0.0
        self._looks, self._sum = 0, 0.0
        return {"changed_share": share}

    def state_restored(self) -> None:
        """Refuse a sketch or a list of rows that does not fit the layer."""
        sketch = self._sketch
        wanted = self._n_rows if self.per_row or self._sample is None else len(self._sample)
        if (sketch.n_rows, sketch.bits, len(sketch)) != (self._n_rows, self.bits, wanted):
            raise ValueError(f"the saved drift sketch is {sketch!r}; the layer needs one of {wanted} of {self._n_rows} rows, "
                             f"{self.bits} bits")
        for name, ids in (("sample", self._sample), ("always", self._always)):
            if ids is not None and ids.size and not 0 <= ids.min() <= ids.max() < self._n_rows:
                raise ValueError(f"the saved {name} must be ids of the layer's {self._n_rows} rows")
        check_int("since", self._since, low=0, high=2**62)

    # ------------------------------------------------------------------ looking

    def _aim(self, stored):
        """Set the projection of w that equals the drawn one of the hashed row."""
        functions = self._drawn[:-1]
        if stored.query_mean is not None:
            functions = functions + np.outer(stored.query_mean / np.float32(stored.query_extra), self._drawn[-1])
        self._family.set_functions(functions)

    def _record(self, stored, places=None):
        """Code watched rows, all without `places`, as they are now."""
        weights, family, sketch = stored.weights, self._family, self._sketch
        if stored.query_mean is not None:
            some = weights[slice(None) if self._sample is None else self._sample]
            family.set_center(some.mean(axis=0, dtype=np.float64))
        ids = sketch.rows if places is None else places if sketch.rows is None else sketch.rows[places]
        n = len(sketch) if places is None else len(places)
        codes = np.empty((n, self.bits // 64), np.uint64)
        for lo in range(0, n, BLOCK):
            block = slice(lo, min(lo + BLOCK, n))
            rows = weights[block if ids is None else ids[block]]
            codes[block] = np.ascontiguousarray(family.hash_tables(rows).T).view(np.uint64)
        sketch.record(np.arange(n, dtype=np.int32) if places is None else places, codes)

    def _measure(self):
        """Changed bits of every watched row; their mean share and its standard error are noted."""
        changed = self._sketch.changed()
        if self.weight == "touch":
            weight = self._sketch.touches.astype(np.float64)
            total = max(float(weight.sum()), 1.0)
            mean = float(weight @ changed) / (self.bits * total)
        else:
            weight, total = 1.0, float(len(changed))
            mean = int(changed.sum(dtype=np.int64)) / (self.bits * total)
        left_out = 1.0 - len(changed) / self._n_rows
        if left_out:
            self._error = float(np.sqrt(left_out * np.square(weight * (changed / self.bits - mean)).sum()) / total)
        self._share, self._looks, self._sum = mean, self._looks + 1, self._sum + mean
        return changed

    def _look(self, stored):
        self._record(stored)
        self._measure()
        return ALL if self.changed_share > self._threshold else None

    def _look_row_by_row(self, stored):
        self._record(stored, self._sketch.pending(self.rows))
        changed = self._measure()
        n, least = self._n_rows, max(1.0, self._threshold * self.bits)
        r = int(np.count_nonzero(changed >= least))
        if r <= self._bound:
            self._always = np.flatnonzero(changed >= least).astype(np.int32)
            return None
        order = np.argsort(~changed, kind="stable")  # largest first
        near = 1.0 - 1.0 / max(1.0, math.log(n))
        while 1.5 * r < n and changed[order[math.ceil(1.5 * r) - 1]] >= near * changed[order[r - 1]]:
            r = math.ceil(1.5 * r)
        return ALL if r * MOVE_COST > n else np.sort(order[:r]).astype(np.int32)
