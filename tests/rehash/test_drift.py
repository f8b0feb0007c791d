"""The drift schedule: what fires, what must not, and what it is compared with."""

import math

import numpy as np
import pytest
from scipy import stats

from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.hashing import SimHash
from mongoose_nb.hashing.inner_product import CenteredInnerProduct
from mongoose_nb.rehash import ALL, Drift, Stored
from mongoose_nb.rehash.drift import MOVE_COST

N, D = 300, 12
QUERY = (np.linspace(-0.5, 1.5, D).astype(np.float32), np.float32(1.3))


def rows(seed=0, n=N):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def bound(schedule, weights, query=QUERY, seed=5, **options):
    """`schedule` bound to rows that were just hashed."""
    schedule.bind(len(weights), D, family=SimHash(D + 1, 6, 50), seed=seed, **options)
    schedule.rebuilt(Stored(weights, *query))
    return schedule


def ask(schedule, weights, query=QUERY, step=0, touched=None):
    return schedule.after_step(step, touched, Stored(weights, *query))


KINDS = {"global": {}, "sample": {"rows": 150}, "touch": {"weight": "touch"}, "rows": {"per_row": True}, "no centring": {}}


@pytest.mark.parametrize("kind", KINDS)
class TestWhatFires:
    def ask_after(self, kind, change, thresh, steps=1):
        query = () if kind == "no centring" else QUERY
        weights = rows()
        schedule = bound(Drift(thresh, check_every=steps, **KINDS[kind]), weights, query)
        new = change(weights.copy())
        answers = [ask(schedule, new, query, step) for step in range(steps)]
        assert answers[:-1] == [None] * (steps - 1)
        return schedule, answers[-1]

    @pytest.mark.parametrize("factor", [3.0, 1e-4, 1e4])
    def test_never_a_rescaling(self, kind, factor):
        schedule, answer = self.ask_after(kind, lambda w: w * np.float32(factor), 1e-3)
        assert answer is None and schedule.changed_share < 1e-4 and not len(schedule.always)

    @pytest.mark.parametrize("thresh", [0.2, "auto"])
    def test_half_of_the_rows_replaced_within_one_check(self, kind, thresh):
        def half(w):
            w[::2] = rows(1)[::2]
            return w

        assert self.ask_after(kind, half, thresh, steps=7)[1] is ALL

    def test_a_vector_added_to_all_rows(self, kind):
        """No order of inner products changes: the mean takes it out. Without centring the rows turn."""
        schedule, answer = self.ask_after(kind, lambda w: w + np.float32(3), 0.02)
        assert (answer is ALL) == (kind == "no centring")


class TestReference:
    def test_the_angle_is_that_of_the_rows_as_they_are_hashed(self):
        """Less the bias. The bits of all rows and projections together: 99.9 % confidence."""
        before, bias = rows(), np.zeros(N, np.float32)
        after = before + np.float32(0.4) * rows(1) + np.float32(0.7)
        schedule = bound(Drift(1.0, check_every=1), before)
        ask(schedule, after)

        def hashed(W):
            return CenteredInnerProduct(W, bias, QUERY[0], 0.0, extra=QUERY[1])[np.arange(N)].astype(np.float64)

        a, b = hashed(before), hashed(after)
        share = np.arccos((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)) / math.pi
        wrong = stats.norm.ppf(0.9995) * math.sqrt((share * (1 - share)).sum() / 64) / N
        assert abs(schedule.changed_share - share.mean()) < wrong
        raw = np.arccos((before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)) / math.pi
        assert abs(raw.mean() - share.mean()) > 5 * wrong  # another vector would not do

    def test_drift_adds_up_from_the_snapshot_on(self):
        """Each look sees little; what counts is the whole way since the tables were built."""
        weights = rows()
        schedule = bound(Drift(0.1, check_every=1), weights)
        shares = []
        for step in range(100):
            weights = weights + np.float32(0.05) * rows(step + 1)
            answer = ask(schedule, weights, step=step)
            shares.append(schedule.changed_share)
            if answer is not None:
                break
        assert answer is ALL and len(shares) > 10
        assert shares[0] < 0.03 and shares[-1] > 0.1 >= max(shares[:-1])
        assert schedule.report()["changed_share"] == pytest.approx(np.mean(shares))

    def test_the_snapshot_stays_until_the_tables_are_rebuilt(self):
        weights, new = rows(), rows(1)
        schedule = bound(Drift(0.2, check_every=1), weights)
        assert [ask(schedule, new, step=step) for step in range(3)] == [ALL] * 3
        schedule.rebuilt(Stored(new, *QUERY))
        assert ask(schedule, new) is None and schedule.changed_share == 0
        assert ask(schedule, weights) is ALL

    def test_the_threshold_itself_does_not_fire(self):
        weights = rows()
        schedule = bound(Drift(0.0, check_every=1), weights)
        assert ask(schedule, weights) is None

    def test_the_functions_are_not_those_of_the_tables(self):
        tables = SimHash(D + 1, 32, 2, seed=5)
        schedule = bound(Drift(0.1), rows())
        correlation = np.corrcoef(tables.functions.T, schedule._drawn.T)[:64, 64:]
        assert np.abs(correlation).max() < 0.97 and not np.array_equal(tables.functions, schedule._drawn)
        assert bound(Drift(0.1), rows(), seed=6)._drawn.tolist() != schedule._drawn.tolist()


class TestLongest:
    def test_it_fires_though_nothing_turns(self):
        weights = rows()
        schedule = bound(Drift(0.2, check_every=3, longest=7), weights)
        fired = []
        for step in range(22):
            if ask(schedule, weights, step=step) is ALL:
                fired.append(step)
                schedule.rebuilt(Stored(weights, *QUERY))
        assert fired == [6, 13, 20]

    def test_it_counts_from_the_last_insertion_of_all_rows(self):
        weights = rows()
        schedule = bound(Drift(0.2, check_every=2, longest=5), weights)
        for step in range(3):
            assert ask(schedule, weights, step=step) is None
        schedule.rebuilt(Stored(weights, *QUERY), np.array([1, 2], np.int32))
        assert ask(schedule, weights, step=3) is None and ask(schedule, weights, step=4) is ALL
        schedule.rebuilt(Stored(weights, *QUERY))
        assert ask(schedule, weights, step=5) is None
        state = state_of(schedule)
        again = bound(Drift(0.2, check_every=2, longest=5), weights)
        restore(again, state)
        assert [ask(again, weights, step=step) for step in range(6, 10)] == [None] * 3 + [ALL]

    def test_a_file_that_does_not_know_it(self):
        schedule = bound(Drift(0.2), rows())
        state = state_of(schedule)
        del state["since"]
        restore(schedule, state)
        assert state_of(schedule)["since"] == 0


class TestSample:
    def test_it_estimates_the_mean_with_its_standard_error(self):
        """Over 60 samples; two standard errors hold in 95 %. The least number of successes has a false alarm in 2,000 runs."""
        before = rows(n=1500)
        # projections depend on the seed: the mean over all rows is taken under the same ones
        step = np.random.default_rng(2).exponential(0.6, (1500, 1)).astype(np.float32) * rows(1, 1500)
        inside = 0
        for seed in range(60):
            share = []
            for k in (100, 1500):
                schedule = bound(Drift(1.0, check_every=1, rows=k), before, (), seed)
                ask(schedule, before + step, ())
                share.append((schedule.changed_share, schedule.error))
            assert share[1][1] == 0 < share[0][1]
            inside += abs(share[0][0] - share[1][0]) < 2 * share[0][1]
        assert inside >= stats.binom.ppf(1 / 2000, 60, 0.95)

    def test_the_weighted_mean_goes_where_the_steps_go(self):
        weights = rows()
        changed = weights.copy()
        changed[:30] = rows(1)[:30]
        plain, weighted = (bound(Drift(0.15, check_every=10, weight=w), weights) for w in ("rows", "touch"))
        for step in range(10):
            touched = np.arange(30 if step < 9 else N, dtype=np.int32)
            answers = [ask(schedule, changed, step=step, touched=touched) for schedule in (plain, weighted)]
        assert answers == [None, ALL]
        assert plain.changed_share == pytest.approx(0.05, abs=0.02)
        share = (30 * 10 * 0.5) / (30 * 10 + 270)
        assert weighted.changed_share == pytest.approx(share, abs=0.05)


def naive_extension(changed, least, bound, n):
    """Algorithm 1 on a list: which rows to re-insert, None for none."""
    order = sorted(range(n), key=lambda row: (-changed[row], row))
    r = sum(c >= least for c in changed)
    if r <= bound:
        return None
    while 1.5 * r < n:
        longer = math.ceil(1.5 * r)
        if changed[order[longer - 1]] < (1 - 1 / math.log(n)) * changed[order[r - 1]]:
            break
        r = longer
    return sorted(order[:r])


class TestRowByRow:
    def test_rows_that_moved_are_listed_and_then_re_inserted(self):
        weights = rows(n=1000)
        schedule = bound(Drift(0.25, check_every=1, per_row=True, list_size=20), weights, room=100)
        moved = weights.copy()
        moved[100:110] *= -1
        assert ask(schedule, moved) is None and schedule.always.tolist() == list(range(100, 110))
        moved[500:520] *= -1
        ids = ask(schedule, moved, step=1)
        assert ids.dtype == np.int32 and ids.tolist() == [*range(100, 110), *range(500, 520)]
        schedule.rebuilt(Stored(moved, *QUERY), ids)
        assert schedule.always.tolist() == []
        assert ask(schedule, moved, step=2) is None and schedule.always.tolist() == []
        # only their snapshot was replaced
        moved[500] *= -1
        moved[700] = -weights[700]
        assert ask(schedule, moved, step=3) is None and schedule.always.tolist() == [500, 700]
        moved[500] *= -1
        assert ask(schedule, moved, step=4) is None and schedule.always.tolist() == [700]

    def test_a_full_build_clears_the_list(self):
        weights = rows()
        schedule = bound(Drift(0.25, check_every=1, per_row=True, list_size=20), weights)
        moved = weights.copy()
        moved[:5] *= -1
        ask(schedule, moved)
        schedule.rebuilt(Stored(moved, *QUERY))
        assert schedule.always.tolist() == [] and ask(schedule, moved) is None and schedule.always.tolist() == []

    @pytest.mark.parametrize("seed", range(6))
    def test_the_extension_is_that_of_the_paper(self, seed):
        n = 2000
        rng = np.random.default_rng(seed)
        weights = rows(n=n)
        schedule = bound(Drift(0.3, check_every=1, per_row=True, list_size=10, rows=n), weights, ())
        step = (rng.random((n, 1)) < 0.08) * rng.exponential(0.8, (n, 1))
        moved = weights + (step * rng.standard_normal((n, D))).astype(np.float32)
        answer = ask(schedule, moved, ())
        want = naive_extension(schedule._sketch.changed().tolist(), 0.3 * 64, 10, n)
        assert len(want) > 10
        if len(want) * MOVE_COST > n:
            assert answer is ALL
        else:
            assert answer.tolist() == want

    def test_looks_are_bounded_and_go_where_the_steps_go(self):
        weights = rows()
        schedule = bound(Drift(0.25, check_every=4, per_row=True, rows=40, list_size=50), weights, ())
        moved = -weights
        for step in range(4):
            touched = np.arange(40 if step else N, dtype=np.int32)
            assert ask(schedule, moved, (), step, touched) is None
        assert schedule.always.tolist() == list(range(40))

    def test_rows_that_no_step_touched_are_not_looked_at(self):
        weights = rows()
        schedule = bound(Drift(0.25, check_every=1, per_row=True, list_size=50), weights, ())
        assert ask(schedule, -weights, (), touched=np.array([7, 3], np.int32)) is None
        assert schedule.always.tolist() == [3, 7]

    def test_the_list_takes_a_part_of_the_room(self):
        for room, size in ((None, 17), (1000, 17), (20, 5), (3, 0)):
            schedule = bound(Drift(0.25, per_row=True), rows(), room=room)
            assert schedule._bound == size


def test_a_state_for_another_layer_is_refused():
    schedule, other = (bound(Drift(0.1, rows=50), rows(n=n)) for n in (300, 310))
    state = state_of(schedule)
    with pytest.raises(ValueError, match="the saved drift sketch is .*; the layer needs"):
        restore(other, state)
    for change, message in (({"sample": state["sample"] + np.int32(290)}, "sample must be ids"),
                            ({"sample": state["sample"][:-1]}, "sample"), ({"functions": state["functions"][1:]}, "functions"),
                            ({"always": np.array([300], np.int32)}, "always must be ids"),
                            ({"sketch": {**state["sketch"], "marks": state["sketch"]["marks"][1:]}}, "drift sketch")):
        with pytest.raises(ValueError, match=message):
            restore(schedule, {**state, **change})


def test_weights_that_are_not_finite():
    weights = rows()
    schedule = bound(Drift(0.1, check_every=1), weights)
    weights[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        ask(schedule, weights)
