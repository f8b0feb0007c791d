"""The check of samplers: it passes on ours and on one of a user's own, and finds what is wrong."""

import numpy as np
import pytest
from own_sampler import Popular

from mongoose_nb import nn
from mongoose_nb.core.registry import registered
from mongoose_nb.hashing import SimHash
from mongoose_nb.testing import CheckFailed, check_sampler

OURS = {
    "full": nn.Full, "uniform": lambda: nn.Uniform(20), "uniform-sample": lambda: nn.Uniform(20, shape="sample"),
    "uniform-logq": lambda: nn.Uniform(20, correction="logq"),
    "lsh": lambda: nn.LSH(20, tables=nn.Tables(K=3, L=4, rehash=3, rebuild=2)),
    "lsh-batch": lambda: nn.LSH(20, shape="batch", tables=nn.Tables(K=3, L=4, rehash=3, learn="contrast")),
    "lsh-learn": lambda: nn.LSH(20, tables=nn.Tables(K=3, L=4, rehash=3, learn="triplet", capacity=8)),
    "lsh-importance": lambda: nn.LSH(20, correction="importance", tables=nn.Tables(L=4, rehash=3)),
    "lsh-head": lambda: nn.LSH(20, head="auto", tables=nn.Tables(K=2, L=4, rehash="drift")),
    "lsh-threshold": lambda: nn.LSH(20, strategy=nn.Threshold(2), tables=nn.Tables("dwta", K=1, L=4, center=False)),
    "lsh-vanilla": lambda: nn.LSH(20, strategy="vanilla", fill=False, tables=nn.Tables("crosspolytope", L=4)),
    "lsh-sparse": lambda: nn.LSH(20, tables=nn.Tables({"name": "simhash", "projection": "sparse"}, K=4, L=4)),
    "lsh-object": lambda: nn.LSH(20, tables=nn.Tables(SimHash(9, 3, 4, seed=7))),
    "lsh-class": lambda: nn.LSH(20, tables=nn.Tables(SimHash, K=3, L=4)),
    "uniform-frequency": lambda: nn.Uniform(20, shape="sample", proposal="frequency"),
    "lsh-mixture": lambda: nn.LSH(20, head=0.25, proposal="mixture", tables=nn.Tables(K=3, L=4, rehash=3)),
    "adaptive": lambda: nn.Adaptive(20, threshold=0.0), "auto": nn.Auto,
}


@pytest.mark.parametrize("name", OURS)
def test_ours(name):
    report = check_sampler(OURS[name])
    assert {"description", "pickle", "ids", "counts", "same again", "threads", "peek", "state"} <= {line.check for line in report}


def test_none_is_left_out():
    assert {type(make()) for make in OURS.values()} == set(registered("sampler", "mongoose_nb.").values())


@pytest.mark.parametrize("family", registered("hash family", "mongoose_nb."))
def test_every_hash_family_that_hashes_vectors(family):
    cls = registered("hash family", "mongoose_nb.")[family]
    if cls.similarity in ("jaccard", "hamming"):
        with pytest.raises(ValueError, match="center=True needs a hash family with takes center"):
            nn.Tables(family)
        return
    check_sampler(lambda: nn.LSH(20, tables=nn.Tables(family, L=3, rehash=3)), steps=4)


@pytest.mark.parametrize("shape", ["sample", "batch"])
def test_one_of_the_users_own(shape):
    check_sampler(lambda: Popular(15, shape))


class Broken(Popular):
    """A sampler with one thing wrong."""

    def __init__(self, wrong):
        super().__init__(15, "batch")
        self.wrong = wrong

    def shared(self, h, labels, step, timer):
        shared = super().shared(h, labels, step, timer)
        ids = shared.ids.copy()
        if self.wrong == "duplicates":
            ids[-1] = ids[-2]
        elif self.wrong == "ids":
            ids[-1] = 300
        elif self.wrong == "labels first":
            ids[0], ids[-1] = ids[-1], ids[0]
        elif self.wrong == "pair column":
            return shared._replace(pair_column=shared.pair_column[::-1])
        elif self.wrong == "counts":
            self._counts = {"labels": 1.0}
        return shared._replace(ids=ids)

    def peek(self, h):
        if self.wrong == "peek":
            self.frequency[::2] += 9
        return super().peek(h)

    @property
    def saved_state(self):
        return () if self.wrong == "state" else ("frequency",)

    def config(self):
        return {"wrong": self.wrong + "!" * self.wrong.startswith("description")}


@pytest.mark.parametrize("wrong", ["duplicates", "ids", "labels first", "pair column", "counts", "peek", "state", "description"])
def test_what_is_wrong_is_found(wrong):
    with pytest.raises(CheckFailed, match=f"^{wrong}: "):
        check_sampler(lambda: Broken(wrong))


class Unkeyed(Popular):
    """Draws anew whatever the seed."""

    def _draw(self, labels, step):
        self._seed = int(np.random.default_rng().integers(2**31))
        return super()._draw(labels, step)


def test_randomness_must_be_keyed():
    with pytest.raises(CheckFailed, match="^same again: "):
        check_sampler(lambda: Unkeyed(15))
