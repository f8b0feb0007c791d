"""Reversible layers: streams in fixed point come back to the bit, and so do gradients."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reformer_problem import batch, model

from mongoose_nb.nn import Run
from mongoose_nb.nn.layers.gradients import as_dense
from mongoose_nb.reformer.reversible import FORMATS, add, to_stream, to_values


@pytest.mark.parametrize("dtype", FORMATS)
class TestStreams:
    @settings(deadline=None, max_examples=40)
    @given(data=st.data())
    def test_an_addition_is_undone_exactly(self, dtype, data):
        limit = FORMATS[dtype][2]
        width = 32 if dtype == "float32" else 64
        array = hnp.arrays(dtype, st.integers(1, 9), elements=st.floats(-limit / 4, limit / 4, width=width))
        x = data.draw(array)
        start = stream = to_stream(x)
        steps = [np.resize(data.draw(array), x.shape) for _ in range(3)]
        for step in steps:
            stream = add(stream, step)
        np.testing.assert_allclose(to_values(stream, np.dtype(dtype)), x.astype(float) + np.sum(steps, axis=0, dtype=float),
                                   rtol=2.0**-22, atol=2.0**-18)
        for step in reversed(steps):
            stream = add(stream, step, -1)
        assert stream.tobytes() == start.tobytes()

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
    def test_what_does_not_fit_is_an_error(self, dtype, bad):
        x = np.zeros(7, dtype)
        x[3] = bad
        with pytest.raises(FloatingPointError, match=r"1 of 7 values of a residual stream"):
            to_stream(x)

    def test_a_sum_that_leaves_the_range_is_an_error(self, dtype):
        x = np.full(5, 0.7 * FORMATS[dtype][2], dtype)
        stream = to_stream(x)
        with pytest.raises(FloatingPointError, match="5 of 5 values"):
            add(stream, x)


SETTINGS = {
    "lsh": {"attention": "lsh", "dropout": 0.2},
    "mixed": {"attention": ["full", "lsh", "lsh"], "n_hashes": [1, 3, 2], "bucket_size": [4, 4, 8], "dropout": 0.1, "ff_chunks": 3},
}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_stored_activations_to_the_bit(name, dtype):
    stored, recomputed = (model(n_layers=3, dtype=dtype, reversible=r, **SETTINGS[name]) for r in (False, True))
    for index in range(2):
        stored.step = recomputed.step = index
        loss, grads = stored.loss_and_gradients(*batch(index))
        again, grads_again = recomputed.loss_and_gradients(*batch(index))
        assert loss == again and grads.keys() == grads_again.keys() == stored.parameters().keys()
        for key in grads:
            assert as_dense(grads[key]).tobytes() == as_dense(grads_again[key]).tobytes(), key


def test_the_input_of_a_layer_is_recovered_to_the_bit():
    m = model(n_layers=1, dropout=0.2)
    block, rng = m._body.blocks[0], np.random.default_rng(0)
    x = tuple(to_stream(rng.standard_normal((2, 16, 8)).astype(np.float32)) for _ in range(2))
    y, cache = block.forward(x, Run(3))
    g = tuple(rng.standard_normal((2, 16, 8)).astype(np.float32) for _ in range(2))
    recovered = block.backward((*g, y), cache)[0][2]
    assert [a.tobytes() for a in recovered] == [a.tobytes() for a in x]
    assert [a.tobytes() for a in y] != [a.tobytes() for a in x]


def test_memory_does_not_grow_with_depth():
    """Peak of a pass: with stored activations every layer adds its own, without nothing but parameters and their gradients."""
    def peak(n_layers, reversible):
        m = model(max_length=128, n_layers=n_layers, width=16, attention="full", reversible=reversible)
        tokens, weight = batch(size=16, length=128)
        m.loss_and_gradients(tokens, weight)  # compiled
        tracemalloc.start()
        m.loss_and_gradients(tokens, weight)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(10, True) < 1.2 * peak(2, True)
    assert peak(10, False) > 2 * peak(2, False)
