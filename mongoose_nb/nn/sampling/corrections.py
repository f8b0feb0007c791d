"""Corrections of a sampled softmax: what an active output's exponential is multiplied by so that the sum stands for all outputs.

All of them are Horvitz and Thompson's (1952): an output that is in the set with probability q counts 1 / q times, which makes the
expected sum over the set the sum over all outputs. They differ in what is known of q.

    tail         labels and retrieved outputs count once, whatever brought them; filler, u of the R outputs left, R / u times
    logq         shared lists: q from the labels' frequencies and the filler
    importance   lists from SimHash tables: q from the angle between the query and the row

Where an output may come in either of two ways that do not depend on each other, it stays out only if both leave it out:
``q = 1 - (1 - p)(1 - u / R)``, p the probability of the first way. An output stands in a list once at most, so q is also its expected
count, which is what sampled softmax subtracts the logarithm of (Bengio and Senecal 2008; for in-batch labels, "logQ", Yi et al., RecSys
2019). Those subtract it from a sample's own label too; that one is in the list for certain, so here it counts once.
"""

import numpy as np

from mongoose_nb.core.validation import check_choice

#: by shape of the list
UNIFORM = {"sample": ("tail", "none"), "batch": ("none", "tail", "logq")}
HASHED = {"sample": ("tail", "none", "importance"), "batch": ("none", "tail")}


def check_correction(correction, shape, allowed):
    """The correction asked for, or the default of the shape: the first in ``allowed[shape]``."""
    if correction is None:
        return allowed[shape][0]
    known = tuple(dict.fromkeys(name for names in allowed.values() for name in names))
    check_choice("correction", correction, known)
    if correction not in allowed[shape]:
        raise ValueError(f"correction={correction!r} does not go with shape={shape!r}, which takes "
                         f"{' or '.join(map(repr, allowed[shape]))}")
    return correction


def log_weights(p, filler, left, floor=0.0):
    """log(1 / q) of outputs that come in with probability `p`, or as one of `filler` drawn from the `left` others.

    Parameters
    ----------
    p : array
        Probability of the first way in.
    filler, left : number or array
        Uniform draw without replacement; ``left = 0`` where there are no others.
    floor : number or array
        Least q: bounds the weights, at the price of an estimate that is too low.

    Returns
    -------
    array of float32
    """
    r = np.minimum(1.0, filler / np.maximum(left, 1))
    return -np.log(np.maximum(p + (1.0 - p) * r, floor)).astype(np.float32)


class LabelFrequency:
    """How often every output was a label so far, for `logq`.

    Counts rise by what a batch brings, so a step costs what its labels cost. The batch at hand is counted too, so that no label in it has
    frequency zero. Estimates that stand on these frequencies are unbiased as far as the frequencies are right: in the first batches
    outputs not seen yet pass for ones that are never labels, and the sum comes out too high; the error falls as one over the count.

    Parameters
    ----------
    n_rows : int
    """

    def __init__(self, n_rows):
        self.counts = np.zeros(n_rows, np.int64)
        self.samples = 0

    def observe(self, labels):
        """Count the labels (`Rows`) of a batch."""
        np.add.at(self.counts, labels.flat()[1], 1)
        self.samples += len(labels.start)

    def presence(self, ids, others):
        """Probability that an output is a label of one of `others` further samples: 1 - (1 - f)^others."""
        f = self.counts[ids] / max(1, self.samples)
        with np.errstate(divide="ignore"):  # an output that is a label of every sample
            return -np.expm1(others * np.log1p(-f)) if others else np.zeros(len(ids))


def retrieval_probability(cosine, family, min_votes=1):
    """Probability, over the draw of the functions, that SimHash tables hold a row in at least `min_votes` of the query's buckets.

    With one vote this is 1 - (1 - p^K)^L, p = 1 - angle / pi (Spring and Shrivastava 2017); tables are independent, so with
    more it is the binomial tail (Chen et al. 2020, section 3.1).

    Parameters
    ----------
    cosine : array
        Of the angle between query and row as they are hashed.
    family : hashing.SimHash
    min_votes : int

    Returns
    -------
    array of float64
    """
    cosine = np.clip(np.asarray(cosine, np.float64), -1.0, 1.0)
    if min_votes == 1:
        return family.retrieval_probability(cosine)
    from scipy.special import betainc

    return betainc(min_votes, family.L - min_votes + 1, family.collision_probability(cosine) ** family.K)
