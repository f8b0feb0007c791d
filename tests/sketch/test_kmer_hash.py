"""Hashes of k-mers: against plain Python, both strands, other letters, records, threads; the contract of the abstraction."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_sketch_genes import canonical, idl_addresses, random_addresses, reverse, windows

from mongoose_nb.core.registry import describe, make, registered
from mongoose_nb.sketch import IDLHash, RandomHash

TEXTS = st.text(alphabet="ACGTacgtuUN-", max_size=120)
ALL = sorted(registered("k-mer hash", "mongoose_nb"))


def bases(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, k=st.integers(1, 32), data=st.data())
def test_idl_against_plain_python(text, k, data):
    t, n = data.draw(st.integers(1, k)), data.draw(st.integers(1, 9))
    window, bits = data.draw(st.sampled_from([256, 512, 2048, 4096])), data.draw(st.integers(4096, 1 << 40))
    seed = data.draw(st.integers(0, 1 << 40))
    got = IDLHash(k=k, t=t, n_hashes=n, window=window, bits=bits, seed=seed).addresses(text)
    np.testing.assert_array_equal(got, idl_addresses(text, k, t, n, window, bits, seed))
    assert got.dtype == np.uint64 and (got < bits).all()


@settings(max_examples=40, deadline=None)
@given(text=TEXTS, k=st.integers(1, 32), n=st.integers(1, 9), bits=st.integers(1024, 1 << 40), seed=st.integers(0, 1 << 40))
def test_random_against_plain_python(text, k, n, bits, seed):
    hasher = RandomHash(k=k, n_hashes=n, bits=bits, seed=seed)
    np.testing.assert_array_equal(hasher.addresses(text), random_addresses(text, k, n, bits, seed))
    assert hasher.kmers(text).tolist() == [canonical(word) for word in windows(text, k)]


@pytest.mark.parametrize("name", ALL)
class TestContract:
    """What every k-mer hash has to do."""

    def test_both_strands(self, name):
        hasher, text = make("k-mer hash", name), bases(300)
        np.testing.assert_array_equal(hasher.addresses(text), hasher.addresses(reverse(text))[::-1])

    def test_records_and_other_letters_end_a_k_mer(self, name):
        hasher, a, b = make("k-mer hash", name), bases(80, 1), bases(90, 2)
        apart = np.concatenate([hasher.addresses(a), hasher.addresses(b)])
        for joined in ([a, b], [a.encode(), b.lower()], a + "N" + b, a + "\n" + b, np.frombuffer((a + "-" + b).encode(), np.uint8),
                       a + "é" + b):
            np.testing.assert_array_equal(hasher.addresses(joined), apart)

    def test_blocks_and_threads_play_no_part(self, name):
        hasher, text = make("k-mer hash", name), bases(70_000, 3)  # several blocks and chunks
        whole = hasher.addresses(text)
        before = numba.get_num_threads()
        try:
            numba.set_num_threads(1)
            np.testing.assert_array_equal(hasher.addresses(text), whole)
        finally:
            numba.set_num_threads(before)
        for at in (2047, 32767, 50_000):
            np.testing.assert_array_equal(hasher.addresses(text[at:at + 31])[0], whole[at])

    def test_short_sequences_have_no_k_mers(self, name):
        hasher = make("k-mer hash", name)
        for text in ("", "ACGT", "N" * 100, [], ["", "A"], b""):
            assert hasher.addresses(text).shape == (0, hasher.n_hashes)

    def test_description(self, name):
        hasher = make("k-mer hash", name, k=21, n_hashes=3, bits=2**20, seed=5)
        again = make("k-mer hash", describe(hasher))
        np.testing.assert_array_equal(again.addresses(bases(100)), hasher.addresses(bases(100)))
        assert again.same(hasher) and not again.same(hasher.for_bits(2**21)) and again.same(hasher.for_bits(2**21), bits=False)

    def test_seeds_differ(self, name):
        text = bases(1000)
        a, b = (make("k-mer hash", name, seed=seed).addresses(text) for seed in (0, 1))
        assert (a == b).mean() < 0.01

    @pytest.mark.parametrize("wrong", [5, None, 1.5, np.zeros(3), np.zeros((2, 2), np.uint8), [1, 2], {"a": 1}])
    def test_what_is_no_sequence(self, name, wrong):
        with pytest.raises(TypeError, match="give a str, bytes"):
            make("k-mer hash", name).addresses(wrong)

    def test_addresses_are_uniform(self, name):
        """Chi-squared over 64 parts of the filter; 5.5 standard deviations."""
        addresses = make("k-mer hash", name, bits=2**36).addresses(bases(200_000, 4))
        for column in addresses.T:
            base = np.unique(column >> np.uint64(9)).astype(np.float64)  # lines, each once: neighbours share them
            counts = np.histogram(base, 64, (0, 2**27))[0]
            assert abs(((counts - counts.mean()) ** 2 / counts.mean()).sum() - 63) < 5.5 * 126**0.5


def test_neighbours_share_a_line():
    """(w - 1) / (w + 1) of 200,000 neighbours in 4 hashes; the minima of a run are dependent, so 0.01."""
    for k, t in ((31, 16), (31, 25), (21, 11)):
        hasher = IDLHash(k=k, t=t)
        lines = hasher.addresses(bases(200_000, 5)) >> np.uint64(9)
        assert (lines[1:] == lines[:-1]).mean() == pytest.approx(hasher.same_base_rate, abs=0.01)


def test_different_k_mers_have_different_addresses():
    """Two k-mers of a window agree in all four offsets with probability 512^-4."""
    addresses = IDLHash(bits=2**30).addresses(bases(100_000, 6))
    assert len(np.unique(addresses, axis=0)) == len(addresses)


@pytest.mark.parametrize("arguments, error", [({"k": 33}, "k must be"), ({"k": 0}, "k must be"), ({"t": 32}, "t must be"),
                                              ({"window": 500}, "power of two"), ({"window": 64}, "window must be"),
                                              ({"n_hashes": 0}, "n_hashes"), ({"bits": 100}, "bits must be"),
                                              ({"bits": 2048, "window": 4096}, "must fit"), ({"seed": -1}, "seed")])
def test_wrong_arguments(arguments, error):
    with pytest.raises(ValueError, match=error):
        IDLHash(**arguments)


def test_short_k_mers_need_a_short_t():
    """The error names what was given, not the default alone, and what it says to give is taken."""
    for k in range(1, 33):
        if k >= 16:
            assert IDLHash(k=k).t == 16
            continue
        with pytest.raises(ValueError, match=rf"k={k} needs t <= {k}, and t is 16 \(16 by default\): give t=\d+") as error:
            IDLHash(k=k)
        assert IDLHash(k=k, t=int(str(error.value).split("t=")[-1])).k == k
