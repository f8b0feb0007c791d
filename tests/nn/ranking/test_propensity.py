"""Inverse propensities as a source."""

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.metrics import inverse_propensity
from mongoose_nb.nn.ranking import Lists, Propensity, Training

Y = sparse.csr_matrix((np.random.default_rng(0).random((50, 6)) < 0.3).astype(np.float32))
TRAINING = Training(Y, Y, None, Y, np.arange(5), False)


def test_values_are_those_of_the_labels():
    source = Propensity(0.6, 2.6)
    source.learn(TRAINING)
    lists = Lists(np.array([0, 2, 3]), np.array([0, 5, 3], np.int32))
    want = np.log(inverse_propensity(Y, A=0.6, B=2.6))[[0, 5, 3]]
    np.testing.assert_allclose(source.held_values(TRAINING, lists)[0], want, rtol=1e-6)
    again = Propensity(0.6, 2.6)
    restore(again, state_of(source))
    np.testing.assert_array_equal(again.values_of(None, lists, None)[0], source.values_of(None, lists, None)[0])


def test_refusals():
    for constants in ((-1, 1.5), (0.55, 0)):
        with pytest.raises(ValueError, match="must be"):
            Propensity(*constants)
    with pytest.raises(ValueError, match="not finite"):
        restore(Propensity(), {"logs": np.float32([np.nan])})
