"""The timer of phases."""

import time

import pytest

from mongoose_nb.nn.training.timing import PHASES, PhaseTimer


def test_phases_add_up():
    timer = PhaseTimer()
    assert timer.shares() == dict.fromkeys(PHASES, 0.0)
    for _ in range(2):
        with timer("hash"):
            time.sleep(0.002)
    with pytest.raises(RuntimeError), timer("update"):
        raise RuntimeError
    assert timer.seconds["hash"] >= 0.004 and timer.seconds["update"] > 0
    assert sum(timer.shares().values()) == pytest.approx(1)
