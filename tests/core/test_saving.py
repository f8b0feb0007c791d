"""State by declaration: saving, splitting, restoring."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongoose_nb.core import files
from mongoose_nb.core.saving import Stateful, join, remember, restore, split, state_of
from mongoose_nb.hashing import SimHash


class Inner(Stateful):
    saved_state = ("count", "_sums")

    def __init__(self, n=3):
        self.count, self._sums = 0, np.zeros(n)


class Outer(Stateful):
    saved_state = ("name", "rate", "_flag", "_last", "history", "table", "inner", "family", "ids", "pair")
    resizable = ("ids",)
    optional = ("pair",)

    def __init__(self):
        self.name, self.rate, self._flag, self._last, self.history = "new", 0.5, False, None, []
        self.table, self.inner, self.family = {"a": 1}, Inner(), SimHash(4, 2, 3, seed=1)
        self.ids, self.pair, self.restored = np.zeros(0, np.int32), (0, 0), 0

    def state_restored(self):
        self.restored += 1
        if self.rate > 1:
            raise ValueError("rate is above 1")


def changed():
    outer = Outer()
    outer.name, outer.rate, outer._flag, outer._last, outer.history = "used", 0.25, True, 3.5, [1, [2, None]]
    outer.table, outer.ids, outer.pair = {"b": 2, "c": {"d": "x"}}, np.arange(5, dtype=np.int32), (1, 2)
    outer.inner.count, outer.inner._sums = 7, np.array([1.0, 2.0, 3.0])
    outer.family.rebuild()
    return outer


def test_it_goes_through_a_file(tmp_path):
    settings, arrays = split(state_of(changed()))
    assert {"ids", "inner.sums", "family.functions"} == set(arrays) and "inner" in settings
    files.save(tmp_path / "f", "test", settings, arrays)
    again = Outer()
    restore(again, join(*files.load(tmp_path / "f", "test")))
    assert again.restored == 1 and again.pair == (1, 2) and again._flag is True and again._last == 3.5 and again.inner.count == 7
    for a, b in zip(split(state_of(again)), split(state_of(changed()))):
        assert json.dumps(a, default=np.ndarray.tolist) == json.dumps(b, default=np.ndarray.tolist)
    assert again.family.version == 1


@pytest.mark.parametrize("change, message", [
    ({"name": 3}, "the saved Outer.name is 3; needed is a value like 'new'"), ({"rate": "x"}, "Outer.rate"),
    ({"rate": float("nan")}, "Outer.rate"),
    ({"flag": 1}, "Outer.flag"), ({"history": {}}, "Outer.history"), ({"table": []}, "Outer.table"),
    ({"inner": 3}, "Outer.inner is 3 instead"),
    ({"inner": {"count": 1}}, "lacks Outer.inner.sums"), ({"inner": {"count": True, "sums": np.zeros(3)}}, "Outer.inner.count"),
    ({"inner": {"count": 1, "sums": np.zeros(4)}}, r"Outer.inner.sums is float64 \(4,\); needed is float64 \(3,\)"),
    ({"inner": {"count": 1, "sums": np.zeros(3, np.float32)}}, "Outer.inner.sums is float32"),
    ({"ids": np.zeros((2, 2), np.int32)}, "ids"), ({"ids": None}, "Outer.ids is None"),
    ({"name": np.zeros(2)}, "Outer.name is an array"), ({"family": {"family": "simhash"}}, "format"),
    ({"rate": 2.0}, "rate is above 1"), ({"pair": [1]}, None),
])
def test_a_state_that_does_not_fit_is_refused(change, message):
    state = {**state_of(changed()), **change}
    if message is None:
        return restore(Outer(), state)
    with pytest.raises(ValueError, match=message):
        restore(Outer(), state)


@pytest.mark.parametrize("ids, dtype", [([0, 255], np.uint8), ([3, 256], np.uint16), ([1 << 16, 2], np.int32), ([-1, 2], np.int32),
                                        ([], np.int32)])
def test_integers_of_an_array_of_any_length_take_few_bytes(ids, dtype):
    outer = changed()
    outer.ids = np.array(ids, np.int32)
    state = state_of(outer)
    assert state["ids"].dtype == dtype
    again = Outer()
    restore(again, state)
    assert again.ids.dtype == np.int32 and again.ids.tolist() == ids
    with pytest.raises(ValueError, match="the saved Outer.ids is int64"):
        restore(Outer(), {**state, "ids": np.array([1], np.int64)})


def test_what_is_missing():
    state = state_of(changed())
    with pytest.raises(ValueError, match="lacks Outer.rate"):
        restore(Outer(), {name: value for name, value in state.items() if name != "rate"})
    outer = Outer()
    restore(outer, {name: value for name, value in state.items() if name != "pair"})
    assert outer.pair == (0, 0)


def test_what_a_file_cannot_hold_is_named():
    outer = Outer()
    outer.history = [1, object()]
    with pytest.raises(TypeError, match=r"Outer.history\[1\] is a builtins.object, which a file cannot hold; .*saved_state"):
        state_of(outer)


def test_what_is_remembered_comes_back():
    """Values of another type, too, and arrays where they are."""
    outer = Outer()
    sums, before = outer.inner._sums, state_of(outer)
    put_back = remember(outer)
    outer._last, outer.rate, outer.inner.count, outer.inner._sums[...] = 7, 2.5, 9, 4.0
    outer.history.append(1)
    outer.table["a"] = 2
    outer.inner._sums = np.ones(5)
    put_back()
    after = state_of(outer)
    assert outer.inner._sums is sums and not sums.any()
    for state in (before, after):
        del state["family"], state["inner"]["sums"], state["ids"]
    assert after == before


values = st.one_of(st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=3), st.none(), st.booleans())
names = st.text("abc", min_size=1, max_size=2)
states = st.recursive(st.dictionaries(names, st.one_of(values, st.integers(0, 4).map(np.arange)), max_size=3),
                      lambda inner: st.dictionaries(names, st.one_of(values, inner), max_size=3), max_leaves=8)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(states)
def test_splitting_and_joining(state):
    settings, arrays = split(state)
    json.dumps(settings)

    def plain(value):
        return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value.tolist() if hasattr(value, "tolist") else value

    assert plain(join(settings, arrays)) == plain(state)
