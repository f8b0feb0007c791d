"""Activation functions, against float64 formulas and their differences."""

import pickle

import naive_nn
import numpy as np
import pytest

from mongoose_nb.core.registry import describe, make, registered

Z = np.concatenate([np.linspace(-12, 12, 481), [0.0, -0.0, 1e-30, -1e-30, 80, -80]]).astype(np.float32)


@pytest.mark.parametrize("name", registered("activation", "mongoose_nb."))
class TestEvery:
    def test_value_and_gradient(self, name):
        f = make("activation", name)
        value, slope = naive_nn.ACTIVATIONS[name]
        z = Z.copy()
        a = f.forward(z)
        g = f.backward(np.full_like(Z, 2), Z, a)
        assert a.dtype == np.float32 and g.dtype == np.float32
        np.testing.assert_allclose(a, value(Z.astype(float)), rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(g, 2 * slope(Z.astype(float)), rtol=2e-5, atol=4e-6)

    def test_nan_stays_visible(self, name):
        assert np.isnan(make("activation", name).forward(np.float32([np.nan, 1]))).tolist() == [True, False]

    def test_pickled_and_described(self, name):
        own = make("activation", name)
        for again in (pickle.loads(pickle.dumps(own)), make("activation", describe(own))):
            assert type(again) is type(own) and again.forward(Z).tobytes() == own.forward(Z).tobytes()


def test_unknown():
    with pytest.raises(ValueError, match=r"activation 'swish' is unknown; give one of \['elu', 'gelu'"):
        make("activation", "swish")
