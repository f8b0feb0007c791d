"""LSHIndex on the public checks of an index: every metric and form of rows, with tables and searched exactly."""

import pytest
import scipy.sparse as sp

from mongoose_nb.search import LSHIndex
from mongoose_nb.testing import check_index

DIM = 32
SMALL = {"dim": DIM, "n": 160, "n_queries": 30, "k": 5, "operations": 15}
METRICS = ("cosine", "l2", "ip", "jaccard", "hamming")


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


CASES = [(LSHIndex, metric) for metric in METRICS] + [(Csr, metric) for metric in ("cosine", "ip", "jaccard")]


@pytest.mark.parametrize("kind, metric", CASES, ids=lambda v: getattr(v, "__name__", v))
def test_with_tables(kind, metric):
    report = check_index(lambda: kind(metric, DIM, train_size=40, n_threads=2), metric=metric, **SMALL)
    assert set(report.skipped) <= {"threads"}


@pytest.mark.parametrize("kind, metric", CASES, ids=lambda v: getattr(v, "__name__", v))
def test_searched_exactly(kind, metric):
    """Fewer rows than tables are made for; every planted neighbour is found, before and after all rows were replaced."""
    report = check_index(lambda: kind(metric, DIM, train_size=1000), metric=metric, recall=1.0, slack=0.0, **SMALL)
    assert set(report.skipped) <= {"threads"}
