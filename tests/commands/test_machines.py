"""Long random sequences of changes, queries, saves and loads against a model that is obviously right: a dict."""

import copy

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, problem

from mongoose_nb.hashing import SimHash
from mongoose_nb.nn import LSH, Checkpoint, Network, Tables
from mongoose_nb.search import LSHIndex
from mongoose_nb.tables import LSHTables

DIM = 6
QUICK = settings(max_examples=15, stateful_step_count=25, deadline=None)


def vectors(seed, n):
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


seeds = st.integers(0, 10**6)


class IndexMachine(RuleBasedStateMachine):
    """An index beside {id: row}; with a small `train_size`, so that tables are made, grown and made anew on the way."""

    @initialize(policy=st.sampled_from(["fifo", "reservoir"]), capacity=st.sampled_from([None, 4]))
    def begin(self, policy, capacity):
        self.index = LSHIndex("l2", DIM, K=3, L=3, train_size=16, policy=policy, capacity=capacity)
        self.capacity, self.model, self.next = capacity, {}, 0

    @rule(seed=seeds, n=st.integers(1, 12))
    def add(self, seed, n):
        X = vectors(seed, n)
        ids = self.index.add(X)
        assert ids.tolist() == list(range(self.next, self.next + n))
        self.next += n
        self.model.update(zip(ids.tolist(), X))

    @precondition(lambda self: self.model)
    @rule(seed=seeds, share=st.floats(0.1, 1))
    def remove(self, seed, share):
        ids = self._some(seed, share)
        self.index.remove(ids)
        for i in ids:
            del self.model[i]

    @precondition(lambda self: self.model)
    @rule(seed=seeds, share=st.floats(0.1, 1))
    def update(self, seed, share):
        ids = self._some(seed, share)
        X = vectors(seed + 1, len(ids))
        self.index.update(ids, X)
        self.model.update(zip(ids, X))

    def _some(self, seed, share):
        ids = np.random.default_rng(seed).permutation(list(self.model))
        return ids[:max(1, int(share * len(ids)))].tolist()

    @precondition(lambda self: self.model)
    @rule(seed=seeds)
    def refused(self, seed):
        """What is refused changes nothing."""
        for call in (lambda: self.index.add(vectors(seed, 2), ids=[next(iter(self.model)), 10**9]),
                     lambda: self.index.remove([next(iter(self.model)), -5]), lambda: self.index.update([10**9], vectors(seed, 1)),
                     lambda: self.index.add(np.full((1, DIM), np.nan))):
            try:
                call()
            except (KeyError, ValueError):
                continue
            raise AssertionError("it was not refused")

    @rule()
    def rebuild(self):
        self.index.rebuild()

    @rule(mapped=st.booleans())
    def save_and_load(self, mapped):
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            self.index.save(folder + "/f")
            if mapped:
                other = LSHIndex.load(folder + "/f", mmap=True)
                self._same_answers(other)
                return
            self.index = LSHIndex.load(folder + "/f")

    def _same_answers(self, other):
        Q = vectors(3, 4)
        for a, b in zip(self.index.query(Q, 3), other.query(Q, 3)):
            np.testing.assert_array_equal(a, b)

    @invariant()
    def agrees(self):
        if not hasattr(self, "index"):
            return
        index, model = self.index, self.model
        assert len(index) == len(model) and index.ids.tolist() == sorted(model)
        if not model:
            return
        ids = sorted(model)
        X = np.stack([model[i] for i in ids])
        np.testing.assert_array_equal(index.get(ids), X)
        Q = vectors(7, 3)
        exact = np.sqrt(np.square(Q[:, None].astype(np.float64) - X[None]).sum(-1))
        found, distances = index.query(Q, 2, exact=True)
        k = min(2, len(ids))
        np.testing.assert_allclose(distances[:, :k], np.sort(exact, axis=1)[:, :k], rtol=1e-4, atol=1e-4)
        found, distances = index.query(Q, 2)
        for row, (some, apart) in enumerate(zip(found, distances)):
            for i, d in zip(some.tolist(), apart.tolist()):
                if i >= 0:  # every answer is a row, at its distance
                    np.testing.assert_allclose(d, exact[row, ids.index(i)], rtol=1e-4, atol=1e-4)
        if self.capacity is None:  # a row stands in its own bucket
            one = ids[len(ids) // 2]
            assert index.query(model[one][None], 1)[1][0, 0] < 1e-3


class TablesMachine(RuleBasedStateMachine):
    """Hash tables beside {id: row}: the candidates of a query are the rows that share a bucket with it."""

    @initialize(seed=seeds, n=st.integers(1, 30))
    def begin(self, seed, n):
        self.family = SimHash(DIM, 4, 3, seed=1)
        X = vectors(seed, n)
        self.tables = LSHTables(self.family).build(X)
        self.model = dict(enumerate(X))

    @rule(seed=seeds, n=st.integers(1, 5))
    def insert(self, seed, n):
        X, first = vectors(seed, n), max(self.model, default=-1) + 1 + seed % 3
        self.tables.insert(np.arange(first, first + n), X)
        self.model.update(zip(range(first, first + n), X))

    @precondition(lambda self: self.model)
    @rule(at=seeds)
    def remove(self, at):
        i = sorted(self.model)[at % len(self.model)]
        assert self.tables.remove([i]) == 3
        del self.model[i]

    @precondition(lambda self: self.model)
    @rule(at=seeds, seed=seeds)
    def move(self, at, seed):
        i, X = sorted(self.model)[at % len(self.model)], vectors(seed, 1)
        self.tables.move([i], X)
        self.model[i] = X[0]

    @rule()
    def save_and_load(self):
        self.tables = LSHTables.from_state(copy.deepcopy(self.tables.state()))
        self.family = self.tables.family

    @invariant()
    def agrees(self):
        if not hasattr(self, "tables"):
            return
        assert len(self.tables) == len(self.model)
        Q = vectors(11, 3)
        ids = sorted(self.model)
        indptr, found = self.tables.candidates(Q)
        codes = self.family.hash(np.stack([self.model[i] for i in ids])) if ids else np.zeros((0, 3))
        for row, code in enumerate(self.family.hash(Q)):
            want = [i for i, own in zip(ids, codes) if (own == code).any()]
            assert found[indptr[row]:indptr[row + 1]].tolist() == want


class CheckpointMachine(RuleBasedStateMachine):
    """Trainings that end anywhere and go on from their file, beside one that never ended: the model is {step: weights}."""

    whole = {}

    def __init__(self):
        import tempfile

        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = self.folder.name + "/f"
        if not self.whole:
            net = self._net()
            self.whole[0] = copy.deepcopy(net)
            note = type("Note", (), {"on_batch_end": lambda _, n, logs: self.whole.__setitem__(n.step, copy.deepcopy(n))})()
            self._fit(net, [note])

    def teardown(self):
        self.folder.cleanup()

    def _net(self):
        return Network(FEATURES, OUTPUTS, hidden=(5,), sampler=LSH(20, tables=Tables(K=3, L=3, rehash=3, rebuild=2)), seed=4)

    def _fit(self, net, callbacks, **more):
        X, Y = problem()
        net.fit(X, Y, epochs=3, batch_size=6, callbacks=callbacks, **more)

    @rule(steps=st.integers(1, 8), every=st.integers(1, 4), keep=st.integers(1, 3))
    def live(self, steps, every, keep):
        class Killed(BaseException):
            pass

        def die(_, n, logs):
            if n.step == stop:
                raise Killed

        net = self._net()
        try:
            stop = Network.load(self.path).step + steps
        except FileNotFoundError:
            stop = steps
        checkpoint = Checkpoint(self.path, every=every, keep=keep)
        try:
            self._fit(net, [type("Die", (), {"on_batch_end": die})(), checkpoint], resume=self.path)
        except Killed:
            assert net.step == stop
        assert_same_arrays(self.whole[net.step], net)

    @invariant()
    def the_file_is_a_step(self):
        try:
            net = Network.load(self.path)
        except FileNotFoundError:
            return
        assert_same_arrays(self.whole[net.step], net)


TestIndex = IndexMachine.TestCase
TestIndex.settings = QUICK
TestTables = TablesMachine.TestCase
TestTables.settings = QUICK
TestCheckpoint = CheckpointMachine.TestCase
TestCheckpoint.pytestmark = [pytest.mark.slow]
TestCheckpoint.settings = settings(max_examples=8, stateful_step_count=8, deadline=None)
