"""LSHIndex on the public checks of an index: every registered metric and form of rows, with tables and searched exactly."""

import numpy as np
import own_metrics
import pytest
import scipy.sparse as sp

import mongoose_nb.search.metrics  # noqa: F401  (registers them)
from mongoose_nb.core.registry import registered
from mongoose_nb.search import LSHIndex
from mongoose_nb.testing import METRICS, check_index
from mongoose_nb.testing.distances import DISTANCES
from mongoose_nb.testing.pairs import rows_of

DIM = 32
SMALL = {"dim": DIM, "n": 160, "n_queries": 30, "k": 5, "operations": 15}


class Csr(LSHIndex):
    """Given dense rows, keeps them as CSR."""

    def add(self, X, ids=None):
        """Add rows."""
        return super().add(sp.csr_matrix(X), ids)

    def update(self, ids, X):
        """Replace rows."""
        super().update(ids, sp.csr_matrix(X))

    def query(self, Q, k):
        """Nearest rows."""
        return super().query(sp.csr_matrix(Q), k)

    def candidates(self, Q):
        """All that share a bucket."""
        return super().candidates(sp.csr_matrix(Q))


OWN = [own_metrics.Chebyshev(), own_metrics.Plain(), own_metrics.Canberra(), own_metrics.Dice(), own_metrics.Folded(),
       own_metrics.WeightedL2(np.linspace(0.5, 1.5, DIM).tolist())]
CASES = [(kind, cls()) for cls in registered("search metric", "mongoose_nb.").values() for kind in (LSHIndex, Csr)
         if kind is LSHIndex or "sparse" in cls.stores] + [(LSHIndex, metric) for metric in OWN]


def name_of_case(value):
    return getattr(value, "__name__", None) or value.name.rpartition(":")[2]


@pytest.mark.parametrize("kind, metric", CASES, ids=name_of_case)
def test_with_tables(kind, metric):
    report = check_index(lambda: kind(metric, DIM, train_size=40, n_threads=2), metric=metric, **SMALL)
    assert set(report.skipped) <= {"threads"}


@pytest.mark.parametrize("kind, metric", CASES, ids=name_of_case)
def test_searched_exactly(kind, metric):
    """Fewer rows than tables are made for; every planted neighbour is found, before and after all rows were replaced."""
    report = check_index(lambda: kind(metric, DIM, train_size=1000), metric=metric, recall=1.0, slack=0.0, **SMALL)
    assert set(report.skipped) <= {"threads"}


@pytest.mark.parametrize("name", registered("search metric", "mongoose_nb."))
def test_a_registered_metric_can_be_checked_by_its_name(name):
    assert check_index(lambda: LSHIndex(name, DIM), metric=name, dim=DIM, n=20, n_queries=5, operations=3)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_of_metrics_are_those_of_the_checks(name):
    X = rows_of(METRICS[name], 50, DIM, np.random.default_rng(0)).astype(np.float64)
    for q in X[:10]:
        exact = registered("search metric", "mongoose_nb.")[name]().exact
        np.testing.assert_allclose(exact(q, X), DISTANCES[name](q, X), rtol=1e-12, atol=1e-12)
