"""Networks for other programs: arrays, ONNX, summaries."""

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, problem

from mongoose_nb import nn
from mongoose_nb.compress import Compress
from mongoose_nb.nn.export import ACTIVATIONS, brief, onnx_layer

X, Y = problem()


def trained(standard=False, **settings):
    net = nn.Network(FEATURES, OUTPUTS, **{"hidden": (7,), "seed": 3, "sampler": "full", **settings})
    net.features = nn.StandardColumns().fit(X) if standard else None
    net.fit(X, Y, epochs=2)
    return net


def test_arrays():
    net = trained(hidden=(7, 6), activation="tanh")
    arrays = net.to_arrays()
    h = X.toarray()
    for i in (0, 1):
        h = np.tanh(h @ arrays[f"hidden{i}.weights"] + arrays[f"hidden{i}.bias"])
    logits = h @ arrays["output.weights"].T + arrays["output.bias"]
    np.testing.assert_allclose(np.sort(logits)[:, ::-1][:, :3], net.predict_topk(X, 3)[1], atol=1e-4)
    arrays["output.bias"][:] = 7
    assert not (net.output.bias.value == 7).any()


@pytest.mark.parametrize("settings", [
    *({"activation": name, "hidden": (7, 6)} for name in ACTIVATIONS),
    {"standard": True},
    {"hidden": (7, nn.Dropout(0.3), nn.LayerNorm(), nn.Dense(5, use_bias=False), nn.Sequential([nn.Dense(4), nn.LayerNorm()]))},
    *({"hidden": (7, 6), "compress": Compress(name, 2, only=only)} for name in ("robe", "roast")
      for only in (None, ["output"], ["hidden0"])),
    {"hidden": (nn.InputDropout(0.1), 7, nn.Sequential([nn.HashedDense(6), nn.LayerNorm()]))},
])
def test_onnx(tmp_path, settings):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    net = trained(**settings)
    net.to_onnx(tmp_path / "n.onnx")
    onnx.checker.check_model(str(tmp_path / "n.onnx"), full_check=True)
    (logits,) = ReferenceEvaluator(str(tmp_path / "n.onnx")).run(None, {"X": X.toarray()})
    want = net.hidden_activations(X) @ np.asarray(net.output.weights.value).T + net.output.bias.value
    np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-5)
    net.to_onnx(tmp_path / "k.onnx", k=3)
    ids, scores = ReferenceEvaluator(str(tmp_path / "k.onnx")).run(None, {"X": X.toarray()})
    np.testing.assert_allclose(scores, net.predict_topk(X, 3)[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ids, net.predict_topk(X, 3)[0])


def test_large_networks_have_a_second_file(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    monkeypatch.setattr("mongoose_nb.nn.export.LARGEST", 100)
    net = trained()
    net.to_onnx(tmp_path / "n.onnx")
    assert (tmp_path / "n.onnx.data").exists()
    assert ReferenceEvaluator(str(tmp_path / "n.onnx")).run(None, {"X": X.toarray()})[0].shape == (24, OUTPUTS)


def test_what_has_no_translation(tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="layer 'wide' has no translation"):
        trained(hidden=(7, nn.Wide(20), 5)).to_onnx(tmp_path / "n")

    class Doubled(nn.Layer):
        def forward(self, x, run):
            return x * np.float32(2), None

        def backward(self, g, cache, need_input=True):
            return g * np.float32(2), {}

    net = trained(hidden=(7, Doubled()))
    with pytest.raises(ValueError, match="Doubled"):
        net.to_onnx(tmp_path / "n")
    assert not list(tmp_path.iterdir())
    onnx_layer.register(Doubled)(lambda layer, x, graph: graph.node("Add", x, x))
    net.to_onnx(tmp_path / "n")


def test_summary_and_repr():
    net = trained(hidden=(7, nn.Dropout(0.3), 6), sampler=nn.LSH(50, tables=nn.Tables(L=4)), optimizer=nn.Adam(1e-3))
    assert repr(net) == ("Network(30 -> 7 -> Dropout(rate=0.3) -> 6 -> 600, sampler=LSH(candidates=50), optimizer=Adam(lr=0.001), "
                         f"step={net.step})")
    assert repr(nn.Network(3, 4)) == "Network(3 -> 128 -> 4, sampler=Auto(), optimizer=Adam(), step=0)"
    net.label_names = np.arange(OUTPUTS)
    text = net.summary()
    total = sum(parameter.value.size for parameter in net.parameters().values())
    for word in ("hidden1", "Dropout", "600", f"{total:,} parameters", "LSH(candidates=50)", "softmax", "2 epochs", "labels 0, 1, 2, ..."):
        assert word in text
    assert brief(nn.SGD(0.1, momentum=0.9)) == "SGD(momentum=0.9)"
