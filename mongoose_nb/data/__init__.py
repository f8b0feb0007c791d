"""Data sets: readers and writers of sparse data, token sequences, and the validation that the package shares.

::

    text  --read_xc, read_xc_pair, read_xc_four, read_svmlight-->  bytes -> chunks -> kernels.text -> (X, Y)
    npz   --read_npz------------------------------------------>  (X, Y)
    ids   --sessions_to_xc, next_word------------------------->  (X, Y)
    CSV, JSON Lines  --read_texts----------------------------->  texts, names of labels
    larger than memory: XCChunks, a text chunk by chunk; save_arrays and map_arrays, arrays mapped from a file
    user's arrays  --check_X, check_Y, check_same_rows-------->  the same form

X is a float32 CSR matrix (n_rows, n_features), Y a float32 CSR indicator (n_rows, n_labels); both canonical, with int32
ids. `load_dataset` picks the reader, `load_demo` reads the sample of EURLEX57K that comes with the package.
"""

from mongoose_nb.data._demo import demo_paths, load_demo, load_demo_names
from mongoose_nb.data.arrays import load_dataset, read_npz
from mongoose_nb.data.indicator import check_Y
from mongoose_nb.data.mapped import XCChunks, map_arrays, save_arrays
from mongoose_nb.data.sequences import next_word, sessions_to_xc
from mongoose_nb.data.svmlight import read_svmlight
from mongoose_nb.data.text import Columns, Texts, read_texts
from mongoose_nb.data.validate import check_same_rows, check_X
from mongoose_nb.data.vocabulary import Vocabulary, split_words
from mongoose_nb.data.xc import read_xc, read_xc_four, read_xc_pair, write_xc

__all__ = [
    "Columns",
    "Texts",
    "Vocabulary",
    "XCChunks",
    "check_X",
    "check_Y",
    "check_same_rows",
    "demo_paths",
    "load_dataset",
    "load_demo",
    "load_demo_names",
    "map_arrays",
    "next_word",
    "read_npz",
    "read_texts",
    "read_svmlight",
    "read_xc",
    "read_xc_four",
    "read_xc_pair",
    "save_arrays",
    "sessions_to_xc",
    "split_words",
    "write_xc",
]
