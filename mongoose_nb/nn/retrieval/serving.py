"""Serving through hash tables whose functions were trained for it, after training (Liu et al., "Climbing the WOL", 2020).

The functions learn from true labels first and from the best-scoring outputs next, on activations of given rows; the weights stay as
they are. Unlike the tables of a sampler, these need not be cheap to refresh, and any network can have them, whatever it was trained with.
"""

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.hashing.inner_product import CenteredInnerProduct, center_queries
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder, Views, suits_most_voted
from mongoose_nb.nn.sampling.samplers import default_bits
from mongoose_nb.nn.sampling.table_manager import hashable

# What is found is bounded by what stands in a query's buckets. 100,000 outputs, 1,000 of them scored, P@1 of 0.568 by all outputs:
# 0.438 with 50 tables of 64 outputs a bucket, 0.538 with 100 of 256, 0.549 with 100 of 512, 0.568 with 200 of 512. 670,091 outputs, 1,000
# scored, 0.384 by all: 0.320 with 200 of 654 and with 250 of 327, which hold a third fewer ids; 0.334 with 250 of 654.
BUCKET_LOAD, TABLES = 300, 250


class Served:
    """Tables over the rows of an output layer, with trained functions, built when first asked for.

    Parameters
    ----------
    weights, bias : Parameter
        (n, d) and (n,).
    K, L : int, optional
        Hashes per table and tables: by default buckets of about `BUCKET_LOAD` outputs, and `TABLES`.
    candidates : int, optional
        Outputs to score for a row: by default a hundredth of all, at least 100.
    seed : int
    """

    def __init__(self, weights, bias, *, K=None, L=None, candidates=None, seed=0):
        from mongoose_nb.hashing import SimHash

        n, width = weights.value.shape
        self.candidates = min(n, max(100, n // 100)) if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)
        K = default_bits(n, BUCKET_LOAD) if K is None else check_int("K", K, low=1)
        L = TABLES if L is None else check_int("L", L, low=1)
        self._weights, self._bias, self._seed = weights, bias, seed
        self.family = SimHash(width + 1, K, L, seed=seed)
        self._query = (np.zeros(width, np.float32), np.float32(1.0))
        self._builder = ActiveSetBuilder(n, seed=seed, correction="none")
        self._tables = self._built = None

    def fit(self, h, labels, learner):
        """Train the functions.

        Parameters
        ----------
        h : (m, d) float32
            Activations.
        labels : (m, p) int32
            True labels, -1 where there are fewer.
        learner : schedule.LearnedHash

        Returns
        -------
        dict
            What `LearnedHash.report` gives.
        """
        weights, bias = self._weights.value, self._bias.value
        mean = h.mean(axis=0, dtype=np.float64).astype(np.float32)
        length = float(np.sqrt(np.square(h - mean).sum(axis=1)).mean())
        rows = CenteredInnerProduct(weights, bias, mean, length)
        self._query = (rows.query_mean, rows.extra)
        learner.bind(self.family, self._seed)
        with hashable():
            learner.learn(center_queries(h, *self._query), rows, learner.mine(h, weights, bias, labels))
        self.forget()
        return learner.report()

    def forget(self):
        """Build the tables anew when next asked."""
        self._tables = None

    def built(self, step):
        """Whether there are tables of the weights after `step` steps."""
        return self._tables is not None and self._built == step

    def build(self, step):
        """Tables of the weights, which are those after `step` steps, unless they are there."""
        from mongoose_nb.tables import LSHTables

        if self.built(step):
            return
        rows = CenteredInnerProduct(self._weights.value, self._bias.value, self._query[0], 0.0, extra=self._query[1])
        with hashable():
            self._tables = LSHTables(self.family, seed=self._seed).build(rows)
        self._built = step

    def candidates_for(self, h, n, timer, step):
        """`ActiveSets` of at most `n` outputs for every row of `h`; tables follow the weights, which are those after `step` steps."""
        with timer("rehash"):
            self.build(step)
        with timer("hash"):
            codes = self._tables.codes(center_queries(h, *self._query)).astype(np.uint32, copy=False)
        with timer("retrieve"):
            views = Views(*self._tables.views(), codes)
            if suits_most_voted(views):
                return self._builder.most_voted(views, n)
            return self._builder.per_sample(Rows.empty(len(h)), n, step=0, alike=True, views=views, head=n, fill=False)

    def state(self):
        """(settings, arrays) for `from_state`; the tables are not among them, since the weights are saved beside."""
        settings = {"K": self.family.K, "L": self.family.L, "candidates": self.candidates, "seed": self._seed,
                    "extra": float(self._query[1])}
        return settings, {"functions": self.family.functions, "query_mean": self._query[0]}

    @classmethod
    def from_state(cls, weights, bias, settings, arrays):
        """What `state` described, over the same layer."""
        needed = (weights.value.shape[1] + 1, settings["K"] * settings["L"])
        if arrays["functions"].shape != needed:  # before anything of that size is drawn
            raise ValueError(f"the saved functions have shape {arrays['functions'].shape}; needed is {needed}")
        out = cls(weights, bias, **{name: settings[name] for name in ("K", "L", "candidates", "seed")})
        out.family.set_functions(arrays["functions"])
        if arrays["query_mean"].shape != out._query[0].shape:
            raise ValueError(f"the saved query_mean has shape {arrays['query_mean'].shape}; the layer's width is {len(out._query[0])}")
        out._query = (np.array(arrays["query_mean"], np.float32), np.float32(check_number("extra", settings["extra"])))
        return out
