"""Layers on a hashed array, and networks that share one."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb import nn
from mongoose_nb.compress import Compress, HashedArray
from mongoose_nb.compress import names as compress_names
from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import find
from mongoose_nb.nn.layers.gradients import as_dense
from mongoose_nb.testing import check_layer


@pytest.mark.parametrize("compress", [Compress(name, 2.0) for name in ("robe", "fold", "element", "compositional")], ids=str)
@pytest.mark.parametrize("layer", [nn.HashedDense, nn.HashedInput])
def test_contract(layer, compress):
    check_layer(lambda: layer(8, compress=compress), n_inputs=12, n_samples=20)


@pytest.mark.parametrize("layer", [nn.Monarch(9, use_bias=False), nn.Pixelfly(9, density=0.6), nn.Dense(9)], ids=str)
def test_contract_of_other_forms(layer):
    check_layer(lambda: nn.HashedMap(layer, compress=Compress("robe", 2.0)), n_inputs=12, n_samples=20)


def test_a_form_in_a_hashed_array_is_the_matrix_of_its_views(tmp_path):
    """Forward and backward are those of the form with the looked-up matrices; gradients of all matrices add up in the cells."""
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((5, n)).astype(np.float32) for n in (12, 9))
    layer = nn.HashedMap(nn.Monarch(9, activation="identity"), compress=Compress("robe", 3.0)).build(12, np.random.default_rng(1))
    value, cache = layer.forward(x, nn.Run())
    np.testing.assert_allclose(value, x @ layer.dense_weights() + layer.bias.value, atol=1e-5)
    dx, gradients = layer.backward(g, cache)
    plain = nn.Monarch(9, activation="identity").build(12, np.random.default_rng(2))
    for name, view in zip(("right", "left"), layer.views()):
        plain.parameters()[name].value[...] = view.gather()
    expected_dx, of_plain = plain.backward(g, plain.forward(x, nn.Run())[1])
    cells = sum(np.bincount(view.map.index().ravel(), (of_plain[name] * view.map.sign() * view.scale).ravel(), layer.cells.value.size)
                for name, view in zip(("right", "left"), layer.views()))
    np.testing.assert_allclose(dx, expected_dx, atol=1e-6)
    np.testing.assert_allclose(as_dense(gradients["cells"]).ravel(), cells, atol=1e-5)
    with pytest.raises(TypeError, match="must be a linear map"):
        nn.HashedMap(nn.Dropout(0.1))

    network = nn.Network(20, 30, hidden=(12, nn.HashedMap(nn.Monarch(16), compress=2)), sampler="full")
    X, labels = rng.standard_normal((60, 20)), rng.integers(0, 30, 60)
    network.fit(X, labels, epochs=2)
    network.save(tmp_path / "network")
    again = nn.Network.load(tmp_path / "network")
    for one in (network, again):
        one.fit(X, labels, epochs=1)
    np.testing.assert_array_equal(network.predict_topk(X, 3)[1], again.predict_topk(X, 3)[1])
    assert "HashedMap" in network.summary()


@pytest.mark.parametrize("combine", [None, "sum"])
@pytest.mark.parametrize("compress", [None, 4.0])
def test_embedding_gradients(combine, compress):
    rng, ids = np.random.default_rng(0), np.array([[0, 5, 5], [7, 0, 2]])
    layer = nn.Embedding(4, 10, combine=combine, compress=compress).build(3, rng)
    value, cache = layer.forward(ids, nn.Run())
    full = layer.weights.value if compress is None else layer.view.gather()
    assert np.allclose(value, full[ids].sum(axis=1) if combine else full[ids])
    g = rng.standard_normal(value.shape).astype(np.float32)
    expected = np.zeros((10, 4))
    np.add.at(expected, ids, g[:, None] if combine else g)
    got = as_dense(layer.backward(g, cache)[1]["weights"])
    if compress is not None:
        expected = np.bincount(layer.view.map.index().ravel(), (expected * layer.view.map.sign() * layer.view.scale).ravel(), len(got))
    assert np.allclose(got, expected, atol=1e-5)
    for wrong in ([[3, 10, 0]], [[0, -1, 3]]):
        with pytest.raises(ValueError, match="the embedding has 10 rows, 0 to 9"):
            layer.forward(np.array(wrong), nn.Run())


@pytest.mark.parametrize("name", compress_names())
def test_open_ids(name):
    """Hashes as ids have vectors of their own where a map needs nothing for each row; elsewhere they are refused at once."""
    def make(compress):
        return nn.Embedding(8, 20, compress=compress, open_ids=True).build(2, np.random.default_rng(0))

    if find("index map", name).open_rows:
        value, _ = make(Compress(name, 2)).forward(np.array([[3, 2**40 - 1]]), nn.Run())
        assert np.abs(value).min() > 0 and not np.array_equal(value[0, 0], value[0, 1])
    else:
        with pytest.raises(ValueError, match="open_ids=True needs an index map"):
            make(Compress(name, 2))
    with pytest.raises(ValueError, match="open_ids=True needs a hashed array"):
        make(None)


def problem(n=300, d=400, outputs=600):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, outputs, n)
    centres = sp.random(outputs, d, 0.05, format="csr", random_state=0, dtype=np.float32)
    return centres[labels] + sp.random(n, d, 0.01, format="csr", random_state=1, dtype=np.float32), labels


@pytest.mark.parametrize("sampler", ["full", nn.Uniform(100), nn.LSH(100, shape="batch"), nn.LSH(60)], ids=str)
@pytest.mark.parametrize("compress", [4.0, Compress("fold", 4, grad_scale=True), Compress("robe", 4, only=["output"])], ids=str)
def test_networks_learn_save_and_go_on(sampler, compress, tmp_path):
    X, y = problem()

    def make():
        return nn.Network(400, 600, hidden=(32, 24), sampler=sampler, compress=compress, lr=1e-2)

    network = make()
    first = network.evaluate(X, [[label] for label in y], k=1)["P@1"]
    network.fit(X, y, epochs=12, batch_size=64)
    assert network.evaluate(X, [[label] for label in y], k=1)["P@1"] > first + 0.1
    assert sum(parameter.value.ndim == 1 and name.endswith("cells") for name, parameter in network.parameters().items()) == 1
    network.save(tmp_path / "net")
    again = nn.Network.load(tmp_path / "net")
    for one in (network, again):
        one.partial_fit(X, y)
    assert np.array_equal(network.predict_topk(X, 3)[1], again.predict_topk(X, 3)[1])


@pytest.mark.parametrize("sampler", ["full", nn.Uniform(6, shape="batch"), nn.Uniform(6, shape="sample"), nn.LSH(8)], ids=str)
def test_output_on_an_array_has_the_gradients_of_one_on_a_matrix(sampler):
    """The loss and the gradient of h agree with those of `WideOutput` with the same weights; that of the cells follows from them."""
    rng = np.random.default_rng(0)
    h, labels = rng.standard_normal((9, 6)).astype(np.float32), Rows.of(sp.csr_matrix(np.eye(20, dtype=np.float32)[rng.integers(0, 20, 9)]))
    hashed = nn.HashedOutput(20, sampler, compress=Compress("robe", 3)).build(6, np.random.default_rng(1))
    hashed.bind_sampler(0)
    plain = type(hashed).__mro__[2](20, sampler).build(6, np.random.default_rng(1))
    plain.weights.value[...] = hashed.view.gather()
    plain.bind_sampler(0)
    (losses, cache), (expected, other) = (layer.loss(h, labels, nn.Run()) for layer in (hashed, plain))
    assert np.allclose(losses, expected, atol=1e-6)
    (grad, gradients), (g, more) = hashed.backward(1.0, cache), plain.backward(1.0, other)
    assert np.allclose(grad, g, atol=1e-6) and np.allclose(gradients["bias"].dense(), more["bias"].dense(), atol=1e-6)
    cells = np.bincount(hashed.view.map.index().ravel(), (more["weights"].dense() * hashed.view.map.sign()).ravel() * hashed.view.scale,
                        hashed.view.array.cells)
    assert np.allclose(gradients["cells"].dense(), cells, atol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match=r"can be some of \['hidden0', 'output'\]"):
        nn.Network(10, 20, compress=Compress("robe", 4, only=["middle"]))
    with pytest.raises(TypeError, match="compress must be None"):
        nn.Network(10, 20, compress=[4])
    with pytest.raises(ValueError, match="combine"):
        nn.Embedding(4, 10, combine="mean")


INSIDE = {"hidden": (8, nn.Sequential([nn.Dropout(0.1), nn.HashedDense(16)], ["drop", "map"]))}


@pytest.mark.parametrize("settings", [{"hidden": (8, 16), "compress": 4}, INSIDE], ids=["layer", "inside"])
@pytest.mark.parametrize("change", [lambda net: net.densify(), lambda net: net.project("monarch"), lambda net: net.project("pixelfly"),
                                    lambda net: net.project("dense")], ids=["densify", "monarch", "pixelfly", "dense"])
def test_a_compressed_layer_has_no_other_form_and_its_array_is_named(settings, change):
    network = nn.Network(20, 30, sampler="full", **settings)
    before = network.layers
    with pytest.raises(ValueError, match=r"hidden\[1\]: (layer 'map': )?its weights live in a hashed array"):
        change(network)
    assert network.hidden == settings["hidden"] and all(new is old for new, old in zip(network.layers, before))


def test_beside_a_compressed_layer_others_change():
    network = nn.Network(20, 30, hidden=(8, nn.HashedDense(16), nn.Monarch(16)), sampler="full")
    assert [type(layer) for layer in network.densify().layers[1:]] == [nn.HashedDense, nn.Dense]


def test_product_reads_rows_by_blocks():
    view = HashedArray(5000).view("robe", (200, 70))
    X = np.random.default_rng(0).standard_normal((3, 70)).astype(np.float32)
    for x in (X, X[:1]):
        assert np.allclose(view.product(x), x @ view.gather().T, atol=1e-5)
    with pytest.raises(ValueError, match="rows of 70"):
        view.product(X[:, :3])
