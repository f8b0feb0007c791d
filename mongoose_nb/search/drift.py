"""Drift: whether the rows of an index are still like those that its functions were learned from.

Functions learned from some rows serve others badly: of rows that moved, all sketches end at the same bytes; of rows that shrank, all are
in one bucket; and a query of an inner product is brought to the length of the longest row, which may be gone. Three measures notice it,
at a cost of some percent of an addition:

- Every row that comes is checked against the range of the sketches and, for inner products, against the longest row.
- After a number of changes, the sketches and bucket numbers of a sample of the rows are compared with those at the last learning
  (`Profile`).
- A learning is paid for by changes, so that their cost per changed row is bounded whatever the rows do.

Until then, a query beyond the range of the sketches is compared with all of its candidates (`kernels.search.candidates.query_steps`): the
rows near to it are in its buckets, but end at the same bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# Rows of a sample.
SAMPLE = 512
# Changed rows from one look at a sample to the next: an eighth of the rows; of few rows a quarter, as a look takes some time.
_LOOK, _FEW, _LOOK_FEW = 8, 256, 4
# Rows beyond the range from which functions are learned again: one part in so many of the rows, at least so many.
_STRANGE, _LEAST_STRANGE = 64, 32
# Square of the length of a row, beside the longest, from which a single one is enough: it is the answer to half of all queries.
_MUCH_LONGER = 2.25
# A learning is paid for by the changes of one part in `_PRICE` of the rows, and of the rows that its work on columns stands for: the axes
# of 784 columns take as long as 40,000 rows, of which a quarter is counted.
_PRICE, _FIXED, _COLUMNS = 8, 256, 64
# Rows beyond the range are not found at all, so functions are learned for them at this part of the price.
_URGENT = 4
# Bounds of what may change between two profiles: the mean, in squared standard deviations; the variance; the share of it that is hashed
# and the one that the projection loses; root mean square lengths; the probability that two rows share a bucket.
_MOVED, _SPREAD, _TURNED, _LENGTH, _CROWDED = 0.1, 4.0, 0.1, 1.1, 2.0


class Profile(NamedTuple):
    """What sketches and bucket numbers of a sample of rows are like."""

    rows: int  # of the sample
    mean: np.ndarray  # (m,) of the coordinates
    total: float  # variance of the coordinates, and the mean square of what is lost
    hashed: float  # share of the total in the hashed coordinates
    lost: float  # share of the total that is lost
    length: float  # root mean square of the rows; 0 for metrics for which it does not matter
    shared: float  # probability that two rows share a bucket of a table

    @classmethod
    def of(cls, sketches: np.ndarray, steps: np.ndarray, hashed: int, squares: np.ndarray, codes: np.ndarray) -> Profile:
        """The profile of a sample.

        Parameters
        ----------
        sketches : ndarray of shape (n, width), int8
        steps : ndarray of shape (m + 1,), float32
            Of the bytes.
        hashed : int
            How many coordinates are hashed.
        squares : ndarray, float64
            Squared lengths of some of the rows, or none.
        codes : ndarray of shape (L, n), unsigned
            Bucket numbers.
        """
        n, m = len(sketches), len(steps) - 1
        steps = steps.astype(np.float64)
        sums = sketches[:, :m + 1].sum(axis=0, dtype=np.int64)
        means = sums / n
        wide = sketches[:, :m + 1].astype(np.int32)
        second = np.einsum("ij,ij->j", wide, wide) / n
        variance = np.maximum(second[:m] - means[:m] ** 2, 0) * steps[:m] ** 2
        lost = float(second[m] * steps[m] ** 2)
        total = float(variance.sum()) + lost
        part = 1 / total if total > 0 else 0.0
        ordered = np.sort(codes, axis=1)
        pairs = 0
        for row in ordered:  # runs of equal numbers
            ends = np.flatnonzero(np.diff(row)) + 1
            sizes = np.diff(np.concatenate([[0], ends, [n]]))
            pairs += int((sizes * (sizes - 1)).sum())
        return cls(n, means[:m] * steps[:m], total, float(variance[:hashed].sum()) * part, lost * part,
                   float(np.sqrt(squares.mean())) if len(squares) else 0.0, pairs / max(1, n * (n - 1) * len(codes)))

    def change(self, now: Profile, n: int) -> str | None:
        """What has changed since in an index of n rows, in a word; None if it is still the same."""
        noise = 1 + 40 / min(self.rows, now.rows)  # of small samples
        if float(((now.mean - self.mean) ** 2).sum()) > _MOVED * noise * self.total:
            return "moved"
        if not self.total / (_SPREAD * noise) <= now.total <= self.total * _SPREAD * noise:
            return "spread"
        if now.lost > self.lost + _TURNED * noise or now.hashed < self.hashed - _TURNED * noise:
            return "turned"
        if not self.length / (_LENGTH * noise) <= now.length <= self.length * _LENGTH * noise:
            return "length"
        if now.shared > _CROWDED * noise * self.shared + 16 / n:
            return "crowded"
        return None

    def state(self) -> dict[str, Any]:
        """Plain values and arrays, for `from_state`."""
        return self._asdict()

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Profile:
        """The profile whose `state` this is."""
        mean = np.array(state["mean"], np.float64)
        return cls(int(state["rows"]), mean, *(float(state[name]) for name in cls._fields[2:]))


class Drift:
    """Counts of changes since functions were learned, and whether it is time to learn others.

    Parameters
    ----------
    n : int
        Rows that the functions were learned from.
    width : int
        Columns of a row.

    Attributes
    ----------
    profile : Profile or None
        Of the rows at the last learning.
    retrained : int
        How many times functions were learned because rows had drifted.
    reason : str or None
        Why they were the last time.
    """

    def __init__(self, n: int = 0, width: int = 1) -> None:
        self._fixed = _FIXED + min(width, 1024) ** 2 // _COLUMNS
        self.profile: Profile | None = None
        self.retrained, self.reason = 0, None
        # changed since the last learning and the last look; outside of the range of sketches; longer than the longest row, and the
        # square of the longest of them; what the changes have paid
        self.counts: tuple = 0, 0, 0, 0, 0.0, n + self._fixed
        # so many changes need no thought unless they are strange; those that came since
        self.quiet = self.quietly = 0

    def mark(self) -> tuple:
        """What `back` needs to undo counts."""
        return self.counts, self.quiet, self.quietly

    def back(self, mark: tuple) -> None:
        """Undo what was counted since `mark`."""
        self.counts, self.quiet, self.quietly = mark

    def changes(self, m: int, n: int, outside: int = 0, longer: int = 0, longest: float = 0.0) -> str | None:
        """Take m changed rows into account, in an index of n.

        Parameters
        ----------
        m, n : int
        outside, longer : int
            How many of them are beyond the range of sketches, and longer than the longest row at the last learning.
        longest : float
            Square of the longest of them beside that row.

        Returns
        -------
        str or None
            Why functions should be learned now. ``"look"``: a profile has to decide.
        """
        changed, unseen, all_outside, all_longer, most, credit = self.counts
        m += self.quietly
        unseen, all_outside, all_longer, price = unseen + m, all_outside + outside, all_longer + longer, n + self._fixed
        most, credit = max(most, longest), min(credit + _PRICE * m, 2 * price)
        self.counts = changed + m, unseen, all_outside, all_longer, most, credit
        self.quiet = self.quietly = 0
        if credit < price // _URGENT:
            return None
        if all_outside > _LEAST_STRANGE and all_outside > n // _STRANGE:
            return "outside"
        if most > _MUCH_LONGER or (all_longer > _LEAST_STRANGE and all_longer > n // _STRANGE):
            return "longer"
        if credit < price:
            return None
        period = max(n // _LOOK, min(_FEW, n // _LOOK_FEW))
        if unseen >= period:
            return "look"
        self.quiet = period - unseen  # until then, only strange rows matter
        return None

    def look(self, now: Profile, n: int) -> str | None:
        """Compare a profile of the present rows with the one at the last learning; returns why functions should be learned."""
        self.counts = self.counts[0], 0, *self.counts[2:]
        if self.profile is None:  # of a file from before there were profiles
            self.profile = now
        return self.profile.change(now, n)

    def learned(self, now: Drift, n: int, reason: str | None) -> None:
        """Go on with what `now` says of n rows that functions were learned from, for a reason if the old ones had drifted."""
        now.retrained, now.reason = self.retrained, self.reason
        if reason is not None:
            now.retrained, now.reason = self.retrained + 1, reason
            now.counts = *now.counts[:-1], max(0, self.counts[-1] - n - self._fixed)

    def stats(self) -> dict[str, Any]:
        """Numbers for a user."""
        changed, _, outside, longer, _, credit = self.counts
        return {"changed": changed + self.quietly, "outside": outside, "longer": longer, "credit": credit, "retrained": self.retrained,
                "reason": self.reason}

    def state(self) -> dict[str, Any]:
        """Plain values and arrays, for `from_state`."""
        return {"retrained": self.retrained, "reason": self.reason, "counts": [*self.counts, self.quietly],
                "profile": None if self.profile is None else self.profile.state()}

    @classmethod
    def from_state(cls, state: dict[str, Any], width: int) -> Drift:
        """The object whose `state` this is."""
        self = cls(0, width)
        self.retrained, self.reason = int(state["retrained"]), None if state["reason"] is None else str(state["reason"])
        changed, unseen, outside, longer, most, credit, quietly = state["counts"]
        self.quietly = int(quietly)
        self.counts = int(changed), int(unseen), int(outside), int(longer), float(most), int(credit)
        self.profile = None if state["profile"] is None else Profile.from_state(state["profile"])
        return self
