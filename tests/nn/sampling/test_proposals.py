"""Proposals: alias tables against their probabilities, draws against an oracle, estimates against exact sums, state."""

import json

import numpy as np
import pytest
from estimates import CONFIDENCE, assert_below, assert_mean, correction, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_problem import FEATURES, OUTPUTS, digest, problem
from scipy import stats

from mongoose_nb import nn
from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import describe, make, registered
from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder, Views
from mongoose_nb.nn.sampling.proposals import GROWTH, Frequency, Mixture, Proposal, make_proposal
from mongoose_nb.nn.training.timing import PhaseTimer

WORD = 2**64 - 1


class Given(Proposal):
    """Probabilities that are given: a proposal of the user's own."""

    def __init__(self, p=(1.0,)):
        self.p = p

    def probabilities(self):
        """As given."""
        return np.array(self.p)


def bound(proposal, n_rows):
    proposal.bind_layer(n_rows)
    return proposal


# ------------------------------------------------------------------ oracle of the draw


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def key2(a, b):
    return mix64(mix64(a) ^ b)


def naive_draw(alias, taken, draws, seed, step, place):
    """The ids of sample `place`, one draw after the other, in Python's integers."""
    n, found = len(alias.cells), []
    if draws >= n - len(taken):
        return None  # all others
    key = key2(key2(key2(seed, step), place), WORD)
    for _ in range(draws):
        key = mix64(key)
        row = ((key >> 32) * n) >> 32
        row = row if (key & 0xFFFFFFFF) < int(alias.cells[row, 0]) else int(alias.cells[row, 1])
        if row not in taken and row not in found:
            found.append(row)
    return found


def views_of(lists, n):
    """Views of one bucket a table, the same for n samples."""
    width = max(map(len, lists))
    pool = np.array([row + [0] * (width - len(row)) for row in lists], np.int32)
    spans = np.array([[[0, len(row)]] for row in lists], np.int32)
    return Views(pool, spans, np.zeros((len(lists), n), np.uint8))


class TestAlias:
    def test_what_is_never_drawn(self):
        alias = bound(Given([0.0, 0.7, 0.0, 0.3]), 4).alias
        sets = ActiveSetBuilder(4, seed=1).per_sample(rows_of([[]] * 2000), 2, step=0, alias=alias)
        drawn = {int(j) for s, c in zip(sets.start, sets.count) for j in sets.ids[s:s + c]}
        assert drawn == {1, 3}


class TestDraw:
    @settings(deadline=None, max_examples=100)
    @given(data=st.data(), n_rows=st.integers(1, 40), candidates=st.integers(1, 45), seed=st.integers(0, 2**63), step=st.integers(0, 2**40),
           head=st.integers(0, 9), n=st.integers(1, 4))
    def test_oracle(self, data, n_rows, candidates, seed, step, head, n):
        """Labels, what tables give, and the draws: ids, their order and their weights."""
        subsets = st.lists(st.integers(0, n_rows - 1), unique=True, max_size=min(4, n_rows))
        labels = [data.draw(subsets) for _ in range(n)]
        buckets = [data.draw(subsets) for _ in range(2)]
        p = np.random.default_rng(n_rows).dirichlet(np.full(n_rows, 0.5))
        alias, builder = bound(Given(p), n_rows).alias, ActiveSetBuilder(n_rows, seed=seed)
        sets = builder.per_sample(rows_of(labels), candidates, step=step, views=views_of(buckets, n), head=head, alias=alias)
        assert builder.clean and len(sets.shifts) == len(sets.ids)
        for i in range(n):
            ids, shifts = (a[sets.start[i]:sets.start[i] + sets.count[i]] for a in (sets.ids, sets.shifts))
            first = int(sets.n_exact[i])
            exact, drawn = ids[:first].tolist(), ids[first:].tolist()
            assert exact[:len(labels[i])] == labels[i] and set(exact) <= {*labels[i], *buckets[0], *buckets[1]}
            assert len(exact) - len(labels[i]) <= head and (shifts[:first] == 0).all()
            draws = min(n_rows, len(labels[i]) + candidates) - first
            wanted = naive_draw(alias, exact, draws, seed, step, i)
            if wanted is None:
                assert sorted(exact + drawn) == list(range(n_rows)) and (shifts == 0).all()
            else:
                assert drawn == wanted
                np.testing.assert_allclose(shifts[first:], -np.log(1 - (1 - p[drawn]) ** draws), rtol=1e-5, atol=1e-6)

    def test_prediction_draws_alike(self):
        """A row's set does not depend on its place in the batch."""
        alias = bound(Given(np.full(50, 0.02)), 50).alias
        sets = ActiveSetBuilder(50).per_sample(rows_of([[]] * 3), 9, step=0, alias=alias, alike=True)
        rows = [sets.ids[s:s + c].tolist() for s, c in zip(sets.start, sets.count)]
        assert rows[0] == rows[1] == rows[2]

    def test_frequencies_of_the_draw(self):
        """How often an output is in a set, against q, for all outputs at once at 99.9 % confidence."""
        n, p, m = 20_000, np.arange(1, 31) / np.arange(1, 31).sum(), 12
        sets = ActiveSetBuilder(30, seed=5).per_sample(rows_of([[3]] * n), m, step=0, alias=bound(Given(p), 30).alias)
        place = np.arange(len(sets.ids)) - np.repeat(sets.start, m + 1)
        drawn = sets.ids[(place > 0) & (place < np.repeat(sets.count, m + 1))]
        counts, q = np.bincount(drawn, minlength=30), 1 - (1 - p) ** m
        assert counts[3] == 0
        counts, q = np.delete(counts, 3), np.delete(q, 3)
        outside = (1 - CONFIDENCE) / 2 / len(q)
        assert (stats.binom.ppf(outside, n, q) <= counts).all() and (counts <= stats.binom.ppf(1 - outside, n, q)).all()


class TestProbabilities:
    def test_by_frequency(self):
        labels = rows_of([[2, 0], [2], []])
        for power in (1.0, 0.5):
            proposal = bound(Frequency(power), 4)
            np.testing.assert_allclose(proposal.probabilities(), 0.25)
            proposal.observe(labels)
            want = np.array([2, 1, 3, 1]) ** power
            np.testing.assert_allclose(proposal.probabilities(), want / want.sum())

    def test_mixture(self):
        proposal = bound(Mixture(), 4)
        np.testing.assert_allclose(proposal.probabilities(), 0.25)
        proposal.observe(rows_of([[2, 0], [2], []]))
        np.testing.assert_allclose(proposal.probabilities(), 0.125 + 0.5 * np.array([1, 0, 2, 0]) / 3)

    @pytest.mark.parametrize("cls", [Frequency, Mixture])
    def test_given_counts(self, cls):
        proposal = bound(cls(counts=[3, 0, 1]), 3)
        before = proposal.probabilities()
        proposal.observe(rows_of([[1]] * 50))
        np.testing.assert_array_equal(proposal.probabilities(), before)
        assert proposal.saved_state == () and (before > 0).all() and before.argmax() == 0
        again = make("proposal", json.loads(json.dumps(describe(proposal))))
        np.testing.assert_array_equal(bound(again, 3).probabilities(), before)

    @pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
    def test_weights_of_a_mixture_are_bounded(self, share):
        """By 1 / share times the weight of uniform draws; by frequency alone they are not."""
        m, n = 50, 2000
        proposal = bound(Mixture(uniform_share=share, counts=np.where(np.arange(n) < 5, 1e9, 0)), n)
        q = -np.expm1(m * proposal.alias.log_rest)
        uniform = -np.expm1(m * np.log1p(-1 / n))
        assert (1 / q).max() <= 1.0001 / share / uniform
        alone = bound(Frequency(counts=proposal.counts), n)
        assert (1 / -np.expm1(m * alone.alias.log_rest)).max() > 100 / uniform

    def test_the_table_is_built_again_when_samples_have_grown(self):
        proposal, built, seen = bound(Mixture(), 9), 0, 0
        last = proposal.alias
        for step in range(1, 101):
            proposal.observe(rows_of([[step % 9]]))
            if proposal.alias is not last:
                assert step >= GROWTH * seen
                last, built, seen = proposal.alias, built + 1, step
        assert 5 < built < 15  # log(100) / log(1.5) = 11.4


@pytest.fixture(scope="module")
def outputs():
    """Exponentials of 60 logits, and the same times vectors for their rows: a partition function and its gradient."""
    rng = np.random.default_rng(5)
    e = np.exp(2 * rng.standard_normal(60))
    return np.concatenate([e[:, None], e[:, None] * rng.standard_normal((60, 6))], axis=1)


class TestUnbiasedness:
    """Sums over the set estimate sums over all outputs, at 99.9 % confidence, whatever the tables return."""

    N, LABELS = 60, [2, 11]

    def estimates(self, proposal, values, name="tail", head=0, n=10_000):
        """sum of weight * values over n independent sets of one sample."""
        counts = np.random.default_rng(8).zipf(1.5, self.N)
        proposal = bound(type(proposal)(**{**proposal.config(), "counts": counts}), self.N)
        views = views_of([[1, 5, 9, 11, 40], [2, 9, 33]], n) if head else None
        sets = ActiveSetBuilder(self.N, seed=3).per_sample(rows_of([self.LABELS] * n), 14, step=0, views=views, head=head,
                                                           alias=proposal.alias)
        sets = correction(name, self.N).per_sample(None, sets)
        out = []
        for i in range(n):
            part = slice(sets.start[i], sets.start[i] + sets.count[i])
            weight = np.exp(sets.shifts[part].astype(float)) if len(sets.shifts) else np.ones(sets.count[i])
            out.append(weight @ values[sets.ids[part]])
        return np.array(out)

    @pytest.mark.parametrize("head", [0, 4])
    @pytest.mark.parametrize("proposal", [Frequency(0.75), Mixture()], ids=repr)
    def test_partition_function_and_its_gradient(self, outputs, proposal, head):
        assert_mean(self.estimates(proposal, outputs, head=head), outputs.sum(0))

    def test_too_low_without_correction(self, outputs):
        assert_below(self.estimates(Mixture(), outputs[:, 0], "none"), outputs[:, 0].sum())


class TestChoice:
    def test_names(self):
        assert sorted(registered("proposal", "mongoose_nb.")) == ["frequency", "mixture", "uniform"]
        assert nn.Uniform(9).proposal.uniform and nn.LSH(9).proposal.uniform and nn.LSH(9, proposal="mixture").proposal.power == 1.0

    @pytest.mark.parametrize("make, message", [
        (lambda: nn.Uniform(9, proposal="best"), "proposal 'best' is unknown; give one of"),
        (lambda: nn.Uniform(9, proposal="mixture"), "needs shape='sample'.* got shape='batch'"),
        (lambda: nn.LSH(9, shape="batch", proposal="frequency"), "needs shape='sample'"),
        (lambda: nn.LSH(9, fill=False, proposal="frequency"), "fill=True"),
        (lambda: nn.LSH(9, correction="importance", proposal="mixture"), "a correction that goes with any proposal"),
        (lambda: Frequency(-1.0), "power"), (lambda: Mixture(uniform_share=1.5), "uniform_share"),
        (lambda: Mixture(counts=[-1.0, 2.0]), "counts must be one finite number from 0 on for every output"),
        (lambda: bound(Mixture(counts=[1.0, 2.0]), 3), "counts has 2 numbers; the layer has 3 outputs"),
    ])
    def test_refusals(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    def test_the_correction(self):
        assert make_proposal("mixture", "sample", correction("none", 9)).uniform_share == 0.5
        labels, alias = rows_of([[1]]), bound(Mixture(), 30).alias
        sets = ActiveSetBuilder(30).per_sample(labels, 5, step=0, alias=alias)
        assert len(correction("none", 30).per_sample(None, sets).shifts) == 0
        assert correction("tail", 30).per_sample(None, sets).shifts is sets.shifts

    def test_one_of_the_users_own(self):
        p = np.random.default_rng(0).dirichlet(np.ones(20))
        sampler = nn.Uniform(5, shape="sample", proposal=Given(p.tolist())).bind(Parameter(np.zeros((20, 2), np.float32)),
                                                                                 Parameter(np.zeros(20, np.float32)), 1)
        sets = sampler.per_sample(np.zeros((2, 2), np.float32), rows_of([[4], []]), 3, PhaseTimer())
        alias = bound(Given(p.tolist()), 20).alias
        assert sets.ids[:sets.count[0]].tolist() == [4, *naive_draw(alias, [4], 5, 1, 3, 0)]


class TestTraining:
    SAMPLERS = {"uniform": lambda: nn.Uniform(10, shape="sample", proposal="mixture"),
                "frequency": lambda: nn.Uniform(10, shape="sample", proposal=Frequency(0.75)),
                "lsh": lambda: nn.LSH(12, head=0.25, proposal="mixture", tables=nn.Tables(K=3, L=4, rehash=5)),
                "auto": lambda: nn.LSH(12, head="auto", proposal="mixture", tables=nn.Tables(K=3, L=4, rehash=5))}

    def network(self, name):
        return nn.Network(FEATURES, OUTPUTS, hidden=(8,), sampler=self.SAMPLERS[name](), seed=3)

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_saved_and_resumed_with_the_same_bits(self, name, tmp_path):
        X, Y = problem(n=90)
        first = self.network(name)
        first.fit(X, Y, epochs=1, batch_size=16)
        first.save(tmp_path / "half")
        again = nn.Network.load(tmp_path / "half")
        assert describe(again.output.sampler) == describe(first.output.sampler)
        again.fit(X, Y, epochs=2, batch_size=16)
        first.fit(X, Y, epochs=2, batch_size=16)
        assert digest(again) == digest(first)

    def test_state(self):
        proposal, other = bound(Mixture(), 5), bound(Mixture(), 5)
        for _ in range(7):  # tables are built at 2, 4, 6 and 10 samples; the last four are counted only
            proposal.observe(rows_of([[1, 3], [3]]))
        restore(other, state_of(proposal))
        np.testing.assert_array_equal(other.alias.cells, proposal.alias.cells)
        assert state_of(other)["samples"] == 10 and state_of(other)["frequency"]["samples"] == 14
        state = state_of(proposal)
        state["counted"] = state["counted"] - 9
        with pytest.raises(ValueError, match="must not be below zero"):
            restore(other, state)
