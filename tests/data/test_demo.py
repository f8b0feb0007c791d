"""The sample that comes with the package."""

import numpy as np

from mongoose_nb.data import demo_paths, load_demo, load_demo_names


def test_demo():
    for path in demo_paths():
        assert path.is_file() and path.stat().st_size < 6000 * 1024
    assert (demo_paths()[0].parent / "README.md").is_file()
    X, Y, X2, Y2 = load_demo()
    assert (X.shape, Y.shape) == ((10_000, 17_242), (10_000, 4_271))
    assert (X2.shape, Y2.shape) == ((2_500, 17_242), (2_500, 4_271))
    norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    np.testing.assert_allclose(norms, 1, atol=2e-3)
    assert np.diff(Y.indptr).min() >= 1 and 5.0 < Y.nnz / 10_000 < 5.1
    labels, titles = load_demo_names()
    assert len(labels) == 4271 and len(titles) == 2500 and all(labels) and all(titles)
    assert {labels[j] for j in Y2[2].indices} == {"agricultural levy", "import (EU)", "Austria", "pigmeat"}
    assert "pigs from Austria" in titles[2]
