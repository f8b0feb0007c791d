"""Dense columns of any units: as good as linear models and neighbours on standardised columns, without settings."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mongoose_nb import MongooseClassifier

SETS = {"wine": datasets.load_wine(return_X_y=True), "breast cancer": datasets.load_breast_cancer(return_X_y=True),
        "moons": datasets.make_moons(600, noise=0.25, random_state=0),
        "circles": datasets.make_circles(600, noise=0.12, factor=0.5, random_state=0),
        "quantiles": datasets.make_gaussian_quantiles(n_samples=1000, n_features=4, n_classes=4, random_state=0)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_beside_models_that_are_given_standardised_columns(name):
    """Within 2.5 points of the better one on half of the rows: about what a standard error of such small sets allows."""
    X, X_test, y, y_test = train_test_split(*SETS[name], test_size=0.5, random_state=0, stratify=SETS[name][1])
    peers = [make_pipeline(StandardScaler(), model).fit(X, y).score(X_test, y_test)
             for model in (LogisticRegression(max_iter=1000), KNeighborsClassifier())]
    assert MongooseClassifier().fit(X, y).score(X_test, y_test) > max(peers) - 0.025


@pytest.mark.parametrize("settings", [{}, {"ranking": None}, {"class_weight": "balanced"}])
def test_units_do_not_matter(settings):
    """Columns in units that differ by 10^6, and far from zero."""
    X, y = SETS["moons"]
    X = X[:300].astype(np.float64)
    units, other = np.array([1e3, 1e-3]), np.array([1e4, 0.05])
    answers = [MongooseClassifier(epochs=40, **settings).fit(part, y[:300]).predict(part) for part in (X, X * units + other)]
    assert np.mean(answers[0] == answers[1]) > 0.98
