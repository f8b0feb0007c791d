"""Linear models whose training rows are drawn in proportion to their gradients, about (LGD).

::

    rows (x, y) --lift, hash once--> tables --draw at [theta, -1]--> rows with large residuals, and their exact probabilities
                                                                              |
                                                            weighted gradient, without bias --> step
"""

from mongoose_nb.linear.models import LGDClassifier, LGDRegressor
from mongoose_nb.linear.sampler import MIPS, Lift, RowSampler

__all__ = ["LGDClassifier", "LGDRegressor", "Lift", "MIPS", "RowSampler"]
