"""What every layer promises: gradients, repeatable forward passes, gradients by the parameters' names."""

import numpy as np
import pytest
from reformer_problem import as_array, assert_slope, perturb

from mongoose_nb.attention import LSHAttention
from mongoose_nb.nn import Full
from mongoose_nb.reformer.attention import MultiHeadAttention
from mongoose_nb.reformer.dropout import Dropout
from mongoose_nb.reformer.embedding import Embedding
from mongoose_nb.reformer.feedforward import FeedForward
from mongoose_nb.reformer.head import SoftmaxHead, WideHead
from mongoose_nb.reformer.layer import Run, Sequential
from mongoose_nb.reformer.linear import Linear
from mongoose_nb.reformer.norm import LayerNorm
from mongoose_nb.reformer.positions import AxialPositions, SinusoidalPositions

BATCH, LENGTH, WIDTH = 2, 12, 6


def attention(kind, **settings):
    return lambda **of: MultiHeadAttention(WIDTH, 2, LSHAttention(2, 3, True, kind=kind, exact_below=0, redraw=True, **settings), **of)


LAYERS = {
    "linear": lambda **of: Linear(WIDTH, 5, **of),
    "linear-plain": lambda **of: Linear(WIDTH, 5, bias=False, **of),
    "norm": lambda rng, dtype: LayerNorm(WIDTH, dtype=dtype),
    "sinusoidal": lambda rng, dtype: SinusoidalPositions(20, WIDTH, dtype=dtype),
    "axial": lambda **of: AxialPositions(4, 5, WIDTH, **of),
    "dropout": lambda rng, dtype: Dropout(0.3, 5),
    "feedforward": lambda **of: FeedForward(WIDTH, 7, "tanh", **of),
    "feedforward-chunks": lambda **of: FeedForward(WIDTH, 7, "gelu", chunks=5, **of),
    "attention-full": attention("full"),
    "attention-lsh": attention("lsh"),
    "sequential": lambda rng, dtype: Sequential(a=Linear(WIDTH, 4, rng=rng, dtype=dtype), b=Linear(4, WIDTH, rng=rng, dtype=dtype)),
}


def make(name, dtype=np.float64):
    layer = LAYERS[name](rng=np.random.default_rng(0), dtype=np.dtype(dtype))
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
    assert all(as_array(grads[key]).tobytes() == as_array(grads_again[key]).tobytes() for key in parameters)
    np.testing.assert_array_equal(x, before)
    for key, parameter in layer.parameters().items():
        np.testing.assert_array_equal(parameter.value, parameters[key])


def test_embedding():
    layer = Embedding(9, 5, rng=np.random.default_rng(0), dtype=np.dtype("float64"))
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
        head = SoftmaxHead(WIDTH, 9, rng=rng, dtype=np.dtype("float64"))
        perturb(head.parameters())
        h, targets = rng.standard_normal((11, WIDTH)), rng.integers(0, 9, 11)
        losses, cache = head.forward((h, targets), Run())
        dh, grads = head.backward(2.0, cache)

        def loss():
            return 2.0 * float(head.forward((h, targets), Run())[0].mean())

        z = h @ head.weights.value.T + head.bias.value
        np.testing.assert_allclose(losses, np.log(np.exp(z).sum(axis=1)) - z[np.arange(11), targets], rtol=1e-12)
        assert_slope(loss, h, dh)
        for key, parameter in head.parameters().items():
            assert_slope(loss, parameter.value, grads[key], key)

    def test_the_wide_one_with_all_outputs_is_the_exact_one(self):
        rng = np.random.default_rng(0)
        exact = SoftmaxHead(WIDTH, 30, rng=rng, dtype=np.dtype("float32"))
        wide = WideHead(WIDTH, 30, Full(), rng=rng, clip=True)
        perturb(exact.parameters())
        for key, parameter in exact.parameters().items():
            wide.parameters()[key].value[...] = parameter.value
        h, targets = rng.standard_normal((50, WIDTH)).astype(np.float32), rng.integers(0, 30, 50)
        losses, cache = exact.forward((h, targets), Run())
        dh, grads = exact.backward(1.0, cache)
        wide_losses, cache = wide.forward((h, targets), Run())
        wide_dh, wide_grads = wide.backward(1.0, cache)
        np.testing.assert_allclose(wide_losses, losses, rtol=1e-5)
        np.testing.assert_allclose(wide_dh, dh, atol=1e-7)
        both = sum(np.square(grad).sum() for grad in grads.values())
        assert wide_grads["weights"].square_norm() == pytest.approx(both, rel=1e-5)
