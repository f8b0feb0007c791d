"""Tables that follow a schedule: what is re-inserted, how it is centred, what the candidates gain, what is reported."""

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, digest, lsh, problem
from scipy import stats

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.hashing.inner_product import CenteredInnerProduct
from mongoose_nb.hashing.learned import LearnedHash
from mongoose_nb.nn import LSH, Network, Tables, Wide
from mongoose_nb.nn.training.timing import PhaseTimer
from mongoose_nb.rehash import ALL, Drift, Schedule

N, D = 400, 8


def labels(n=20):
    return Rows(np.arange(n), np.ones(n, np.int64), np.arange(n, dtype=np.int32), None)


class Layer:
    """A bound sampler with its weights, after one batch."""

    def __init__(self, rehash, **options):
        rng = np.random.default_rng(0)
        self.W, self.b, self.h = (rng.standard_normal(shape).astype(np.float32) for shape in ((N, D), N, (20, D)))
        self.weights, self.bias = Parameter(self.W), Parameter(self.b)
        settings = {"candidates": 60, "K": 4, "L": 10, "capacity": None, "rehash": rehash, **options}
        self.sampler = lsh(**settings).bind(self.weights, self.bias, 1)
        self.step = 0
        self.timer = PhaseTimer()
        self.sets = self.batch()

    def batch(self):
        return self.sampler.per_sample(self.h, labels(), self.step, self.timer)

    def update(self, *touched):
        """The end of a step; `touched` are the rows that it changed, all if none are given."""
        ids = None if not touched else np.array(touched, np.int32)
        self.sampler.after_update(self.step, self.timer, lambda: ids)
        self.step += 1

    @property
    def kept(self):
        return self.sampler.manager

    def codes_now(self, rows, query=None):
        """Bucket numbers of some rows as they are, centred for the queries of the last build."""
        if not self.sampler.tables.center:
            return self.sampler.hash_tables.codes(self.W[rows])
        query_mean, extra = query or self.kept.query
        hashed = CenteredInnerProduct(self.W, self.b, query_mean, 0.0, extra=extra)
        return self.sampler.hash_tables.codes(hashed[np.asarray(rows)])


class Answers(Schedule):
    """Gives what it was given, one a step."""

    needs_touched = True

    def __init__(self, answers):
        self.answers, self._log = list(answers), []

    def after_step(self, step, touched, stored):
        self._log.append(("step", None if touched is None else touched.tolist()))
        return self.answers[step]

    def rebuilt(self, stored, ids=None):
        self._log.append(("rebuilt", None if ids is None else ids.tolist()))


class TestAnswers:
    @pytest.mark.parametrize("center", [True, False])
    def test_the_listed_rows_move_and_the_others_stay(self, center):
        ids = np.array([3, 50, 399], np.int32)
        layer = Layer(Answers([ids, None]), center=center)
        before, query, mean = layer.sampler.hash_tables._codes.copy(), layer.kept.query, layer.kept.mean
        layer.W[:] = np.random.default_rng(1).standard_normal((N, D))
        layer.b[:] = 1
        layer.update()
        after = layer.sampler.hash_tables._codes
        np.testing.assert_array_equal(after[:, ids], layer.codes_now(ids))
        others = np.delete(np.arange(N), ids)
        np.testing.assert_array_equal(after[:, others], before[:, others])
        assert not np.array_equal(after[:, ids], before[:, ids])
        # queries are centred as before, though the mean activation has moved
        layer.h += 5
        layer.batch()
        assert not np.array_equal(layer.kept.mean, mean)
        np.testing.assert_array_equal(layer.kept.query[0], query[0])
        assert layer.kept.query[1] == query[1] and layer.kept.rehashes == 1
        # the buckets hold what the codes say
        found = layer.sampler.hash_tables._store
        assert all(399 in found.bucket(t, int(after[t, 399])) for t in range(10))

    def test_rows_moved_after_a_common_shift_line_up_with_those_that_stayed(self):
        layer = Layer(Answers([np.arange(100, dtype=np.int32)]))
        before = layer.sampler.hash_tables._codes.copy()
        layer.W += np.float32(0.5)
        layer.update()
        assert (layer.sampler.hash_tables._codes != before).mean() < 1e-3

    def test_all(self):
        layer = Layer(Answers([ALL]))
        layer.W[:] = np.random.default_rng(1).standard_normal((N, D))
        layer.h += 5
        layer.batch()
        layer.update()
        np.testing.assert_array_equal(layer.sampler.hash_tables._codes, layer.codes_now(np.arange(N)))
        np.testing.assert_array_equal(layer.kept.query[0], layer.kept.mean)
        assert layer.kept.rehashes == 2

    def test_the_schedule_is_told_of_steps_and_of_rebuilds(self):
        layer = Layer(Answers([None, np.array([4], np.int32), ALL, None]))
        for touched in ((1, 2), (4,), (), (7,)):
            layer.update(*touched)
        layer.sampler.rehash_now()
        assert layer.sampler.schedule._log == [("rebuilt", None), ("step", [1, 2]), ("step", [4]), ("rebuilt", [4]), ("step", None),
                                               ("rebuilt", None), ("step", [7]), ("rebuilt", None)]

    def test_new_functions_mean_a_full_build_whatever_the_answer(self):
        layer = Layer(Answers([np.array([4], np.int32)]))
        layer.sampler.hash_tables.family.rebuild()
        layer.update()
        assert layer.sampler.hash_tables.built and layer.kept.rehashes == 2
        assert layer.sampler.schedule._log[-1] == ("rebuilt", None)

    def test_time_is_counted_apart(self):
        layer = Layer(Answers([None, np.array([4], np.int32)]))
        built = layer.timer.seconds["rehash"]
        layer.update()
        assert layer.timer.seconds["rehash"] == built and layer.timer.seconds["check"] > 0
        layer.update()
        assert layer.timer.seconds["rehash"] > built


class TestDrift:
    @pytest.mark.parametrize("center", [True, False])
    @pytest.mark.parametrize("rehash", ["drift", "auto", Drift(0.02, check_every=1), Drift(0.02, check_every=1, per_row=True)], ids=repr)
    def test_a_rescaling_never_fires(self, rehash, center):
        layer = Layer(rehash, center=center)
        layer.W *= 3
        for _ in range(40):
            layer.update()
        assert layer.kept.rehashes == 1 and layer.sampler.counts()["firings"] == 0
        assert layer.sampler.counts()["changed_share"] < 1e-3

    @pytest.mark.parametrize("options", [{}, {"weight": "touch"}, {"rows": 100}, {"per_row": True}], ids=repr)
    def test_half_of_the_rows_replaced_fires_within_one_check(self, options):
        layer = Layer(Drift(check_every=5, **options))
        layer.W[::2] = np.random.default_rng(1).standard_normal((N // 2, D))
        for _ in range(5):
            layer.update()
        assert layer.kept.rehashes == 2
        np.testing.assert_array_equal(layer.sampler.hash_tables._codes, layer.codes_now(np.arange(N)))
        layer.update()
        assert layer.sampler.report() == {"firings": 1, "reinserted": N, "changed_share": layer.sampler.counts()["changed_share"]}
        assert layer.sampler.report()["firings"] == 0

    def test_rows_that_moved_are_candidates_of_every_sample_until_they_are_re_inserted(self):
        layer = Layer(Drift(0.3, check_every=1, per_row=True, list_size=12), candidates=200)
        rng = np.random.default_rng(3)
        for moved in (np.array([40, 41, 300]), np.array([40, 41, 77, 300, 301])):
            layer.W[moved] = rng.standard_normal((len(moved), D))
            layer.update(*moved)
            listed = layer.sampler.schedule.always
            assert set(listed.tolist()) <= set(moved.tolist()) and len(listed)
            sets = layer.batch()
            for i in range(20):
                retrieved = sets.ids[sets.start[i] + sets.n_label[i]:sets.start[i] + sets.n_exact[i]]
                assert set(listed.tolist()) <= set(retrieved.tolist()) and len(set(retrieved.tolist())) == len(retrieved)
        many = np.arange(100, 120)
        layer.W[many] *= -1
        layer.update(*many)
        assert layer.sampler.schedule.always.tolist() == [] and layer.kept.rehashes == 1
        moved = np.concatenate([moved, many])
        np.testing.assert_array_equal(layer.sampler.hash_tables._codes[:, many], layer.codes_now(many))
        report = layer.sampler.report()
        assert report["firings"] == 1 and 20 <= report["reinserted"] <= 40

    def test_the_share_is_that_of_the_hashed_rows(self):
        """The sketch's bits and the tables' are signs of the same rows: their changed shares agree, at 99.9 % confidence."""
        layer = Layer(Drift(1.0, check_every=1), K=1, L=200)
        before = layer.sampler.hash_tables._codes.copy()
        layer.W += np.float32(0.3) * np.random.default_rng(1).standard_normal((N, D)).astype(np.float32) + np.float32(0.4)
        layer.update()
        tables = (layer.codes_now(np.arange(N)) != before).mean()
        share = layer.sampler.counts()["changed_share"]
        # the functions are few beside the rows: each bit's mean over the rows varies from function to function
        between = (layer.codes_now(np.arange(N)) != before).mean(axis=1).std(ddof=1)
        assert abs(share - tables) < stats.norm.ppf(0.9995) * between * np.sqrt(1 / 64 + 1 / 200)

    def test_learned_functions_take_a_new_snapshot(self):
        layer = Layer(Drift(0.2, check_every=1))
        layer.W[:] = np.random.default_rng(1).standard_normal((N, D))
        layer.sampler.hash_tables.family.rebuild()
        layer.batch()
        layer.update()
        assert layer.sampler.counts()["changed_share"] == 0 and layer.sampler.counts()["firings"] == 0

    def test_weights_that_are_not_finite(self):
        layer = Layer(Drift(0.2, check_every=1))
        layer.W[7, 1] = np.inf
        with pytest.raises(FloatingPointError, match="weights are no longer finite"):
            layer.update()


class TestLearning:
    @pytest.mark.parametrize("loss", ["contrast", "triplet", "logistic"])
    @pytest.mark.parametrize("center", [True, False])
    def test_a_full_rehash_learns_first_and_tables_follow(self, loss, center):
        layer = Layer(Answers([ALL]), learn=LearnedHash(loss, steps=3), center=center)
        drawn = layer.sampler.hash_tables.family.functions
        assert layer.sampler.report()["trainings"] == 0
        layer.update()
        family = layer.sampler.hash_tables.family
        assert family.version == 1 and layer.sampler.hash_tables.built and not np.array_equal(family.functions, drawn)
        np.testing.assert_array_equal(layer.sampler.hash_tables._codes, layer.codes_now(np.arange(N)))
        assert layer.sampler.schedule._log[-1] == ("rebuilt", None)
        assert layer.timer.seconds["mine"] > 0 and layer.timer.seconds["learn"] > 0
        report = layer.sampler.report()
        assert report["trainings"] == 1 and -1 < report["quantisation_gap"] < 1
        layer.batch()

    def test_moved_rows_do_not_learn(self):
        layer = Layer(Answers([np.array([4], np.int32), None]), learn="contrast")
        layer.update()
        layer.update()
        layer.sampler.rehash_now()
        assert layer.sampler.hash_tables.family.version == 0 and layer.timer.seconds["mine"] == 0

    def test_the_drift_snapshot_is_taken_anew(self):
        layer = Layer(Drift(0.2, check_every=1), learn=LearnedHash(steps=2))
        layer.W[:] = np.random.default_rng(1).standard_normal((N, D))
        layer.update()
        assert layer.sampler.counts()["firings"] == 1 and layer.sampler.hash_tables.family.version == 1
        layer.update()
        assert layer.sampler.counts()["firings"] == 1 and layer.sampler.counts()["changed_share"] == 0

    @pytest.mark.parametrize("shape, learn, longest", [("sample", "contrast", 400), ("sample", None, None), ("batch", "contrast", None)])
    def test_drift_by_name_lets_functions_follow_the_queries(self, shape, learn, longest):
        layer = [Parameter(np.zeros(size, np.float32)) for size in ((N, D), N)]
        by_name, own = (LSH(60, shape=shape, tables=Tables(learn=learn, rehash=rehash)).bind(*layer, 1)
                        for rehash in ("drift", Drift(longest=7)))
        assert by_name.schedule.longest == longest and own.schedule.longest == 7

    def test_outputs_that_score_best_are_found_more_often(self):
        rng = np.random.default_rng(5)
        layer = Layer(Answers([ALL] * 3), learn=LearnedHash(steps=40), L=12, K=4, candidates=40, head=1.0)
        fresh = rng.standard_normal((60, D)).astype(np.float32)
        best = np.argsort(-(fresh @ layer.W.T + layer.b), axis=1)[:, :10]

        def found():
            sets = layer.sampler.retrieve(fresh, 40, layer.timer)
            return np.mean([np.isin(best[i], sets.ids[sets.start[i]:sets.start[i] + sets.count[i]]).mean() for i in range(60)])

        before = found()
        for _ in range(3):
            layer.h = rng.standard_normal((200, D)).astype(np.float32)
            layer.sampler.per_sample(layer.h, labels(200), 0, layer.timer)
            layer.update()
        assert found() > before + 0.1

    def test_a_run_that_is_saved_and_resumed_learns_the_same(self, tmp_path):
        X, Y = problem(n=60)

        def make():
            sampler = LSH(60, tables=Tables(K=3, L=6, rehash=2, learn=LearnedHash(steps=3, queries=40)))
            return Network(FEATURES, OUTPUTS, hidden=(9,), sampler=sampler, lr=0.02)

        straight, halfway = make(), make()
        straight.fit(X, Y, epochs=2, batch_size=10)
        halfway.fit(X, Y, epochs=1, batch_size=10)
        halfway.save(tmp_path / "net")
        resumed = Network.load(tmp_path / "net")
        resumed.fit(X, Y, epochs=1, batch_size=10)
        assert digest(resumed) == digest(straight)
        one, other = (net.output.sampler.hash_tables.family.functions for net in (resumed, straight))
        np.testing.assert_array_equal(one, other)
        assert resumed.output.sampler.report() == straight.output.sampler.report()


class TestInANetwork:
    @pytest.mark.parametrize("shape", ["sample", "batch"])
    @pytest.mark.parametrize("options", [{}, {"weight": "touch"}, {"per_row": True}], ids=repr)
    def test_the_history_tells(self, shape, options):
        X, Y = problem(n=200)
        sampler = LSH(60, shape=shape, tables=Tables(K=3, L=6, rehash=Drift(0.05, check_every=2, **options)))
        net = Network(FEATURES, OUTPUTS, hidden=(9,), sampler=sampler, lr=0.02)
        history = net.fit(X, Y, epochs=4, batch_size=20)
        for entry in history:
            assert 0 <= entry["firings"] <= 5 and 0 <= entry["changed_share"] < 0.5
            assert entry["reinserted"] <= OUTPUTS * entry["firings"]
            assert entry["time_split"]["check"] > 0
        assert sum(history.column("firings")) >= 1 and max(history.column("changed_share")) > 0
        if not options:
            assert sum(history.column("firings")) == net.output.sampler.manager.rehashes - 1

    def test_other_schedules_say_nothing(self):
        X, Y = problem()
        net = Network(FEATURES, OUTPUTS, hidden=(9,), sampler=LSH(60, tables=Tables(K=3, L=6, rehash=2)))
        entry = net.fit(X, Y, epochs=1, batch_size=5)[0]
        assert not {"firings", "changed_share", "reinserted"} & set(entry)

    def test_the_touched_rows_are_those_that_changed(self):
        class Compare(Schedule):
            needs_touched = True
            seen = []

            def __init__(self):
                self._before = None

            def after_step(self, step, touched, stored):
                changed = np.flatnonzero((stored.weights != self._before).any(axis=1))
                touched = np.arange(len(stored.weights)) if touched is None else np.sort(touched)
                assert len(np.unique(touched)) == len(touched) and set(changed.tolist()) <= set(touched.tolist())
                self.seen.append((len(changed), len(touched), len(stored.weights)))
                self._before = stored.weights.copy()

            def rebuilt(self, stored, ids=None):
                self._before = stored.weights.copy()

        X, Y = problem()
        for shape in ("sample", "batch"):
            sampler = LSH(20, shape=shape, tables=Tables(K=3, L=6, rehash=Compare()))
            wide = Wide(50, LSH(9, tables=Tables(K=2, L=4, rehash=Compare())))
            Network(FEATURES, OUTPUTS, hidden=(7, wide, 5), sampler=sampler).fit(X, Y, epochs=2, batch_size=5)
        assert len(Compare.seen) == 40
        assert all(0 < changed <= touched for changed, touched, _ in Compare.seen)
        assert any(touched < n for _, touched, n in Compare.seen)
