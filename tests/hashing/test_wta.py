"""WTA: it is DWTA with zeros as values, and says so in its state. The contract of all families is in test_base."""

import numpy as np
import scipy.sparse as sp

from mongoose_nb.hashing import DWTA, WTA, family_from_state


def test_wta_is_dwta_with_zeros_as_values():
    X = np.maximum(np.random.default_rng(0).standard_normal((40, 30)), 0)
    wta, dwta = WTA(30, K=2, L=6, seed=3, bin_size=4), DWTA(30, K=2, L=6, seed=3, bin_size=4, zeros="value")
    np.testing.assert_array_equal(wta.hash(X), dwta.hash(X))
    np.testing.assert_array_equal(wta.hash(sp.csr_array(X)), dwta.hash(X))
    assert wta.collision_probability_of(X[0], X[1]) == dwta.collision_probability_of(X[0], X[1])
    assert "zeros" not in wta.state() and type(family_from_state(wta.state())) is WTA
    assert family_from_state(wta.state()).zeros == "value"
