"""Layers of structured matrices: their function and gradients against dense products, threads, changes of form, saving."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb import nn
from mongoose_nb.kernels.structured import orders
from mongoose_nb.nn.layers.linear_map import linear_maps, make_linear
from mongoose_nb.reformer import ReformerLM
from mongoose_nb.structured import pixelfly_budget
from tests import naive_structured as naive

X = np.random.default_rng(5).standard_normal((300, 30)).astype(np.float32)
Y = X[:, :4].argmax(axis=1)
MASK = np.random.default_rng(6).random((4, 5)) < 0.6
#: (inputs, layer): all that makes a difference to the kernels
CASES = {
    "monarch": (36, nn.Monarch(36)), "one block": (5, nn.Monarch(7, 1)), "wide": (12, nn.Monarch(50)), "narrow": (50, nn.Monarch(12)),
    "cut blocks": (31, nn.Monarch(23, 4, 3)), "other numbers of blocks": (24, nn.Monarch(30, (5, 3), 2, use_bias=False)),
    "pixelfly": (64, nn.Pixelfly(64, 0.5, 8)), "no low rank": (64, nn.Pixelfly(64, block=8, butterfly_size=4, rank=0)),
    "cut": (29, nn.Pixelfly(43, 0.6, 8)), "global": (40, nn.Pixelfly(80, 0.9, 8, 2, n_global=1)), "no bias": (16, nn.Pixelfly(
        16, 0.9, 4, use_bias=False)), "a mask": (39, nn.Pixelfly(30, 0.9, 8, rank=3, mask=MASK)),
}


def built(name, activation="identity", seed=0):
    n_inputs, layer = CASES[name]
    layer = type(layer)(**{**layer.config(), "activation": activation})
    layer.build(n_inputs, np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 1)
    for parameter in layer.parameters().values():
        parameter.value += (0.1 * rng.standard_normal(parameter.value.shape)).astype(np.float32)
    return n_inputs, layer


def naive_weights(layer):
    """W (n_inputs, units) from the parameters, in float64."""
    if isinstance(layer, nn.Monarch):
        M = layer.to_matrix()
        return naive.monarch(M.L.astype(float), M.R.astype(float))[:layer.units, :layer.n_inputs].T
    values = {name: parameter.value.astype(float) for name, parameter in layer.parameters().items()}
    b = values["blocks"].shape[1]
    B = naive.blocks(values["blocks"].reshape(-1, b, b), layer.block_mask, (layer.units, layer.n_inputs), b)
    if layer.mix is None:
        return B.T
    mix = values["mix"][0]
    return (mix * B + (1 - mix) * values["up"] @ values["down"]).T


@pytest.mark.parametrize("rows", [0, 1, 300])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_are_those_of_the_matrix(name, rows):
    n_inputs, layer = built(name)
    rng = np.random.default_rng(2)
    x, g = (rng.standard_normal((rows, n)).astype(np.float32) for n in (n_inputs, layer.units))
    W = naive_weights(layer)
    np.testing.assert_allclose(layer.dense_weights(), W, atol=1e-5)
    bias = 0 if layer.bias is None else layer.bias.value
    value, cache = layer.forward(x, nn.Run())
    np.testing.assert_allclose(value, x.astype(float) @ W + bias, atol=2e-5 * np.abs(W).sum(axis=0).max())
    dx, gradients = layer.backward(g, cache)
    np.testing.assert_allclose(dx, g.astype(float) @ W.T, atol=2e-5 * np.abs(W).sum(axis=1).max())
    assert set(gradients) == set(layer.parameters())
    # along a direction in the parameters the matrix changes by dW, and the loss by <x' g, dW>; W is linear in each parameter
    dense = x.astype(float).T @ g
    for key, parameter in layer.parameters().items():
        if key == "bias":
            np.testing.assert_allclose(gradients[key], g.sum(axis=0), atol=1e-3)
            continue
        direction = rng.standard_normal(parameter.value.shape).astype(np.float32)
        kept = parameter.value.copy()
        parameter.value[...] = kept + direction
        above = naive_weights(layer)
        parameter.value[...] = kept - direction
        slope = float((dense * (above - naive_weights(layer))).sum() / 2)
        parameter.value[...] = kept
        bound = 1e-4 * max(1.0, float(np.linalg.norm(gradients[key])))
        assert float(np.vdot(direction, gradients[key])) == pytest.approx(slope, rel=1e-3, abs=bound)


def test_factors_learn_faster_by_the_inputs_that_their_weights_miss(tmp_path):
    """A block of 64 or 16 of 256 inputs: 2 and 4 times. Other layers, also those that a structured layer becomes, learn as all do."""
    net = nn.Network(9, 3, hidden=(256, nn.Monarch(64, (4, 4), 4), nn.Pixelfly(64, block=4, butterfly_size=1, rank=16)))
    net.save(tmp_path / "net")
    for one in (net, nn.Network.load(tmp_path / "net")):
        factors = {name: parameter.lr_factor for name, parameter in one.parameters().items() if parameter.lr_factor != 1}
        assert factors == {"hidden1.right": 2.0, "hidden1.left": 4.0, "hidden2.blocks": 4.0, "hidden2.up": 2.0}
    assert all(parameter.lr_factor == 1 for parameter in net.densify().parameters().values())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if isinstance(case[1], nn.Monarch)])
def test_large_blocks_are_multiplied_in_another_order_to_the_same_result(name, monkeypatch):
    """Over more rows than one tile has; the last is cut."""
    n_inputs, layer = built(name)
    rng = np.random.default_rng(2)
    x, g = (rng.standard_normal((1100, n)).astype(np.float32) for n in (n_inputs, layer.units))
    found = []
    for large in (1 << 30, 1):
        monkeypatch.setattr(orders, "LARGE", large)
        value, cache = layer.forward(x, nn.Run())
        dx, gradients = layer.backward(g, cache)
        assert layer.backward(g, cache, need_input=False)[0] is None
        found.append([value, dx, *gradients.values()])
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(one).max())


def test_the_order_goes_by_the_largest_block():
    assert orders.order_of((4, 64, 64), (4, 512, 512)) is orders.BY_BLOCK
    assert orders.order_of((32, 32, 32), (32, 32, 32)) is orders.BY_TILE


@pytest.mark.parametrize("layer", [nn.Monarch(256), nn.Monarch(512, 4), nn.Pixelfly(256, 0.2), nn.Pixelfly(256, 0.2, rank=0),
                                   nn.Pixelfly(512, 0.3, 16, n_global=1), nn.Monarch(250, 7)])
@pytest.mark.parametrize("init", ["he", "glorot"])
def test_values_start_with_the_variance_of_a_dense_layer(layer, init):
    variance = []
    for form in (layer, nn.Dense(layer.units)):
        form = type(form)(**{**form.config(), "init": init, "activation": "identity"}).build(256, np.random.default_rng(0))
        x = np.random.default_rng(1).standard_normal((400, 256)).astype(np.float32)
        value, cache = form.forward(x, nn.Run())
        variance.append(value.var())
        assert form.backward(value, cache)[0].shape == x.shape
    assert variance[0] == pytest.approx(variance[1], rel=0.15)


@pytest.mark.parametrize("large", [1, 1 << 30], ids=["by block", "by tile"])
def test_the_same_bits_for_any_number_of_threads(large, monkeypatch):
    import numba

    monkeypatch.setattr(orders, "LARGE", large)
    most, found = numba.get_num_threads(), []
    for threads in {1, most}:
        numba.set_num_threads(threads)
        net = nn.Network(30, 4, hidden=(32, nn.Monarch(40), nn.Pixelfly(32, 0.6, 8)), seed=3)
        net.fit(X, Y, epochs=1, batch_size=290)
        found.append(net.to_arrays())
    numba.set_num_threads(most)
    for name, array in found[-1].items():
        np.testing.assert_array_equal(array, found[0][name])


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["monarch", "pixelfly"]))
@settings(max_examples=25, deadline=None)
def test_any_shape(n_inputs, units, kind):
    layer = nn.Monarch(units) if kind == "monarch" else nn.Pixelfly(units, 1.0)
    layer = type(layer)(**{**layer.config(), "activation": "identity"}).build(n_inputs, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((3, n_inputs)).astype(np.float32)
    value, cache = layer.forward(x, nn.Run())
    W = layer.dense_weights()
    np.testing.assert_allclose(value, x @ W, atol=1e-4)
    np.testing.assert_allclose(layer.backward(value, cache)[0], value @ W.T, atol=1e-3)


def test_early_stopping_cannot_go_back_to_other_layers():
    net = network()
    before = net.to_arrays()
    net.densify()
    with pytest.raises(ValueError, match="hidden1.weights.*early stopping"):
        net.put_back(before)


def network(**options):
    return nn.Network(30, 4, hidden=(32, nn.Monarch(32), nn.Sequential([nn.Pixelfly(32, 0.6, 8), nn.Dropout(0.1)])), lr=3e-3, **options)


def test_training_saving_and_resuming(tmp_path):
    net = network()
    history = net.fit(X, Y, epochs=8, batch_size=32)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    whole = network()
    whole.fit(X, Y, epochs=3, batch_size=32)
    first = network()
    first.fit(X, Y, epochs=2, batch_size=32, callbacks=[nn.Checkpoint(tmp_path / "net")])
    again = network()
    again.fit(X, Y, epochs=3, batch_size=32, resume=tmp_path / "net")
    for name, array in whole.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)
    whole.save(tmp_path / "whole")
    loaded = nn.Network.load(tmp_path / "whole")
    np.testing.assert_array_equal(loaded.hidden_activations(X), whole.hidden_activations(X))


@pytest.mark.parametrize("optimizer", ["adam", "rowadam", "sgd"])
def test_reverse_sparsification(tmp_path, optimizer):
    net = network(optimizer=optimizer) if optimizer == "adam" else nn.Network(30, 4, hidden=(32, nn.Monarch(32)), optimizer=optimizer)

    class Densify(nn.Callback):
        def on_epoch_end(self, network, logs):
            if logs["epoch"] == 2:
                before = network.hidden_activations(X)
                assert network.densify() is network
                np.testing.assert_allclose(network.hidden_activations(X), before, atol=1e-4)

    history = net.fit(X, Y, epochs=4, batch_size=32, callbacks=[Densify()])
    assert history[-1]["loss"] < history[1]["loss"]
    assert type(net.layers[1]) is nn.Dense and net.parameters()["hidden1.weights"].value.shape == (32, 32)
    net.save(tmp_path / "net")
    loaded = nn.Network.load(tmp_path / "net")
    np.testing.assert_array_equal(loaded.hidden_activations(X), net.hidden_activations(X))
    assert repr(loaded) == repr(net)
    assert net.densify() is net  # nothing to do


@pytest.mark.parametrize(("kind", "options"), [("monarch", {}), ("monarch", {"blocks": 4, "rank": 3}),
                                               ("pixelfly", {"density": 0.7, "block": 8})])
def test_dense_to_sparse(tmp_path, kind, options):
    net = nn.Network(30, 4, hidden=(32, 40, nn.Dense(32, "tanh", use_bias=False)), lr=3e-3)
    net.fit(X, Y, epochs=3, batch_size=32)
    before = {i: net.layers[i].dense_weights().copy() for i in (1, 2)}
    net.project(kind, **options)
    for i, weights in before.items():
        layer = net.layers[i]
        assert np.linalg.norm(layer.dense_weights() - weights) < 0.95 * np.linalg.norm(weights)
        # projected again it stays
        again = type(layer).of_map(layer, **options)
        np.testing.assert_allclose(again.dense_weights(), layer.dense_weights(), atol=2e-4 if kind == "monarch" else 0.2)
    assert net.layers[2].bias is None
    history = net.fit(X, Y, epochs=3, batch_size=32)
    assert history[-1]["loss"] < history[0]["loss"]
    net.save(tmp_path / "net")
    np.testing.assert_array_equal(nn.Network.load(tmp_path / "net").hidden_activations(X), net.hidden_activations(X))


def test_blocks_take_a_projection_exactly():
    """A matrix of stored blocks plus low rank outside of them is found again."""
    layer = nn.Pixelfly(48, 0.9, 8, 2, rank=0, activation="identity").build(48, np.random.default_rng(0))
    dense = nn.Dense(48, "identity").build(48, np.random.default_rng(1))
    dense.weights.value[...] = layer.dense_weights()
    again = nn.Pixelfly.of_map(dense, block=8, butterfly_size=2, rank=0)
    np.testing.assert_allclose(again.dense_weights(), layer.dense_weights(), atol=1e-6)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: nn.Network(9, 3, hidden=(8,)).project("monarch"), "second dense layer"),
    (lambda: nn.Network(9, 3, hidden=(8, 8)).project("wide"), "no linear map"),
    (lambda: nn.Network(9, 3, hidden=(8, 8)).project(None), "layer None is unknown"),
    (lambda: nn.Network(9, 3, hidden=(8, "monarch")), r"hidden\[1\] must be an integer, or a layer"),
    (lambda: nn.Network(9, 3, hidden=(5, nn.Pixelfly(7))), r"them: give a larger budget \(density\), or use a dense"),
    *((lambda form=form: nn.Network(9, 3, hidden=(8, form)), r"hidden\[1\]: parameter .* is float64; a network computes in float32")
      for form in (nn.Monarch(8, dtype="float64"), nn.Dense(8, dtype="float64"), nn.Sequential([nn.Pixelfly(8, 0.9, dtype="float64")]))),
    (lambda: nn.Network(9, 3, hidden=(8, 8)).project("monarch", columns=2), "takes blocks, rank"),
    (lambda: nn.Network(9, 3, hidden=(8, 8)).project("monarch", blocks=9), "hidden.1.: blocks"),
    (lambda: nn.Network(9, 3, hidden=(64, nn.Pixelfly(64, 0.01))), "larger budget"),
    (lambda: nn.Network(9, 3, hidden=(64, nn.Pixelfly(64, 0.05, 8))), "smaller blocks, a larger budget"),
    (lambda: nn.Network(9, 3, hidden=(64, nn.Pixelfly(64, rank=65))), "rank must be an integer from 0 to 64"),
    (lambda: nn.Network(9, 3, hidden=(nn.Monarch(8), 8)), "first hidden layer"),
    (lambda: nn.Monarch(0), "units"), (lambda: nn.Monarch(8, 0), "blocks"), (lambda: nn.Pixelfly(8, 0.0), "density"),
    (lambda: nn.Pixelfly(8, mask=np.ones((2, 2))), "booleans"),
    (lambda: nn.Network(9, 3, hidden=(16, nn.Pixelfly(16, block=8, mask=np.ones((3, 2), bool)))), "one entry for each block"),
    (lambda: ReformerLM(9, ff=("dense", "monarch", "dense")), "or two: of the inner"),
    (lambda: ReformerLM(9, ff=["dense", 3]), "linear map"),
    (lambda: ReformerLM(9, ff="dropout"), "no linear map"), (lambda: ReformerLM(9, ff=3), "linear map"),
    (lambda: ReformerLM(9, projections={"name": "monarch", "units": 3}), "takes blocks, rank"),
    (lambda: ReformerLM(9, width=8, max_length=8).project(), "ff"),
])
def test_what_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


@pytest.mark.parametrize("block", [1, 2, 5, 8])
@pytest.mark.parametrize("units", [1, 3, 64])
def test_smaller_blocks_are_advised_where_they_fit(units, block):
    def refusal(block):
        try:
            nn.Network(9, 3, hidden=(64, nn.Pixelfly(units, 0.05, block)))
        except ValueError as error:
            return str(error)
        return ""

    assert ("smaller blocks" in refusal(block)) == (refusal(block) != "" and any(not refusal(less) for less in range(1, block)))
    assert nn.Network(9, 3, hidden=(64, nn.Pixelfly(1, 1.0)))


def test_a_projection_that_fails_changes_nothing():
    net = nn.Network(9, 3, hidden=(8, 16, 8))
    before, hidden = net.to_arrays(), net.hidden
    with pytest.raises(ValueError, match=r"hidden\[2\]"):  # the first of the two layers can be projected
        net.project("monarch", blocks=(16, 8))
    assert net.hidden == hidden and all((net.to_arrays()[name] == array).all() for name, array in before.items())


def test_a_budget_gives_layers():
    (part,) = pixelfly_budget([(64, 32)], 0.5, block=8)
    count = part.pop("n_params")
    layer = nn.Pixelfly(64, **part, activation="identity").build(32, np.random.default_rng(0))
    assert sum(parameter.value.size for name, parameter in layer.parameters().items() if name not in ("bias", "mix")) == count


# ------------------------------------------------------------------ language models


def model(**options):
    return ReformerLM(12, max_length=16, width=16, n_layers=2, n_heads=2, ff_width=32, attention="triplet", n_hashes=1, bucket_size=8,
                      **{"ff": "monarch", "projections": {"name": "pixelfly", "density": 0.9, "block": 4}, **options})


def test_a_language_model_of_structured_layers(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 12, 400)
    lm = model()
    lm.fit(tokens, batches=3, batch_size=2)
    lm.save(tmp_path / "lm")
    loaded = ReformerLM.load(tmp_path / "lm")
    assert loaded.ff == "monarch" and loaded.projections == {"name": "pixelfly", "density": 0.9, "block": 4}
    logits = lm.logits(tokens[None, :9])
    np.testing.assert_array_equal(loaded.logits(tokens[None, :9]), logits)
    for other in (lm, loaded):
        other.fit(tokens, batches=2, batch_size=2)
    np.testing.assert_array_equal(loaded.logits(tokens[None, :9]), lm.logits(tokens[None, :9]))
    logits = lm.logits(tokens[None, :9])
    np.testing.assert_allclose(lm.densify().logits(tokens[None, :9]), logits, atol=1e-4)
    assert (lm.ff, lm.projections) == ("dense", "dense")
    lm.fit(tokens, batches=2, batch_size=2)
    lm.project(ff={"name": "monarch", "blocks": 4}, projections="monarch")
    lm.fit(tokens, batches=2, batch_size=2)
    lm.save(tmp_path / "lm")
    np.testing.assert_array_equal(ReformerLM.load(tmp_path / "lm").logits(tokens[None, :9]), lm.logits(tokens[None, :9]))


def test_a_network_without_numbers_keeps_its_form():
    """NaN has no nearest matrix: whatever the form, both calls say so and change nothing."""
    for hidden, change in (((8, 8), lambda net: net.project("pixelfly", density=0.9)), ((8, nn.Monarch(8)), lambda net: net.densify()),
                           ((8, nn.Pixelfly(8, 0.9)), lambda net: net.project("monarch"))):
        net = nn.Network(9, 3, hidden=hidden)
        parameter = next(p for name, p in net.parameters().items() if name.startswith("hidden1") and "bias" not in name)
        parameter.value[0] = np.nan
        with pytest.raises(ValueError, match=r"hidden\[1\]: the weights of this \w+ layer have NaN"):
            change(net)
        assert net.hidden == hidden


def test_a_mask_without_blocks_is_refused():
    with pytest.raises(ValueError, match="at least one block"):
        nn.Pixelfly(8, block=4, mask=np.zeros((2, 2), bool))


@pytest.mark.parametrize("kind", linear_maps())
def test_all_linear_maps_take_arrays_of_any_kind_and_layout(kind):
    """The values and gradients are those of a float32 array in the order of C; a wrong width is refused."""
    layer = make_linear(kind, 10, "tanh").build(8, np.random.default_rng(0))
    x = np.random.default_rng(1).integers(-2, 3, (6, 8))
    want, cache = layer.forward(x.astype(np.float32), nn.Run())
    want_g, want_gradients = layer.backward(want, cache)
    wide = np.zeros((6, 16))
    wide[:, ::2] = x
    for same in (x, x.astype(float), np.asfortranarray(x.astype(np.float32)), wide[:, ::2]):
        value, cache = layer.forward(same, nn.Run())
        np.testing.assert_array_equal(value, want)
        g, gradients = layer.backward(want.astype(float), cache)
        np.testing.assert_array_equal(g, want_g)
        for name, gradient in want_gradients.items():
            np.testing.assert_array_equal(gradients[name], gradient)
    for wrong in (np.zeros((2, 4), np.float32), np.zeros((3, 16), np.float32), np.zeros(24, np.float32)):
        with pytest.raises(ValueError, match="built for 8 inputs"):
            layer.forward(wrong, nn.Run())


def test_the_two_layers_of_a_feed_forward_block_may_differ(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 12, 400)
    forms = ("dense", {"name": "monarch", "blocks": 4})
    lm = model(ff=list(forms), projections="dense")

    def kinds():
        return {name.split(".layers.")[1] for name in lm.parameters() if ".layers." in name and "bias" not in name}

    assert lm.ff == forms and kinds() == {"inner.weights", "outer.right", "outer.left"}
    lm.fit(tokens, batches=2, batch_size=2)
    lm.save(tmp_path / "lm")
    loaded = ReformerLM.load(tmp_path / "lm")
    assert loaded.ff == forms
    logits = lm.logits(tokens[None, :9])
    np.testing.assert_array_equal(loaded.logits(tokens[None, :9]), logits)
    np.testing.assert_allclose(lm.densify().logits(tokens[None, :9]), logits, atol=1e-4)
    assert lm.ff == "dense" and kinds() == {"inner.weights", "outer.weights"}
    lm.project(ff=("monarch", "dense"))
    assert lm.ff == ("monarch", "dense") and kinds() == {"inner.right", "inner.left", "outer.weights"}
    assert model(ff=("monarch", "monarch")).ff == model(ff=["monarch"]).ff == "monarch"


@pytest.mark.slow
def test_gradients_of_a_layer_in_float64():
    layer = nn.Monarch(9, activation="tanh", dtype="float64").build(12, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal((7, 12)), rng.standard_normal((7, 9))
    _, gradients = layer.backward(g, layer.forward(x, nn.Run())[1])
    for name, parameter in layer.parameters().items():
        direction = rng.standard_normal(parameter.value.shape)
        kept, ends = parameter.value.copy(), []
        for side in (1e-6, -1e-6):
            parameter.value[...] = kept + side * direction
            ends.append(float((layer.forward(x, nn.Run())[0] * g).sum()))
        parameter.value[...] = kept
        assert float(np.vdot(direction, gradients[name])) == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-7), name


@pytest.mark.parametrize("name", CASES)
def test_gradients_that_are_kept_do_not_change(name):
    n_inputs, layer = built(name)
    rng = np.random.default_rng(4)
    found = []
    for _ in range(2):
        x, g = (rng.standard_normal((20, n)).astype(np.float32) for n in (n_inputs, layer.units))
        gradients = layer.backward(g, layer.forward(x, nn.Run(train=True))[1])[1]
        found.append((gradients, {key: value.copy() for key, value in gradients.items()}))
    for gradients, copies in found:
        for key, value in gradients.items():
            np.testing.assert_array_equal(value, copies[key])
