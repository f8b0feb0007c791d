"""SOLAR: labels as fixed sparse codes; rows learn the codes, and labels are found by look-ups alone.

::

    label y: one random bucket in each of K chunks                     codes.py
    row x -> K small networks, independent -> probabilities of buckets chunks.py
    best m buckets of each chunk -> lists of labels -> those in many -> sum of logarithms -> best k       classifier.py
"""

from mongoose_nb.solar.classifier import SolarClassifier
from mongoose_nb.solar.codes import LabelCodes

__all__ = ["LabelCodes", "SolarClassifier"]
