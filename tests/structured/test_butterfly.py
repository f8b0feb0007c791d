"""The mask of Pixelated Butterfly and its budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.structured.projection import flattening
from mongoose_nb.structured import butterfly_factor, pixelfly_budget, pixelfly_mask
from tests import naive_structured as naive


@pytest.mark.parametrize("nb", [1, 2, 16, 64])
@pytest.mark.parametrize("block", [8, 16])
def test_a_square_has_its_blocks_exactly(nb, block):
    size = 1
    while size <= nb:
        mask = pixelfly_mask(nb * block, nb * block, block, size)
        assert {tuple(place) for place in np.argwhere(mask)} == naive.butterfly_blocks(nb, size)
        assert mask.sum() == nb * (1 + np.log2(size)) and (mask.sum(axis=1) == 1 + np.log2(size)).all() and (mask == mask.T).all()
        size *= 2
    assert (pixelfly_mask(nb * block, nb * block, block) == mask).all()  # by default the largest


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 32), st.integers(0, 3))
def test_any_shape_is_covered(out, in_, block, n_global):
    rows, columns = -(-out // block), -(-in_ // block)
    n_global = min(n_global, max(rows, columns))
    mask = pixelfly_mask(out, in_, block, 1, n_global=n_global)
    assert mask.shape == (rows, columns) and mask.any(axis=0).all() and mask.any(axis=1).all()
    assert mask[:n_global].all() and mask[:, :n_global].all()
    assert (pixelfly_mask(out, in_, block, 1, min(out, in_), n_global) == mask).all()  # the low-rank matrix stores no blocks


def test_a_stretched_mask_keeps_its_density():
    assert pixelfly_mask(512, 2048, 16, 8).mean() == pixelfly_mask(512, 512, 16, 8).mean()


def test_flattening_is_right_to_the_second_order():
    errors = flattening(32, 32, [0.05, 0.025, 0.0125], np.random.default_rng(0))
    for large, small in zip(errors, errors[1:]):
        assert large / small == pytest.approx(4, rel=0.1)
    assert (butterfly_factor(4, 2) == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]).all()


@given(st.lists(st.tuples(st.integers(64, 600), st.integers(64, 600)), min_size=1, max_size=4), st.floats(0.2, 0.9))
def test_a_budget_is_kept_and_shared(shapes, share):
    found = pixelfly_budget(shapes, share, block=8)
    dense = sum(out * in_ for out, in_ in shapes)
    assert sum(part["n_params"] for part in found) <= share * dense
    for (out, in_), part in zip(shapes, found):
        mask = pixelfly_mask(out, in_, part["block"], part["butterfly_size"])
        assert part["n_params"] == mask.sum() * 64 + part["rank"] * (out + in_) <= share * out * in_
        # what is left pays for no further rank
        assert part["rank"] == min(out, in_) or share * out * in_ - part["n_params"] < out + in_
    counts = pixelfly_budget(shapes, share * dense, block=8)
    assert [part["butterfly_size"] for part in counts] == [part["butterfly_size"] for part in found]


@pytest.mark.parametrize(("call", "words"), [
    (lambda: pixelfly_mask(64, 64, 16, 3), "power of two"), (lambda: pixelfly_mask(64, 64, 16, 8), "from 1 to 4"),
    (lambda: pixelfly_mask(0, 64), "out"), (lambda: pixelfly_mask(64, 64, 16, 4, 65), "rank"),
    (lambda: pixelfly_budget([(1024, 1024)], 0.01, block=128), "smaller blocks"), (lambda: butterfly_factor(6, 1), "power of two"),
    (lambda: pixelfly_budget([(64, 64)], 0), "parameters"),
])
def test_what_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
