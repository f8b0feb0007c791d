"""What every layer promises: gradients, repeatable forward passes, gradients by the parameters' names."""

import numpy as np
import pytest
from reformer_problem import assert_slope, perturb

from mongoose_nb.attention import LSHAttention
from mongoose_nb.nn import Dense, Dropout, Full, LayerNorm, Run, Sequential
from mongoose_nb.nn.layers.gradients import as_dense, square_norm
from mongoose_nb.nn.layers.wide_output import WideOutput
from mongoose_nb.reformer.attention import MultiHeadAttention
from mongoose_nb.reformer.embedding import Embedding
from mongoose_nb.reformer.feedforward import FeedForward
from mongoose_nb.reformer.head import SoftmaxHead, one_label
from mongoose_nb.reformer.positions import AxialPositions, SinusoidalPositions

BATCH, LENGTH, WIDTH = 2, 12, 6


def attention(kind, dtype):
    return MultiHeadAttention(2, LSHAttention(2, 3, True, kind=kind, exact_below=0, redraw=True), dtype=dtype)


LAYERS = {
    "linear": lambda dtype: Dense(5, "identity", init="glorot", dtype=dtype),
    "linear-plain": lambda dtype: Dense(5, "identity", use_bias=False, init="glorot", dtype=dtype),
    "dense": lambda dtype: Dense(5, "tanh", dtype=dtype),
    "norm": lambda dtype: LayerNorm(dtype),
    "sinusoidal": lambda dtype: SinusoidalPositions(20, dtype),
    "axial": lambda dtype: AxialPositions(4, 5, dtype),
    "dropout": lambda dtype: Dropout(0.3, 5),
    "feedforward": lambda dtype: FeedForward(7, "tanh", dtype=dtype),
    "feedforward-chunks": lambda dtype: FeedForward(7, "gelu", chunks=5, dtype=dtype),
    "attention-full": lambda dtype: attention("full", dtype),
    "attention-lsh": lambda dtype: attention("lsh", dtype),
    "sequential": lambda dtype: Sequential([Dense(4, "elu", dtype=dtype), Dense(WIDTH, "identity", dtype=dtype)]),
}


def make(name, dtype="float64"):
    layer = LAYERS[name](dtype).build(WIDTH, np.random.default_rng(0))
    perturb(layer.parameters())
    return layer


@pytest.mark.parametrize("mask", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name, mask):
    rng = np.random.default_rng(3)
    layer, x = make(name), rng.standard_normal((BATCH, LENGTH, WIDTH))
    run = Run(4, mask=np.arange(LENGTH) < [[LENGTH], [LENGTH - 3]]) if mask else Run(4)
    out, cache = layer.forward(x, run)
    weight = rng.standard_normal(out.shape)
    dx, grads = layer.backward(weight, cache)

    def loss():
        return float((layer.forward(x, run)[0] * weight).sum())

    assert_slope(loss, x, dx, "input")
    parameters = layer.parameters()
    assert grads.keys() == parameters.keys()
    for key, parameter in parameters.items():
        assert_slope(loss, parameter.value, grads[key], key)


@pytest.mark.parametrize("name", LAYERS)
def test_a_value_can_be_computed_again(name):
    layer, x = make(name), np.random.default_rng(3).standard_normal((BATCH, LENGTH, WIDTH))
    before, parameters = x.copy(), {key: p.value.copy() for key, p in layer.parameters().items()}
    first, cache = layer.forward(x, Run(4))
    again, cache_again = layer.forward(x, Run(4))
    layer.forward(x + 1, Run(5))
    assert first.tobytes() == again.tobytes()
    g = np.random.default_rng(4).standard_normal(first.shape)
    (dx, grads), (dx_again, grads_again) = layer.backward(g, cache), layer.backward(g, cache_again)
    assert dx.tobytes() == dx_again.tobytes()
    assert all(as_dense(grads[key]).tobytes() == as_dense(grads_again[key]).tobytes() for key in parameters)
    np.testing.assert_array_equal(x, before)
    for key, parameter in layer.parameters().items():
        np.testing.assert_array_equal(parameter.value, parameters[key])


def test_embedding():
    layer = Embedding(5, "float64").build(9, np.random.default_rng(0))
    tokens = np.random.default_rng(1).integers(0, 8, (3, 7), np.int32)
    out, cache = layer.forward(tokens, Run())
    np.testing.assert_array_equal(out, layer.weights.value[tokens])
    weight = np.random.default_rng(2).standard_normal(out.shape)
    dx, grads = layer.backward(weight, cache)
    assert dx is None
    assert_slope(lambda: float((layer.forward(tokens, Run())[0] * weight).sum()), layer.weights.value, grads["weights"])
    assert not grads["weights"].dense()[8].any()


class TestHeads:
    def test_softmax_gradients(self, monkeypatch):
        monkeypatch.setattr("mongoose_nb.reformer.head.CHUNK", 40)  # several chunks
        rng = np.random.default_rng(0)
        head = SoftmaxHead(9, "float64").build(WIDTH, rng)
        perturb(head.parameters())
        h, targets = rng.standard_normal((11, WIDTH)), rng.integers(0, 9, 11)
        losses, cache = head.loss(h, one_label(targets), Run())
        dh, grads = head.backward(1.0, cache)

        def loss():
            return float(head.loss(h, one_label(targets), Run())[0].mean())

        z = h @ head.weights.value.T + head.bias.value
        np.testing.assert_allclose(losses, np.log(np.exp(z).sum(axis=1)) - z[np.arange(11), targets], rtol=1e-12)
        assert_slope(loss, h, dh)
        for key, parameter in head.parameters().items():
            assert_slope(loss, parameter.value, grads[key], key)

    def test_the_wide_one_with_all_outputs_is_the_exact_one(self):
        rng = np.random.default_rng(0)
        exact, wide = SoftmaxHead(30).build(WIDTH, rng), WideOutput(30, Full()).build(WIDTH, rng)
        wide.bind_sampler(0)
        perturb(exact.parameters())
        for key, parameter in exact.parameters().items():
            wide.parameters()[key].value[...] = parameter.value
        h, targets = rng.standard_normal((50, WIDTH)).astype(np.float32), rng.integers(0, 30, 50)
        outcome = []
        for head in (exact, wide):
            losses, cache = head.loss(h, one_label(targets), Run(clip=True))
            outcome.append((losses, *head.backward(1.0, cache)))
        (losses, dh, grads), (wide_losses, wide_dh, wide_grads) = outcome
        np.testing.assert_allclose(wide_losses, losses, rtol=1e-5)
        np.testing.assert_allclose(wide_dh, dh, atol=1e-7)
        for key in grads:
            np.testing.assert_allclose(as_dense(wide_grads[key]), grads[key], atol=1e-6)
        assert sum(square_norm(g) for g in wide_grads.values()) == pytest.approx(sum(square_norm(g) for g in grads.values()), rel=1e-5)
        losses, cache = wide.loss(h, one_label(targets), Run())
        with pytest.raises(ValueError, match="give forward a Run with clip=True"):
            wide.backward(1.0, cache)[1]["weights"].square_norm()
