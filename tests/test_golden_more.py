"""More files that the first format version wrote, and what they were when they were written, see ``golden/more.py``."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest

from mongoose_nb import LSHIndex, Network, ReformerLM
from mongoose_nb.nn.layers.losses import Loss

HERE = pathlib.Path(__file__).parent / "golden"
sys.path.insert(0, str(HERE))
import more  # noqa: E402

EXPECTED = json.loads((HERE / "v1" / "more" / "expected.json").read_text())


def close(found, want, rtol=1e-4, atol=1e-5):
    """Another processor rounds otherwise."""
    np.testing.assert_allclose(found, want, rtol=rtol, atol=atol)


@pytest.fixture(autouse=True)
def every_sample_counts(monkeypatch):
    """As when the files were written: the rows without labels, of which the data have some, thinned out the loss of the others."""
    def weights(self, labels, sample_weight=None):
        return np.ones(len(labels))

    monkeypatch.setattr(Loss, "weights", weights)


@pytest.fixture
def folder(request, tmp_path):
    """A copy, so that nothing that reads can change the files; the test's name says of which folder."""
    kind = request.node.originalname.split("_")[1]
    shutil.copytree(HERE / "v1" / "more" / kind, tmp_path / "v")
    return tmp_path / "v"


@pytest.fixture
def few(request):
    """What networks whose name begins with "later" need, to be made and to be read."""
    if request.node.callspec.params["name"].startswith("later"):
        with more.later_for_few_outputs():
            yield
    else:
        yield


def check_network(net, name, want):
    X = more.training(name)[0][want["rows"]]
    assert (net.step, net.epoch) == (want["step"], want["epoch"])
    for ids, scores, exact in (("ids", "scores", True), ("inexact_ids", "inexact_scores", False)):
        if ids in want:
            found = net.predict_topk(X, 3, exact=exact)
            np.testing.assert_array_equal(found[0], want[ids])
            close(found[1], want[scores])


def test_every_file_is_read_by_a_test():
    names = {"checkpoints": [f"{n}.ckpt" for n in EXPECTED["checkpoints"]], "finished": EXPECTED["finished"],
             "reformers": EXPECTED["reformers"], "indexes": [f"{n}.index" for n in EXPECTED["indexes"]]}
    for kind, files in names.items():
        assert sorted(files) == sorted(p.name for p in (HERE / "v1" / "more" / kind).iterdir() if p.suffix != ".jsonl")


@pytest.mark.parametrize("name", EXPECTED["checkpoints"])
def test_checkpoints_are_read(folder, few, name):
    check_network(Network.load(folder / f"{name}.ckpt"), name, EXPECTED["checkpoints"][name])


@pytest.mark.parametrize("name", EXPECTED["checkpoints"])
def test_checkpoints_are_gone_on_from(folder, few, name):
    want = EXPECTED["checkpoints"][name]
    net, history = more.resume(name, folder / f"{name}.ckpt", folder)
    assert [entry["epoch"] for entry in history] == want["epochs"]
    close([entry["loss"] for entry in history], want["losses"], rtol=1e-3)
    X = more.training(name)[0][want["rows"]]
    close(net.predict_topk(X, 1)[1][:, 0], want["end_scores"], rtol=1e-2, atol=1e-3)
    log = folder / f"{name}.jsonl"
    if log.exists():  # as long as the training, whatever was written behind the checkpoint
        assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == want["epochs"]


@pytest.mark.parametrize("name", EXPECTED["finished"])
def test_finished_networks(folder, few, name):
    want, made = EXPECTED["finished"][name], name.rsplit(".", 1)[0]
    net = Network.load(folder / name)
    check_network(net, made, want)
    X, Y, _ = more.training(made)
    close(net.fit(X, Y, epochs=1, batch_size=more.BATCH)[0]["loss"], want["next_loss"], rtol=1e-3)


@pytest.mark.parametrize("name", EXPECTED["reformers"])
def test_reformers(folder, name):
    want = EXPECTED["reformers"][name]
    model = ReformerLM.load(folder / name)
    assert (model.step, model.epoch) == (want["step"], want["epoch"])
    close(model.logits(more.prompts()), want["logits"])
    close(model.evaluate(more.text(), batches=2, batch_size=3)["eval_loss"], want["evaluation"])
    close([entry["loss"] for entry in more.read_on(model)], want["losses"], rtol=1e-3)
    close(model.logits(more.prompts()), want["end_logits"], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
@pytest.mark.parametrize("name", EXPECTED["indexes"])
def test_indexes(folder, name, mapped):
    want, kind = EXPECTED["indexes"][name], more.indexes()[name][1]
    index = LSHIndex.load(folder / f"{name}.index", mmap=mapped)
    found = more.answers(index, kind)
    assert found.keys() == want.keys() - {"after_adding"}
    whole = (np.array(want["ids"]) != -1).all(axis=1) if "ids" in want else None  # the others had too few, and are filled up now
    for part, value in found.items():
        expected = want[part]
        if part in ("ids", "distances"):
            assert part == "distances" or name == "l2-empty" or (np.array(value)[~whole] != -1).all()
            value, expected = np.array(value)[whole], np.array(expected)[whole]
        if part in ("distances", "exact_distances"):
            close(value, expected)
        else:
            np.testing.assert_array_equal(value, expected, err_msg=part)
    if not mapped and kind is not None:
        index.add(more.rows()[kind][20:24])
        expected = np.array(want["after_adding"], float)
        whole = np.isfinite(expected).all(axis=1)
        close(index.query(more.queries(kind), 3)[1][whole], expected[whole])
