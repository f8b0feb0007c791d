"""Both drift sketches against the oracle and against each other."""

import copy
import importlib.util
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_sketch import SKETCHES, NaiveSketch, assert_same_sketch, sketch_names

sketches = pytest.mark.parametrize("Sketch", SKETCHES, ids=sketch_names)
OPERATIONS = ("touch", "touch", "touch", "all", "record", "record", "look", "snapshot", "part", "state", "pickle", "copy")


def random_codes(rng, m, words):
    return rng.integers(0, 2**64, (m, words), np.uint64)


def filled(Sketch, rows=None):
    rng = np.random.default_rng(3)
    sketch = Sketch(40, bits=128, rows=rows)
    m = len(sketch)
    sketch.touch(rng.integers(0, 40, 60))
    sketch.record(np.arange(m), random_codes(rng, m, 2))
    sketch.take_snapshot(np.arange(0, m, 2))
    sketch.touch(rng.integers(0, 40, 20))
    return sketch


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_sequence_of_operations(data):
    n = data.draw(st.integers(1, 50), "n")
    words = data.draw(st.integers(1, 3), "words")
    watched = data.draw(st.none() | st.sets(st.integers(0, n - 1), min_size=1), "watched")
    watched = None if watched is None else sorted(watched)
    options = {"bits": 64 * words, "rows": watched}
    naive = NaiveSketch(n, **options)
    made = [cls(n, **options) for cls in SKETCHES]
    m = len(naive.rows)
    steps = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 80), st.integers(0, 2**32 - 1)), max_size=12)
    for operation, k, draw in data.draw(steps, "steps"):
        rng = np.random.default_rng(draw)
        places = rng.permutation(m)[:k].astype(np.int32)
        ids = rng.integers(0, n, k).astype(np.int32)  # with repetitions
        codes = random_codes(rng, len(places), words)
        if operation in ("touch", "all"):
            for s in (naive, *made):
                s.touch(None if operation == "all" else ids)
        elif operation == "record":
            for s in (naive, *made):
                s.record(places, codes)
        elif operation == "look":
            assert all(s.pending(k).tolist() == naive.pending(k) for s in made)
        elif operation in ("snapshot", "part"):
            for s in (naive, *made):
                s.take_snapshot(None if operation == "snapshot" else places)
        elif operation == "state":
            made = [type(s).from_state(s.state()) for s in made]
        elif operation == "pickle":
            made = [pickle.loads(pickle.dumps(s)) for s in made]
        else:
            made = [copy.deepcopy(s) for s in made]
        for s, cls in zip(made, SKETCHES):
            assert type(s) is cls
            assert_same_sketch(s, naive)


@sketches
def test_marks_and_touches_saturate(Sketch):
    sketch = Sketch(3)
    sketch.touch(np.zeros(65535 + 7, np.int32))
    sketch.touch([0, 1])
    sketch.touch()
    assert sketch.state()["marks"].tolist() == [65535, 2, 1]
    assert sketch.pending(1).tolist() == [0] and sketch.pending(2).tolist() == [0, 1]
    state = sketch.state()
    state["touches"][:] = 2**32 - 3
    sketch = Sketch.from_state(state)
    sketch.record([0, 1, 2], np.zeros((3, 1), np.uint64))
    assert sketch.touches.tolist() == [2**32 - 1, 2**32 - 1, 2**32 - 2]


@sketches
def test_hamming_on_bits_not_on_integers(Sketch):
    """A flip of the highest bit counts as one of the lowest does."""
    sketch = Sketch(64)
    sketch.record(np.arange(64), (np.uint64(1) << np.arange(64, dtype=np.uint64))[:, None])
    assert sketch.changed().tolist() == [1] * 64 and sketch.total == 64
    sketch.take_snapshot()
    sketch.record(np.arange(64), ~(np.uint64(1) << np.arange(64, dtype=np.uint64))[:, None])
    assert sketch.changed().tolist() == [64] * 64


@sketches
def test_the_most_touched_come_first_and_nobody_waits_for_ever(Sketch):
    """With room for 10 of 100 rows that are touched alike, all have been seen after 10 looks."""
    sketch, seen = Sketch(100), set()
    for _ in range(10):
        sketch.touch()
        places = sketch.pending(10)
        seen.update(places.tolist())
        sketch.record(places, np.zeros((10, 1), np.uint64))
    assert len(seen) == 100


@sketches
def test_input_kinds(Sketch):
    want = Sketch(9)
    want.touch(np.array([3, 4, 8], np.int32))
    frozen = np.array([3, 4, 8])
    frozen.flags.writeable = False
    for kind in (frozen, [3, 4, 8], np.array([3, 4, 8], ">i8"), np.array([3, 0, 4, 0, 8], np.uint8)[::2]):
        sketch = Sketch(9)
        sketch.touch(kind)
        assert sketch.pending().tolist() == want.pending().tolist() == [3, 4, 8]
    codes = np.arange(18, dtype=np.uint64).reshape(9, 2)[:, ::2]
    codes.flags.writeable = False
    sketch.record(range(9), codes)
    assert sketch.state()["codes"][:, 0].tolist() == list(range(0, 18, 2))
    sketch.touch([])
    sketch.record([], np.zeros((0, 1), np.uint64))
    sketch.take_snapshot([])
    assert sketch.total == sum(bin(v).count("1") for v in range(0, 18, 2))


@sketches
@pytest.mark.parametrize("call, error, match", [
    (lambda s: s.touch([40]), ValueError, "ids must be between 0 and 39, got 40"),
    (lambda s: s.touch([0, -2]), ValueError, "got -2"),
    (lambda s: s.touch([0.5]), TypeError, "ids must be an integer array"),
    (lambda s: s.touch([[1]]), ValueError, "one axis"),
    (lambda s: s.record([10], np.zeros((1, 2), np.uint64)), ValueError, "places must be between 0 and 9, got 10"),
    (lambda s: s.record([-1], np.zeros((1, 2), np.uint64)), ValueError, "got -1"),
    (lambda s: s.record([1], np.zeros((1, 1), np.uint64)), ValueError, r"\(1, 2\), got uint64 \(1, 1\)"),
    (lambda s: s.record([1], np.zeros((1, 2), np.int64)), ValueError, "codes must be uint64"),
    (lambda s: s.take_snapshot([0, 11]), ValueError, "got 11"),
    (lambda s: s.pending(-1), ValueError, "limit must be between 0"),
    (lambda s: s.pending(1.0), TypeError, "limit must be an integer"),
])
def test_bad_input_leaves_the_sketch_unchanged(Sketch, call, error, match):
    sketch = filled(Sketch, rows=np.arange(0, 40, 4))
    before = sketch.state()
    with pytest.raises(error, match=match):
        call(sketch)
    for name, value in sketch.state().items():
        np.testing.assert_array_equal(value, before[name])


@sketches
@pytest.mark.parametrize("args, options, error, match", [
    ((0,), {}, ValueError, "n_rows must be between 1"), ((2.0,), {}, TypeError, "n_rows must be an integer"),
    ((5,), {"bits": 32}, ValueError, "bits must be between 64"), ((5,), {"bits": 96}, ValueError, "multiple of 64, got 96"),
    ((5,), {"rows": []}, ValueError, "at least one"), ((5,), {"rows": [1, 1]}, ValueError, "ascending"),
    ((5,), {"rows": [2, 1]}, ValueError, "ascending"), ((5,), {"rows": [5]}, ValueError, "between 0 and 4"),
    ((5,), {"rows": [-1]}, ValueError, "between 0 and"),
])
def test_bad_parameters(Sketch, args, options, error, match):
    with pytest.raises(error, match=match):
        Sketch(*args, **options)


@sketches
def test_state_goes_from_one_implementation_to_the_other(Sketch):
    for rows in (None, [1, 5, 30]):
        state = filled(Sketch, rows).state()
        for Other in SKETCHES:
            for name, value in Other.from_state(state).state().items():
                np.testing.assert_array_equal(value, state[name])
                assert type(value) is type(state[name])
        state["codes"][:] = 0
        assert filled(Sketch, rows).state()["codes"].any()


@sketches
@pytest.mark.parametrize("change", [
    {"version": 2}, {"version": True}, {"n_rows": 41}, {"n_rows": 2**31}, {"n_rows": "x"}, {"bits": 64}, {"bits": 100},
    {"marks": np.zeros(39, np.uint16)}, {"marks": np.full(40, 2**16)}, {"codes": np.zeros((40, 1), np.uint64)},
    {"codes": np.zeros((40, 2))}, {"snapshot": np.zeros(80, np.uint64)}, {"touches": np.full(40, -1)}, {"touches": None},
    {"rows": np.array([0, 50], np.int32)}, {"rows": np.array([0, 5], np.int32)}, {"rows": 3},
], ids=repr)
def test_damaged_states_are_refused(Sketch, change):
    state = filled(Sketch).state()
    with pytest.raises(ValueError, match="drift sketch"):
        Sketch.from_state({**state, **change})


@sketches
def test_incomplete_states_are_refused(Sketch):
    state = filled(Sketch).state()
    for name in state:
        with pytest.raises(ValueError, match=f"lacks '{name}'"):
            Sketch.from_state({k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match="must be a dict, got list"):
        Sketch.from_state([])


@sketches
def test_memory(Sketch):
    assert Sketch(1000).nbytes == 1000 * (2 + 4 + 16)
    assert Sketch(1000, bits=128, rows=range(10)).nbytes == 2000 + 10 * (4 + 4 + 32)
    assert repr(Sketch(9, rows=[1, 2])) == "DriftSketch(n_rows=9, bits=64, watched=2)"
    assert Sketch(9, rows=[1, 2]).rows.tolist() == [1, 2] and Sketch(9).rows is None


@sketches
def test_threads_wait_for_each_other(Sketch):
    sketch = Sketch(50)

    def work():
        for _ in range(200):
            sketch.touch(np.arange(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sketch.state()["marks"].tolist() == [800] * 50


@sketches
def test_an_object_without_init_is_harmless(Sketch):
    sketch = Sketch.__new__(Sketch)
    for call in (lambda: sketch.touch([1]), lambda: sketch.record([0], np.zeros((1, 1), np.uint64)), lambda: sketch.take_snapshot([0])):
        with pytest.raises((ValueError, AttributeError)):
            call()


@pytest.mark.parametrize("pure", ["0", "1"])
def test_choice_of_implementation(pure):
    code = ("import sys, mongoose_nb._ext as e; assert not {'numba', 'scipy'} & set(sys.modules); "
            "print(e.SKETCH_COMPILED, e.DriftSketch.compiled)")
    result = subprocess.run([sys.executable, "-c", code], env={**os.environ, "MONGOOSE_NB_PURE": pure}, text=True,
                            capture_output=True, check=True)
    expected = pure == "0" and importlib.util.find_spec("mongoose_nb._ext._sketch") is not None
    assert result.stdout.split() == [str(expected)] * 2
