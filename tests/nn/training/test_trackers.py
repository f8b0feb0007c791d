"""Figures of a training in TensorBoard and MLflow, by stand-ins that note what they are told; and by the real ones where installed."""

import sys
import types

import pytest
from nn_problem import FEATURES, OUTPUTS, problem

from mongoose_nb import nn
from mongoose_nb.nn.training.trackers import figures


def train(callback):
    X, Y = problem()
    net = nn.Network(FEATURES, OUTPUTS, hidden=(7,), sampler="full")
    return net.fit(X, Y, epochs=2, validation=(X, Y), callbacks=[callback])


def test_figures():
    assert figures({"epoch": 1, "step": 2, "loss": 0.5, "P@1": 1, "time_split": {"forward": 0.2}, "trace": [1], "name": "x"}) == {
        "loss": 0.5, "P@1": 1.0, "time_split/forward": 0.2}


def test_tensorboard(tmp_path, monkeypatch):
    told, closed = [], []
    writer = types.SimpleNamespace(add_scalar=lambda *args: told.append(args), close=lambda: closed.append(1))
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=lambda folder: writer))
    history = train(nn.TensorBoard(tmp_path / "t"))
    assert [value for name, value, _ in told if name == "P@1"] == history.column("P@1") and closed == [1]
    assert {epoch for _, _, epoch in told} == {1, 2}


@pytest.mark.parametrize("active", [False, True])
def test_mlflow(monkeypatch, active):
    told, params, runs = [], {}, []
    module = types.SimpleNamespace(
        active_run=lambda: object() if active else None, start_run=lambda run_name: runs.append(run_name),
        end_run=lambda: runs.append("end"), log_params=params.update, log_metrics=lambda values, step: told.append((step, values)))
    monkeypatch.setitem(sys.modules, "mlflow", module)
    history = train(nn.MLflow("mine"))
    assert [(step, values["P_1"]) for step, values in told] == [(1, history[0]["P@1"]), (2, history[1]["P@1"])]
    assert runs == ([] if active else ["mine", "end"]) and params["epochs"] == 2


@pytest.mark.parametrize("callback, modules, extra", [
    (nn.TensorBoard("x"), ("tensorboardX", "torch.utils.tensorboard"), "tensorboard"), (nn.MLflow(), ("mlflow",), "mlflow")])
def test_what_is_missing_is_named(monkeypatch, callback, modules, extra):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'mongoose_nb\[{extra}\]'"):
        train(callback)


def test_the_real_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    train(nn.TensorBoard(tmp_path / "t"))
    assert any(file.stat().st_size > 100 for file in (tmp_path / "t").iterdir())
