"""Importance weights of what SimHash tables retrieve: 1 / q, q the probability that the functions drawn put an output in the list.

Spring and Shrivastava, "A New Unbiased and Efficient Class of LSH-Based Samplers and Estimators for Partition Function Computation
in Log-Linear Models" (arXiv 1703.05160, 2017).

A. *Where it is unbiased*: over the draw of Gaussian functions, with fresh tables, unbounded buckets, room for all that is retrieved,
   and no filler. Then an output is in the list exactly if enough of L independent tables agree with the query, and the angle says
   how probable that is.
B. *Where it is not.* A vote cut-off (more retrieved than `head` has room for) and full buckets (`capacity`) leave out outputs that the
   formula counts on, and so does ``strategy="vanilla"``, which stops at the same place: the estimate is too low. Stale tables
   hold rows at other angles than those computed here, from the weights as they are: either way. And while the functions stay, all
   steps share one draw: the mean over the steps between two rebuilds is not the mean over draws.
C. *With filler* an output is in the list by hashing or else by the uniform draw, ``q = 1 - (1 - p)(1 - u / R)``: no weight exceeds R / u.
   u and R depend a little on how much was retrieved, hence on the same draw; the error is of the order of the spread of u / R.
D. *Without filler* q is clipped from below at 1 / sqrt(outputs) (truncated importance sampling: Ionides 2008): rows that
   are retrieved by a rare accident would otherwise outweigh all others. What lies below the clip is underestimated.

E. *Measured* (EURLEX57K, 400 candidates, P@1 after three epochs): with filler 0.801, where tail has 0.809 and none 0.821; without
   filler 0.804, where none has 0.825.

``correction="tail"`` needs none of this to be unbiased and has no variance in its head; this one is for lists without filler, and
for seeing what the other saves.
"""

import math

import numpy as np

from mongoose_nb.hashing.inner_product import CenteredInnerProduct
from mongoose_nb.nn.sampling.corrections import log_weights, retrieval_probability


class Importance:
    """Puts `shifts` on the sets that the tables of one layer gave.

    Parameters
    ----------
    weights, bias : Parameter
    kept : nn.maintenance.KeptTables
    center : bool
        Whether `kept` centres activations and weights.
    min_votes : int
    """

    def __init__(self, weights, bias, kept, center, min_votes):
        self._weights, self._bias, self._kept, self._center, self._min_votes = weights, bias, kept, center, min_votes
        self._means = np.zeros(weights.value.shape[1] + 1, np.float32)  # of rows and biases as they were hashed
        self._at = None  # the rehash that these belong to

    def _frame(self):
        """Means of the rows and biases at the last rehash: the weights are still those when this is first asked after it."""
        if self._at != self._kept.rehashes:
            if self._center:
                query_mean, extra = self._kept.query
                rows = CenteredInnerProduct(self._weights.value, self._bias.value, query_mean, 0.0, extra=extra)
                self._means = np.append(rows.row_mean, rows.bias_mean)
            self._at = self._kept.rehashes
        return self._means[:-1], self._means[-1]

    def correct(self, h, sets):
        """The sets with a shift for every output: the logarithm of 1 / q, zero for labels.

        Parameters
        ----------
        h : (n, width) float32
        sets : ActiveSets
            Without a correction.

        Returns
        -------
        ActiveSets
        """
        from mongoose_nb.kernels.hashing.center import cosines_active

        (query_mean, extra), n_rows = self._kept.query, len(self._bias.value)
        cosine = np.zeros(len(sets.ids), np.float32)
        cosines_active(h, self._weights.value, self._bias.value, *self._frame(), query_mean,
                       extra if self._center else np.float32(0.0), sets.start, sets.count, sets.ids, cosine)
        p = retrieval_probability(cosine, self._kept.tables.family, self._min_votes)
        filler = sets.count - sets.n_exact
        floor = np.where(filler > 0, 0.0, 1.0 / math.sqrt(n_rows))
        room = np.diff(sets.start, append=len(sets.ids))  # a list may be shorter than its place
        shifts = log_weights(p, *(np.repeat(a, room) for a in (filler, n_rows - sets.n_exact, floor)))
        place = np.arange(len(sets.ids)) - np.repeat(sets.start, room)
        shifts[place < np.repeat(sets.n_label, room)] = 0.0
        return sets._replace(shifts=shifts)

    def state(self):
        """Arrays that `load_state` takes back."""
        if self._kept.tables.built:
            self._frame()  # after a rehash nobody may have asked yet
        return {"hashed_means": self._means.copy()}

    def load_state(self, arrays):
        """Put back what `state` gave, after the tables."""
        means = np.array(arrays["hashed_means"], np.float32)
        if means.shape != self._means.shape:
            raise ValueError(f"the saved means of the rows have shape {means.shape}; the layer needs {self._means.shape}")
        self._means, self._at = means, self._kept.rehashes
