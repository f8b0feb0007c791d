"""Angular hardness beside a naive version, its laws, and its estimate from SimHash codes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb import SimHash
from mongoose_nb.metrics import angular_confidence, angular_pseudo_labels, angular_visual_hardness, hardness_from_codes

rng = np.random.default_rng(0)
H, W, LABELS = rng.standard_normal((30, 12)), rng.standard_normal((7, 12)), rng.integers(0, 7, 30)


def angle(a, b):
    return math.acos(max(-1.0, min(1.0, float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)))))


def test_by_hand():
    hardness, confidence = angular_visual_hardness(H, W, LABELS), angular_confidence(H, W)
    for i in range(30):
        angles = [angle(H[i], w) for w in W]
        assert hardness[i] == pytest.approx(angles[LABELS[i]] / sum(angles), rel=1e-9)
        np.testing.assert_allclose(confidence[i], [(math.pi - a) / sum(math.pi - b for b in angles) for a in angles], rtol=1e-9)
    np.testing.assert_allclose(confidence.sum(axis=1), 1)


@given(st.floats(1e-100, 1e100), st.floats(1e-100, 1e100))
@settings(max_examples=30, deadline=None)
def test_lengths_do_not_matter(a, b):
    np.testing.assert_allclose(angular_visual_hardness(a * H, b * W, LABELS), angular_visual_hardness(H, W, LABELS), rtol=0, atol=1e-9)


def test_zero_rows_are_at_right_angles():
    assert angular_visual_hardness(np.zeros((1, 12)), W, [3])[0] == pytest.approx(1 / 7)
    assert angular_visual_hardness([[1.0, 0.0]], [[-1.0, 0.0], [1.0, 0.0]], [0])[0] == pytest.approx(1)


def test_blocks(monkeypatch):
    from mongoose_nb.metrics import angular

    wanted = angular_visual_hardness(H, W, LABELS)
    monkeypatch.setattr(angular, "_BLOCK", 20)
    np.testing.assert_allclose(angular_visual_hardness(H, W, LABELS), wanted, rtol=1e-12)


def test_the_estimate_is_within_its_standard_error():
    """All of 30 estimates lie within 4.5 standard errors: a chance of at most 30 * 7e-6 to fail, were the seed another."""
    family = SimHash(12, 16, 128, seed=3)
    estimate = hardness_from_codes(family.hash(H), family.hash(W), 16, LABELS)
    exact = angular_visual_hardness(H, W, LABELS)
    for i in range(30):
        angles = np.array([angle(H[i], w) for w in W])
        share = exact[i]
        of_angle = angles * (np.pi - angles) / (16 * 128)  # variances; bits of different classes are correlated, at most fully
        bound = (np.sqrt(of_angle[LABELS[i]]) + share * np.sqrt(of_angle).sum()) / angles.sum()
        assert abs(estimate[i] - share) <= 4.5 * bound


def test_pseudo_labels_are_the_surest_of_each_class():
    rows, labels = angular_pseudo_labels(H, W, 0.4)
    confidence = angular_confidence(H, W)
    best = confidence.argmax(axis=1)
    np.testing.assert_array_equal(labels, best[rows])
    for label in np.unique(best):
        those = np.flatnonzero(best == label)
        chosen = np.intersect1d(those, rows)
        assert len(chosen) == max(1, round(0.4 * len(those)))
        assert confidence[chosen, label].min() >= confidence[np.setdiff1d(those, chosen), label].max(initial=0)
    np.testing.assert_array_equal(angular_pseudo_labels(H, W, 1.0)[0], np.arange(30))


@pytest.mark.parametrize("change, message", [
    (dict(features=H[:, :5]), "same"), (dict(features=np.full((30, 12), np.nan)), "NaN"), (dict(features=H[0]), "rows"),
    (dict(labels=LABELS[:4]), "30 integers"), (dict(labels=LABELS + 7), "from 0 to 6"), (dict(labels=LABELS / 2), "integers"),
    (dict(class_weights=np.zeros((0, 12))), "not empty")])
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        angular_visual_hardness(**{"features": H, "class_weights": W, "labels": LABELS, **change})


def test_bad_codes():
    codes = np.zeros((30, 4), np.uint16)
    for args, message in (((codes.astype(int), codes, 4, LABELS), "unsigned"), ((codes, codes[:, :2], 4, LABELS), "same functions"),
                          ((codes, codes, 0, LABELS), "bits")):
        with pytest.raises(ValueError, match=message):
            hardness_from_codes(*args)
    for share in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share"):
            angular_pseudo_labels(H, W, share)
