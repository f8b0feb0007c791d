"""Names of outputs, in memory and in files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb import nn
from mongoose_nb.core.files import FormatError
from mongoose_nb.nn import Network
from mongoose_nb.nn.label_names import names_from_state, names_of, pack_strings, state_of_names, unpack_strings

NAMES = {"strings": ["a", "ß\n\t", "日本"], "integers": [-1, 3, 2**40],
         "unsigned": np.array([1, 2, 3], np.uint8), "floats": [0.5, -1.0, 1e300],
         "objects": np.array(["x", "y", "z" * 500], object), "booleans": [False, True]}


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_saved(tmp_path, kind):
    names = np.array(NAMES[kind], dtype=getattr(NAMES[kind], "dtype", None))
    net = Network(3, len(names), hidden=(2,), sampler="full")
    net.label_names = NAMES[kind]
    net.save(tmp_path / "n")
    again = Network.load(tmp_path / "n").label_names
    assert again.dtype == names.dtype and again.tolist() == names.tolist()
    assert names_of(again, np.array([[1, -1], [0, 0]])).tolist() == [[names.tolist()[1], None], [names.tolist()[0]] * 2]


@settings(max_examples=50)
@given(st.lists(st.text(max_size=5), max_size=5))
def test_packing(strings):
    assert unpack_strings(pack_strings(strings)) == strings


@pytest.mark.parametrize("names, error, message", [
    (["a", "b"], ValueError, r"shape \(2,\)"), (["a", "b", "a"], ValueError, "'a' twice"), ("abc", TypeError, "list or array"),
    (np.array(["2020-01-01"] * 3, "M8[D]"), TypeError, "names are strings"), ([["a"], ["b"], ["c"]], ValueError, "shape")])
def test_names_that_are_refused(names, error, message):
    net = Network(3, 3, hidden=(2,), sampler="full")
    with pytest.raises(error, match=message):
        net.label_names = names
    assert net.label_names is None


def test_names_that_a_file_cannot_hold(tmp_path):
    net = Network(3, 2, hidden=(2,), sampler="full")
    net.label_names = np.array([(1,), (2,), 0], object)[:2]
    with pytest.raises(TypeError, match="a tuple, which a file cannot hold"):
        net.save(tmp_path / "n")
    assert not list(tmp_path.iterdir())


def test_damaged_names():
    state = state_of_names(np.array(["a", "b"]))
    for change in ({"dtype": "<M8[D]"}, {"packed": pack_strings(["a"])}, {"packed": np.frombuffer(b"{}", np.uint8)},
                   {"packed": np.frombuffer(b"[\xff]", np.uint8)}):
        with pytest.raises(ValueError):
            names_from_state({**state, **change}, 2)


def test_a_checkpoint_has_them(tmp_path):
    """A training that goes on from a file has the names of the file."""
    X, Y = np.eye(4), [[0], [1], [2], [0]]

    def network():
        return Network(4, 3, hidden=(2,), sampler="full")

    net = network()
    net.label_names = ["x", "y", "z"]
    net.fit(X, Y, epochs=1, callbacks=[nn.Checkpoint(tmp_path / "c")])
    again = network()
    again.fit(X, Y, epochs=2, resume=tmp_path / "c")
    assert again.label_names.tolist() == ["x", "y", "z"]


def test_files_with_other_steps_are_refused(tmp_path):
    """A step for texts of the user's own has to be imported before."""
    class Own(nn.TextFeatureStep):
        def fit(self, texts):
            self.n_features = 3
            return self

        def transform(self, texts):
            import scipy.sparse as sp
            return sp.csr_matrix(np.array([[len(text), 1, 1] for text in texts], np.float32))

    net = Network(3, 2, hidden=(2,), sampler="full")
    net.text = Own().fit(["a"])
    assert net.predict_topk(["abc", "d"], 1)[0].shape == (2, 1)
    net.save(tmp_path / "n")
    assert Network.load(tmp_path / "n").text.n_features == 3
    from mongoose_nb.core import registry
    name = registry.name_of(Own)
    kept = registry._CLASSES["text features"].pop(name)
    try:
        with pytest.raises(FormatError, match="before loading"):
            Network.load(tmp_path / "n")
    finally:
        registry._CLASSES["text features"][name] = kept
