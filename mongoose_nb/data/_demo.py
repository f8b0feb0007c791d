"""The sample of EURLEX57K that comes with the package."""

from __future__ import annotations

import importlib.resources
import pathlib
from typing import TYPE_CHECKING

from mongoose_nb.data.xc import read_xc

if TYPE_CHECKING:
    import scipy.sparse as sp


def demo_paths() -> tuple[pathlib.Path, pathlib.Path]:
    """Paths of the demo's training and test file, in the format that `read_xc` reads.

    Returns
    -------
    train, test : pathlib.Path
        10,000 and 2,500 laws of EURLEX57K with 17,242 features and 4,271 labels; ``README.md`` beside them has origin
        and licence.
    """
    folder = importlib.resources.files("mongoose_nb.data") / "demo"
    return pathlib.Path(str(folder / "eurlex_train.txt.gz")), pathlib.Path(str(folder / "eurlex_test.txt.gz"))


def load_demo() -> tuple[sp.csr_matrix, sp.csr_matrix, sp.csr_matrix, sp.csr_matrix]:
    """Read the demo data.

    Returns
    -------
    X_train, Y_train, X_test, Y_test : scipy.sparse.csr_matrix
        As `read_xc` returns them: (10000, 17242), (10000, 4271), (2500, 17242) and (2500, 4271).
    """
    train, test = demo_paths()
    return (*read_xc(train), *read_xc(test))


def load_demo_names() -> tuple[list[str], list[str]]:
    """Names of the demo's labels, and titles of its test laws.

    Returns
    -------
    labels : list of str
        4,271 EuroVoc concepts in English, in the order of the columns of Y.
    titles : list of str
        2,500, in the order of the test rows.
    """
    import gzip

    folder = demo_paths()[0].parent
    labels, titles = (gzip.decompress((folder / f"eurlex_{name}.txt.gz").read_bytes()).decode().splitlines()
                      for name in ("labels", "test_titles"))
    return labels, titles
