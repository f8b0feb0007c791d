"""The module for ann-benchmarks has the shape its runner expects."""

import importlib.util
import inspect
import pathlib
import re

import naive_search as naive
import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks" / "ann_benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not part of an installed package")


@pytest.fixture(scope="module")
def module():
    """benchmarks/ann_benchmarks/module.py, loaded as a file."""
    spec = importlib.util.spec_from_file_location("ann_module", FOLDER / "module.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shape_of_the_base_class(module):
    """Names and arguments of BaseANN's methods (ann-benchmarks, ann_benchmarks/algorithms/base/module.py)."""
    for name, arguments in (("fit", ["self", "X"]), ("query", ["self", "v", "n"]), ("batch_query", ["self", "X", "n"]),
                            ("get_batch_results", ["self"]), ("get_additional", ["self"]), ("done", ["self"]), ("__str__", ["self"])):
        assert list(inspect.signature(getattr(module.Mongoose, name)).parameters) == arguments


@pytest.mark.parametrize("metric", ["angular", "euclidean"])
def test_a_run(module, metric):
    X, Q = naive.data("l2", 300, 16), naive.data("l2", 8, 16, seed=1)
    algorithm = module.Mongoose(metric, {"L": 4})
    algorithm.fit(X)
    algorithm.set_query_arguments(4, 2)
    assert "'probes': 4" in str(algorithm) and "'L': 4" in str(algorithm)
    algorithm.batch_query(Q, 5)
    batch = algorithm.get_batch_results()
    want = np.argsort(naive.distances("cosine" if metric == "angular" else "l2", Q, X), axis=1)[:, :5]
    for i, q in enumerate(Q):
        assert algorithm.query(q, 5).tolist() == batch[i].tolist() == want[i].tolist()
    assert algorithm.get_additional()["L"] == 4
    algorithm.done()


def test_sets(module):
    rng = np.random.default_rng(0)
    X = [rng.choice(50, 10, replace=False) for _ in range(100)]
    algorithm = module.Mongoose("jaccard")
    algorithm.fit(X)
    algorithm.set_query_arguments(1, 4)
    assert [algorithm.query(np.append(row, 10**6), 1)[0] for row in X] == list(range(100))


def test_an_unknown_metric(module):
    with pytest.raises(NotImplementedError, match="manhattan"):
        module.Mongoose("manhattan")


def test_the_configuration_names_what_is_there(module):
    text = (FOLDER / "config.yml").read_text()
    assert set(re.findall(r"constructor: (\w+)", text)) == {"Mongoose"}
    arguments = inspect.signature(module.LSHIndex).parameters
    for group in re.findall(r"\{([^{}]+:[^{}]+)\}", text):
        assert {pair.split(":")[0].strip() for pair in group.split(",")} <= set(arguments)
    assert "pip install mongoose_nb" in (FOLDER / "Dockerfile").read_text()
