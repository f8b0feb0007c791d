"""Structured layers on the command line."""

import numpy as np
import pytest

from mongoose_nb import nn
from mongoose_nb.commands import options
from mongoose_nb.commands.cli import main
from mongoose_nb.reformer import ReformerLM


@pytest.fixture
def call(capsys):
    """call(argument, ...) -> (exit code, stderr)."""
    def invoke(*argv):
        code = main([str(a) for a in argv])
        return code, capsys.readouterr().err

    return invoke


def test_train(call, tmp_path):
    rng = np.random.default_rng(0)
    rows = [" ".join([str(i % 3), *(f"{j}:{rng.random():.3f}" for j in range(1, 6))]) for i in range(60)]
    (tmp_path / "data.svm").write_text("\n".join(rows))
    code, err = call("train", tmp_path / "data.svm", "--out", tmp_path / "run", "--hidden", "16,monarch:16:4,dropout:0.1,pixelfly:24:0.9",
                     "--epochs", 2, "--ranking", "none")
    assert code == 0, err
    net = nn.Network.load(tmp_path / "run" / "model.mongoose")
    assert [type(layer).__name__ for layer in net.layers] == ["SparseInput", "Monarch", "Dropout", "Pixelfly"]
    assert net.layers[1].blocks == 4 and net.layers[2].rate == 0.1 and net.layers[3].density == 0.9
    code, err = call("train", "--resume", tmp_path / "run", "--epochs", 3)
    assert code == 0, err
    assert nn.Network.load(tmp_path / "run" / "model.mongoose").epoch == 3


@pytest.mark.parametrize(("hidden", "word"), [("16,nothing:3", "nothing"), ("16,monarch:0", "units"), ("16,pixelfly:16:7", "density"),
                                              ("16,monarch:8:9:1:1:1:1:1:1", "at most")])
def test_hidden_layers_that_are_refused(hidden, word):
    with pytest.raises(ValueError, match=word):
        options.network_arguments({"hidden": options.widths(hidden)})


@pytest.mark.parametrize("hidden", ["16,monarch:x", "16,monarch", "16,:3:x"])
def test_what_is_no_layer(call, hidden):
    code, err = call("train", "x", "--hidden", hidden)
    assert code == 2 and "NAME:N" in err


def test_reformer(call, tmp_path):
    code, err = call("reformer", "--out", tmp_path / "run", "--nhid", 16, "--emsize", 16, "--nhead", 2, "--seq_len", 16, "--epochs", 1,
                     "--train_batches", 2, "--eval_batches", 1, "--bucket_size_list", 8, "--ff", "monarch:2", "--projections",
                     "pixelfly:0.9:4")
    assert code == 0, err
    model = ReformerLM.load(tmp_path / "run" / "model.mongoose")
    assert model.ff == {"name": "monarch", "blocks": 2} and model.projections == {"name": "pixelfly", "density": 0.9, "block": 4}
    code, err = call("reformer", "--out", tmp_path / "pair", "--nhid", 16, "--emsize", 16, "--nhead", 2, "--seq_len", 16, "--epochs", 1,
                     "--train_batches", 1, "--eval_batches", 1, "--bucket_size_list", 8, "--ff", "dense,monarch:4")
    assert code == 0, err
    assert ReformerLM.load(tmp_path / "pair" / "model.mongoose").ff == ("dense", {"name": "monarch", "blocks": 4})
    code, err = call("reformer", "--out", tmp_path / "other", "--ff", "dropout:0.1")
    assert code == 2 and "no linear map" in err
