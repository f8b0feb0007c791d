"""Active sets: what they hold, how candidates are chosen, and that the corrected tail is unbiased."""

import itertools
from collections import Counter

import numpy as np
import pytest
from estimates import CONFIDENCE, assert_mean, correction, rows_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from mongoose_nb.core.arrays import Rows
from mongoose_nb.kernels.tables import votes as kernel
from mongoose_nb.nn.sampling import candidate_sets as active_module
from mongoose_nb.nn.sampling import strategies
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder, ActiveSets, SharedSet, Views
from mongoose_nb.nn.sampling.strategies import Threshold

STRATEGIES = ("topk", "vanilla", "threshold")


@pytest.fixture(autouse=True, scope="module", params=["listed", "counted"])
def votes(request):
    """Either way of finding who has votes, whatever the tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(active_module, "suits_most_voted", lambda views: request.param == "counted" and len(views.spans) < 254)
        yield


def views_of(tables, codes, always=()):
    """Views of hash tables given as a list (per table) of lists (per bucket) of ids, with codes (L, n), and ids in every bucket."""
    sizes = [sum(map(len, table)) for table in tables]
    pool = np.zeros((len(tables), max(1, *sizes)), np.int32)
    spans = np.zeros((len(tables), len(tables[0]), 2), np.int32)
    for t, table in enumerate(tables):
        at = 0
        for b, bucket in enumerate(table):
            spans[t, b] = at, len(bucket)
            pool[t, at:at + len(bucket)] = bucket
            at += len(bucket)
    return Views(pool, spans, np.asarray(codes, np.uint8), np.array(always, np.int32))


def split(sets, i):
    """(labels, retrieved, filler) of sample i, as lists."""
    ids = sets.ids[sets.start[i]:sets.start[i] + sets.count[i]].tolist()
    a, b = int(sets.n_label[i]), int(sets.n_exact[i])
    return ids[:a], ids[a:b], ids[b:]


def chi_square_passes(counts, drawn=1):
    """Whether counts are those of ids drawn uniformly, `drawn` at a time without replacement, at 99.9 % confidence."""
    counts = np.asarray(counts, float)
    n, mean = len(counts), counts.mean()
    # without replacement the counts vary less, by (n - drawn) / (n - 1)
    statistic = ((counts - mean) ** 2).sum() / mean * (n - 1) / (n - drawn)
    return statistic < stats.chi2.ppf(CONFIDENCE, n - 1)


def assert_top_votes(taken, votes, room, min_votes):
    """`taken` are `room` ids with the most votes, at least `min_votes`; among equals any choice is right."""
    eligible = {row: v for row, v in votes.items() if v >= min_votes}
    assert len(set(taken)) == len(taken), "duplicates"
    assert set(taken) <= set(eligible), "an id without enough votes"
    assert len(taken) == min(room, len(eligible)), "too few or too many"
    left = [v for row, v in eligible.items() if row not in set(taken)]
    if taken and left:
        assert min(eligible[row] for row in taken) >= max(left), "an id with more votes was left out"


class TestTheAssertion:
    votes = {1: 3, 2: 2, 3: 2, 4: 1}

    @pytest.mark.parametrize("taken, room, min_votes", [
        ([1, 2], 2, 1), ([3, 1], 2, 1), ([2, 3, 1, 4], 9, 1), ([1, 2, 3], 9, 2), ([], 0, 1), ([], 5, 4)])
    def test_right(self, taken, room, min_votes):
        assert_top_votes(taken, self.votes, room, min_votes)

    @pytest.mark.parametrize("taken, room, min_votes, message", [
        ([2, 3], 2, 1, "left out"), ([1, 1], 2, 1, "duplicates"), ([1], 2, 1, "too few"), ([1, 2, 3], 2, 1, "too many"),
        ([1, 2, 3, 4], 9, 2, "without enough"), ([1, 7], 2, 1, "without enough"),
    ])
    def test_wrong(self, taken, room, min_votes, message):
        with pytest.raises(AssertionError, match=message):
            assert_top_votes(taken, self.votes, room, min_votes)

    def test_chi_square(self):
        rng = np.random.default_rng(0)
        fair = np.bincount(np.concatenate([rng.choice(20, 5, replace=False) for _ in range(2000)]), minlength=20)
        assert chi_square_passes(fair, 5)
        assert not chi_square_passes(fair + 150 * (np.arange(20) == 3), 5)


@st.composite
def problems(draw):
    """Tables, labels and settings of any size."""
    n_rows = draw(st.integers(1, 30))
    L, B, n = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    subsets = st.lists(st.integers(0, n_rows - 1), unique=True, max_size=n_rows)
    tables = [[draw(subsets) for _ in range(B)] for _ in range(L)]
    codes = draw(st.lists(st.lists(st.integers(0, B - 1), min_size=n, max_size=n), min_size=L, max_size=L))
    labels = draw(st.lists(st.lists(st.integers(0, n_rows - 1), unique=True, max_size=min(4, n_rows)), min_size=n, max_size=n))
    return n_rows, tables, codes, labels


def visited(tables, codes, i):
    """The buckets of sample i, one a table."""
    return [table[codes[t][i]] for t, table in enumerate(tables)]


def naive_vanilla(buckets, labels, room, always):
    """What a walk over whole buckets finds after `always`, and how many labels it passes, in the order given."""
    found, hits = [row for row in always if row not in labels][:room], {*always} & {*labels}
    for bucket in buckets:
        for row in bucket:
            if row in labels:
                hits.add(row)
            elif row not in found and len(found) < room:
                found.append(row)
        if len(found) >= room:
            break
    return found, len(hits)


class TestPerSample:
    @settings(deadline=None, max_examples=100)
    @given(problem=problems(), candidates=st.integers(1, 35), head=st.integers(0, 35), fill=st.booleans(),
           strategy=st.sampled_from(STRATEGIES), min_votes=st.integers(1, 4), tables_used=st.booleans(), step=st.integers(0, 10**6),
           corrected=st.booleans(), listed=st.sets(st.integers(0, 29), max_size=9))
    @example(problem=(2, [[[0, 1]]], [[0, 0]], [[], []]), candidates=1, head=1, fill=False, strategy="topk", min_votes=1, tables_used=True,
             step=0, corrected=True, listed={0})  # both have all votes of the buckets
    def test_sets_of_any_size(self, problem, candidates, head, fill, strategy, min_votes, tables_used, step, corrected, listed):
        n_rows, tables, codes, labels = problem
        builder = ActiveSetBuilder(n_rows, seed=1, strategy=Threshold(min_votes) if strategy == "threshold" else strategy)
        always = [j for j in listed if j < n_rows]
        views = views_of(tables, codes, always) if tables_used else None
        sets = builder.per_sample(rows_of(labels), candidates, step=step, views=views, head=head, fill=fill)
        again = builder.per_sample(rows_of(labels), candidates, step=step, views=views, head=head, fill=fill)
        sets = correction("tail", n_rows).per_sample(None, sets) if corrected else sets
        for i, row in enumerate(labels):
            own, retrieved, filler = split(sets, i)
            everything = own + retrieved + filler
            assert own == row and sets.n_label[i] == len(row)
            assert len(set(everything)) == len(everything) == sets.count[i]
            assert all(0 <= j < n_rows for j in everything)
            size = min(n_rows, len(row) + candidates)
            room = min(head, size - len(row)) if tables_used else 0
            assert len(everything) == size if fill else not filler
            buckets = visited(tables, codes, i) if tables_used else []
            if strategy == "vanilla" and tables_used:
                walks = [naive_vanilla(order, row, room, always) for order in itertools.permutations(buckets)]
                assert (retrieved, sets.n_hit[i]) in walks
            else:
                votes = Counter(j for bucket in buckets for j in bucket)
                if tables_used:
                    votes.update(dict.fromkeys(always, 126))
                votes = {j: min(v, 126) for j, v in votes.items()}  # where votes saturate
                assert sets.n_hit[i] == sum(j in votes for j in row)
                least = min_votes if strategy == "threshold" else 1
                assert_top_votes(retrieved, {j: v for j, v in votes.items() if j not in row}, room, least)
            left = n_rows - len(row) - len(retrieved)
            want = np.float32(np.log(left / len(filler))) if filler and corrected else 0
            assert sets.shift[i] == want
            assert split(again, i) == (own, retrieved, filler)
        assert builder.clean

    def test_the_draw_depends_on_seed_step_and_sample(self):
        labels = rows_of([[], []])

        def drawn(seed, step):
            sets = ActiveSetBuilder(1000, seed=seed).per_sample(labels, 10, step=step)
            return [tuple(split(sets, i)[2]) for i in range(2)]

        draws = [d for seed in (0, 1) for step in (0, 1) for d in drawn(seed, step)]
        assert len(set(draws)) == 8
        assert drawn(0, 0) == drawn(0, 0)

    def test_a_sample_does_not_depend_on_the_others_labels(self):
        builder = ActiveSetBuilder(100, seed=3)
        a = builder.per_sample(rows_of([[5], [1, 2], [7]]), 10, step=4)
        b = builder.per_sample(rows_of([[6, 9], [1, 2]]), 10, step=4)
        assert split(a, 1) == split(b, 1)

    def test_no_samples_labels_or_entries(self):
        sets = ActiveSetBuilder(10).per_sample(rows_of([]), 4, step=0)
        assert len(sets.ids) == len(sets.start) == 0
        views = views_of([[[], []]], [[0, 1]])
        sets = ActiveSetBuilder(10).per_sample(rows_of([[], []]), 4, step=0, views=views, head=2, fill=False)
        assert sets.count.tolist() == [0, 0]

    def test_more_than_126_votes_saturate(self):
        """Votes are counted in 7 bits; ids with more are equals."""
        tables = [[[0, *([1] if t < 150 else []), *([2] if t < 100 else [])]] for t in range(200)]
        views = views_of(tables, np.zeros((200, 1)))
        sets = ActiveSetBuilder(9).per_sample(rows_of([[4]]), 8, step=0, views=views, head=2, fill=False)
        assert sorted(split(sets, 0)[1]) == [0, 1]
        sets = ActiveSetBuilder(9, strategy=Threshold(101)).per_sample(rows_of([[4]]), 8, step=0, views=views, head=5, fill=False)
        assert sorted(split(sets, 0)[1]) == [0, 1]

    def test_labels_in_many_buckets_are_counted_once(self):
        tables = [[[3, 4, 5]]] * 130
        sets = ActiveSetBuilder(9).per_sample(rows_of([[4, 8]]), 8, step=0, views=views_of(tables, np.zeros((130, 1))), head=8)
        assert sets.n_hit[0] == 1 and sorted(split(sets, 0)[1]) == [3, 5]


class TestRandomness:
    """At 99.9 % confidence; the seeds are the first ones tried."""

    N = 30

    def counts(self, ids):
        return np.bincount(np.asarray(ids, int), minlength=self.N)

    @pytest.mark.parametrize("candidates", [1, 6, 25])
    def test_filler_is_uniform_over_what_is_left(self, candidates):
        n = 4000
        sets = ActiveSetBuilder(self.N, seed=1).per_sample(rows_of([[3, 4]] * n), candidates, step=0)
        counts = self.counts([j for i in range(n) for j in split(sets, i)[2]])
        assert counts[3] == counts[4] == 0
        assert chi_square_passes(np.delete(counts, [3, 4]), candidates)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_filler_does_not_depend_on_what_was_retrieved(self, strategy):
        """Given the head, the filler is uniform over the rest; the estimate of the tail stands on it."""
        n = 30_000
        views = views_of([[[0, 1, 2]], [[3, 4, 5]], [[6, 7, 8]]], np.zeros((3, n)))
        builder = ActiveSetBuilder(self.N, seed=1, strategy=strategy)
        sets = builder.per_sample(rows_of([[]] * n), 7, step=0, views=views, head=6)
        first = {}
        for i in range(n):
            _, head, filler = split(sets, i)
            first.setdefault(frozenset(head), []).append(filler[0])
        tables = {frozenset(a + b): f for (a, b), f in zip([([0, 1, 2], [3, 4, 5]), ([0, 1, 2], [6, 7, 8]), ([3, 4, 5], [6, 7, 8])],
                                                          range(3))}
        for head, drawn in first.items():
            if strategy == "vanilla":
                assert head in tables
            if len(drawn) > 1000:
                assert chi_square_passes(np.delete(self.counts(drawn), list(head)))

    def test_filler_depends_on_nothing_where_the_step_is_another(self):
        builder = ActiveSetBuilder(self.N, seed=7)
        pairs = np.array([builder.per_sample(rows_of([[], []]), 1, step=step).ids for step in range(3000)])
        draws = pairs
        assert chi_square_passes(self.counts(draws.ravel()))
        # second sample given the first one
        table = np.bincount(pairs[:, 0] * self.N + pairs[:, 1], minlength=self.N**2)
        statistic = ((table - table.mean()) ** 2).sum() / table.mean()
        assert statistic < stats.chi2.ppf(CONFIDENCE, self.N**2 - 1)

    def test_vanilla_takes_the_tables_in_random_order(self):
        n = 6000
        views = views_of([[[t]] for t in range(4)], np.zeros((4, n)))
        sets = ActiveSetBuilder(self.N, seed=1, strategy="vanilla").per_sample(rows_of([[]] * n), 4, step=0, views=views, head=4,
                                                                              fill=False)
        orders = Counter(tuple(split(sets, i)[1]) for i in range(n))
        assert len(orders) == 24
        assert chi_square_passes(list(orders.values()))

    def test_ties_do_not_favour_a_table(self):
        """Seven tables of four own ids each, one vote for all: room for one of the 28."""
        n = 8000
        tables = [[[4 * t + j for j in range(4)]] for t in range(7)]
        views = views_of(tables, np.zeros((7, n)))
        sets = ActiveSetBuilder(self.N, seed=1).per_sample(rows_of([[]] * n), 4, step=0, views=views, head=1, fill=False)
        assert chi_square_passes(self.counts([split(sets, i)[1][0] for i in range(n)])[:28])

    def test_shared_filler_is_uniform(self):
        builder = ActiveSetBuilder(self.N, seed=1)
        counts = np.zeros(self.N)
        for step in range(3000):
            shared = builder.shared(rows_of([[3], [4, 3]]), 5, step=step)
            counts[shared.ids[shared.n_exact:]] += 1
        assert counts[3] == counts[4] == 0
        assert chi_square_passes(np.delete(counts, [3, 4]), 5)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_shared_filler_does_not_depend_on_what_was_retrieved(self, strategy):
        """With one sample, whose key is derived from the same seed and step as the batch's."""
        builder = ActiveSetBuilder(self.N, seed=1, strategy=strategy)
        views = views_of([[[0, 1, 2]], [[3, 4, 5]], [[6, 7, 8]]], np.zeros((3, 1)))
        first = {}
        for step in range(3000):
            heads = builder.per_sample(rows_of([[]]), 1, step=step, views=views, head=1, fill=False)
            shared = builder.shared(rows_of([[]]), 3, step=step, heads=heads)
            for place in (1, 2):
                first.setdefault((int(shared.ids[0]) // 3, place), []).append(shared.ids[place])
        for drawn in first.values():
            counts = self.counts(drawn)
            assert chi_square_passes(counts[9:])


@pytest.fixture(scope="module")
def outputs():
    """Logits of 40 outputs, some large, and unit vectors for their rows."""
    rng = np.random.default_rng(5)
    return 2 * rng.standard_normal(40), rng.standard_normal((40, 6))


class TestUnbiasedness:
    """With the tail correction, sums over the set estimate sums over all outputs, whatever the tables return."""

    labels = [2, 11]

    def estimates(self, strategy, n, values, corrected="tail"):
        """sum of weight * values over n independent sets of one sample."""
        rng = np.random.default_rng(1)
        views = views_of([[rng.choice(40, 9, replace=False).tolist()] for _ in range(3)], np.zeros((3, n)))
        builder = ActiveSetBuilder(40, seed=3, strategy=strategy)
        sets = builder.per_sample(rows_of([self.labels] * n), 14, step=0, views=views, head=7)
        sets = correction(corrected, 40).per_sample(None, sets)
        out = []
        for i in range(n):
            weight = np.zeros(40)
            own, head, filler = split(sets, i)
            weight[own + head] = 1
            weight[filler] = np.exp(np.float64(sets.shift[i]))
            out.append(weight @ values)
        return np.array(out)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_partition_function(self, outputs, strategy):
        z, _ = outputs
        assert_mean(self.estimates(strategy, 10_000, np.exp(z)), np.exp(z).sum())

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_its_gradient_and_that_of_the_logistic_loss(self, outputs, strategy):
        z, W = outputs
        for slope in (np.exp(z), 1 / (1 + np.exp(-z))):
            assert_mean(self.estimates(strategy, 10_000, slope[:, None] * W), slope @ W)

    def test_without_correction_it_is_biased(self, outputs):
        z, _ = outputs
        with pytest.raises(AssertionError):
            assert_mean(self.estimates("topk", 10_000, np.exp(z), "none"), np.exp(z).sum())

    @pytest.mark.slow
    @pytest.mark.parametrize("with_heads", [False, True])
    def test_batch(self, outputs, with_heads):
        z, W = outputs
        builder = ActiveSetBuilder(40, seed=3)
        views = views_of([[[1, 2, 3, 20, 21]], [[3, 5, 30]]], np.zeros((2, 2)))
        values = np.concatenate([np.exp(z)[:, None], np.exp(z)[:, None] * W], axis=1)
        out = []
        for step in range(4000):
            heads = builder.per_sample(rows_of([[], []]), 2, step=step, views=views, head=2, fill=False) if with_heads else None
            labels = rows_of([self.labels, [4]])
            shared = correction("tail", 40).shared(labels, builder.shared(labels, 9, step=step, heads=heads))
            weight = np.zeros(40)
            weight[shared.ids] = np.exp(np.float64(shared.shifts))
            out.append(weight @ values)
        assert_mean(out, values.sum(0))


class TestShared:
    @pytest.mark.slow
    @settings(deadline=None, max_examples=100)
    @given(problem=problems(), candidates=st.integers(0, 35), each=st.integers(0, 6), step=st.integers(0, 10**6),
           name=st.sampled_from(["tail", "logq", "none"]))
    def test_sets_of_any_size(self, problem, candidates, each, step, name):
        n_rows, tables, codes, labels = problem
        builder = ActiveSetBuilder(n_rows, seed=1)
        rows = rows_of(labels)
        heads = None
        if each:
            none = Rows(rows.start, np.zeros_like(rows.count), rows.ids, None)
            heads = builder.per_sample(none, each, step=step, views=views_of(tables, codes), head=each, fill=False)
        shared = correction(name, n_rows).shared(rows, builder.shared(rows, candidates, step=step, heads=heads))
        ids = shared.ids.tolist()
        in_order = list(dict.fromkeys(j for row in labels for j in row))
        assert ids[:shared.n_label] == in_order
        assert [ids[p] for p in shared.pair_column] == [j for row in labels for j in row]
        assert len(set(ids)) == len(ids) and all(0 <= j < n_rows for j in ids)
        retrieved = list(dict.fromkeys(j for i in range(len(labels)) for j in (split(heads, i)[1] if heads else [])))
        retrieved = [j for j in retrieved if j not in in_order]
        assert ids[shared.n_label:shared.n_exact] == retrieved
        # filler makes up for what retrieval, which may return the same id to many samples, leaves open
        filler = min(max(0, candidates - len(retrieved)), n_rows - shared.n_exact)
        assert len(ids) - shared.n_exact == filler
        if filler and name == "tail":
            assert (shared.shifts[:shared.n_exact] == 0).all() and len(shared.shifts) == len(ids)
            assert (shared.shifts[shared.n_exact:] == np.float32(np.log((n_rows - shared.n_exact) / filler))).all()
        elif name == "logq":
            assert len(shared.shifts) == len(ids) and (shared.shifts >= 0).all()
        else:
            assert len(shared.shifts) == 0
        assert builder.clean
        again = builder.shared(rows, candidates, step=step, heads=heads)
        assert again.ids.tolist() == ids and again.pair_column.tolist() == shared.pair_column.tolist()

    def test_only_labels_and_nothing_at_all(self):
        shared = ActiveSetBuilder(9).shared(rows_of([[2], [2, 5]]), 0, step=0)
        assert shared.ids.tolist() == [2, 5] and shared.pair_column.tolist() == [0, 0, 1] and len(shared.shifts) == 0
        assert ActiveSetBuilder(9).shared(rows_of([[], []]), 0, step=0).ids.tolist() == []


class TestRefusals:
    @pytest.mark.parametrize("arguments, error, message", [
        ({"n_rows": 0}, ValueError, "n_rows must be an integer from 1"),
        ({"n_rows": 2.5}, TypeError, "n_rows must be an integer"),
        ({"strategy": "best"}, ValueError, r"selection strategy 'best' is unknown; give one of \['threshold', 'topk', 'vanilla'\]"),
        ({"strategy": {"name": "threshold", "min_votes": 0}}, ValueError, "min_votes"),
        ({"strategy": {"name": "threshold", "min_votes": 127}}, ValueError, "min_votes must be an integer from 1 to 126; got 127"),
    ])
    def test_settings(self, arguments, error, message):
        with pytest.raises(error, match=message):
            ActiveSetBuilder(**{"n_rows": 10, **arguments})


def test_facade_and_kernel_agree_on_their_constants():
    assert strategies.MAX_VOTES == kernel.MAX_VOTES


@settings(deadline=None, max_examples=60)
@given(data=st.data(), n=st.integers(0, 4))
def test_sets_from_lists(data, n):
    """What a sampler of the user's own returns: labels, then retrieved, then uniform ids, none twice."""
    ids = st.lists(st.integers(0, 12), unique=True, max_size=6)
    labels, retrieved, uniform = ([data.draw(ids) for _ in range(n)] for _ in range(3))
    sets = ActiveSets.of(rows_of(labels), retrieved=retrieved, uniform=uniform)
    for i in range(n):
        head = [j for j in retrieved[i] if j not in labels[i]]
        tail = [j for j in uniform[i] if j not in labels[i] + head]
        assert split(sets, i) == (labels[i], head, tail)
    flat = [j for row in labels for j in row]
    head, tail = data.draw(ids), data.draw(ids)
    shared = SharedSet.of(rows_of(labels), retrieved=head, uniform=tail)
    head = [j for j in head if j not in flat]
    assert shared.ids.tolist() == sorted(set(flat)) + head + [j for j in tail if j not in flat + head]
    assert (shared.n_label, shared.n_exact) == (len(set(flat)), len(set(flat)) + len(head))
    assert shared.ids[shared.pair_column].tolist() == flat
