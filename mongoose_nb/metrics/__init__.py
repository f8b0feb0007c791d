"""Scores of ranked predictions, as the Extreme Classification Repository defines them.

::

    predictions (ids, scores, CSR, dense) --top_k--> ids (n, k) --+
                                                                  +--> hits (n, k) --> P, nDCG, R, PSP, PSnDCG at 1..k
    true labels --check_Y--> canonical CSR -----------------------+

Every score is an array for 1..k. Predictions with equal scores are ranked by label id, lowest first.
"""

from mongoose_nb.metrics.angular import angular_confidence, angular_pseudo_labels, angular_visual_hardness, hardness_from_codes
from mongoose_nb.metrics.binary import auc, log_loss
from mongoose_nb.metrics.propensity import inverse_propensity, psndcg_at_k, psp_at_k
from mongoose_nb.metrics.ranking import top_k
from mongoose_nb.metrics.scores import ndcg_at_k, precision_at_k, recall_at_k

__all__ = [
    "angular_confidence",
    "angular_pseudo_labels",
    "angular_visual_hardness",
    "hardness_from_codes",
    "auc",
    "inverse_propensity",
    "log_loss",
    "ndcg_at_k",
    "precision_at_k",
    "psndcg_at_k",
    "psp_at_k",
    "recall_at_k",
    "top_k",
]
