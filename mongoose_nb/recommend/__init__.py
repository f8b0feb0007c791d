"""Models of clicks and of preferences over categories, on full tables or on one compressed array."""

from mongoose_nb.recommend.click_classifier import ClickClassifier
from mongoose_nb.recommend.click_model import ClickModel
from mongoose_nb.recommend.encoder import Encoder
from mongoose_nb.recommend.factorization import MatrixFactorization
from mongoose_nb.recommend.federated import FederatedFactorization
from mongoose_nb.recommend.interactions import Interaction

__all__ = ["ClickClassifier", "ClickModel", "Encoder", "FederatedFactorization", "Interaction", "MatrixFactorization"]
