"""How the hash tables of a sampler are made and kept up with the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mongoose_nb.core.registry import Registered, find, make, name_of, parameters, register
from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.hashing import HashFamily, make_learned
from mongoose_nb.hashing.capabilities import require
from mongoose_nb.nn.sampling.base import default_bits
from mongoose_nb.nn.sampling.table_manager import TableManager
from mongoose_nb.rehash import ExponentialDecay, make_schedule

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.hashing import LearnedHash
    from mongoose_nb.rehash import Schedule

# Outputs per bucket that the default number of hashes aims at.
BUCKET_LOAD = 64
# Learned functions have to follow the queries too, which no turning of rows shows: the longest time between trainings that drift
# orders, for candidates per sample.
LONGEST = 400
# Finding the best outputs of 2,048 activations takes as long as a hundred steps with candidates shared by the batch; 512 train as well.
BATCH_LEARNER = {"queries": 512}


@register("table settings", "tables")
class Tables(Registered, kind="table settings"):
    """Settings of the hash tables of `LSH`.

    Parameters
    ----------
    family : str, class of hashing.HashFamily, dict, or hashing.HashFamily
        Hash family: a registered name such as ``"simhash"`` or ``"dwta"``, a class, a description such as ``{"name": "simhash",
        "projection": "sparse"}``, or an object of the right dimension whose functions are used as they were drawn. Activations are
        dense, so families that can tell a zero from a missing entry take it as a value.
    K, L : int, optional
        Hashes per table and tables. By default K is such that a bucket holds about 64 outputs, and L is 50 for candidates per sample and
        16 for candidates shared by the batch, to which a sample adds few outputs.
    capacity : int or None
        Most outputs in a bucket, which bounds the work of a look-up; None for no bound.
    policy : {"reservoir", "fifo"}
        Which outputs a full bucket keeps.
    center : bool
        Hash centred activations against centred weights and biases (`hashing.inner_product`) instead of both as they are. Centred
        tables are better with few outputs. With 40,000 and more ``center=False, L=16`` takes half the time. Such tables are for training
        alone: for prediction without visiting all outputs call `Network.fit_serving`.
    rehash : int, str or rehash.Schedule, optional
        Steps between rehashes (same functions, new rows), ``"drift"`` or ``"auto"`` for when the weights have turned
        (`rehash.Drift`; where functions learn for candidates per sample, after 400 steps at the latest), or a schedule. By default
        `rehash.ExponentialDecay` from 100 steps on, or from 300 on with candidates shared by the batch.
    rebuild : int or None
        Rehashes between rebuilds (new functions); None keeps the functions.
    learn : None, str or hashing.LearnedHash
        Whether the hash functions are trained before a rehash that the schedule orders, on recent activations: ``"contrast"``, or
        ``"triplet"`` or ``"logistic"`` for comparison (`hashing.LearnedHash`; with candidates shared by the batch on 512 activations).
        Needs a trainable family and no `rebuild`.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> nn.LSH(200, tables=nn.Tables(K=6, L=20, rehash="drift")).tables.L
    20
    """

    def __init__(self, family: str | dict | type[HashFamily] | HashFamily = "simhash", K: int | None = None, L: int | None = None, *,
                 capacity: int | None = 128, policy: str = "reservoir", center: bool = True,
                 rehash: None | int | str | dict | Schedule = None, rebuild: int | None = None,
                 learn: None | str | dict | LearnedHash = None) -> None:
        self.family = family if isinstance(family, str | dict | HashFamily) else _name(family)
        self.K = K if K is None else check_int("K", K, low=1)
        self.L = L if L is None else check_int("L", L, low=1)
        self.capacity = capacity if capacity is None else check_int("capacity", capacity, low=1)
        self.policy = check_choice("policy", policy, ("reservoir", "fifo"))
        self.center = bool(center)
        self.rehash = make_schedule(rehash) if isinstance(rehash, dict) else rehash
        self.rebuild = rebuild if rebuild is None else check_int("rebuild", rebuild, low=1)
        self.learn = make_learned(learn) if isinstance(learn, dict) else learn
        self._check()

    def _check(self):
        cls = self.family_class
        name = name_of(cls)  # files name the module of a class of the user's own
        if isinstance(self.family, dict):
            self.family = {**self.family, "name": name}
        elif isinstance(self.family, str):
            self.family = name
        if self.rehash is not None:
            make_schedule(self.rehash)  # refuses what it cannot use
        make_learned(self.learn)
        if isinstance(self.family, HashFamily):
            if self.K is not None or self.L not in (None, self.family.L):
                raise ValueError(f"K and L belong to a family that is given by name; {self.family!r} has its own")
            if self.family.version:
                raise ValueError(f"the functions of {self.family!r} were changed after they were drawn, which a description cannot say; "
                                 "give a family that was just made")
        if self.center:
            require(cls, "takes_center", "center=True")
        if self.learn is not None:
            require(cls, "trainable", f"learn={self.learn!r}")
            if self.rebuild is not None:
                raise ValueError(f"rebuild={self.rebuild} would replace by random functions what learn={self.learn!r} has trained; give "
                                 "one of the two")

    @property
    def family_class(self) -> type[HashFamily]:
        """The class of the hash family."""
        if isinstance(self.family, HashFamily):
            return type(self.family)
        return find("hash family", self.family["name"] if isinstance(self.family, dict) and "name" in self.family else self.family)

    def for_shape(self, shape: str) -> Tables:
        """The same settings with the defaults of a shape of candidate sets filled in.

        Parameters
        ----------
        shape : {"sample", "batch"}

        Returns
        -------
        Tables
        """
        sample, own = shape == "sample", isinstance(self.family, HashFamily)
        L = self.L if self.L is not None else self.family.L if own else 50 if sample else 16
        rehash = ExponentialDecay(100 if sample else 300, 0.05) if self.rehash is None else self.rehash
        return type(self)(**{**self.config(), "L": L, "rehash": rehash})

    def make_family(self, n_rows: int, width: int, seed: int) -> HashFamily:
        """The hash family for a layer.

        Parameters
        ----------
        n_rows, width : int
            Shape of the weights.
        seed : int

        Returns
        -------
        HashFamily
        """
        dim = width + 1 if self.center else width
        if isinstance(self.family, HashFamily):
            if self.family.dim != dim:
                raise ValueError(f"family has dim={self.family.dim}; a layer of width {width} with center={self.center} needs {dim}")
            return HashFamily.from_state(self.family.state())
        options = {name: value for name, value in self.family.items() if name != "name"} if isinstance(self.family, dict) else {}
        if "zeros" in parameters(self.family_class):
            options = {"zeros": "value", **options}

        def make_with(K: int | None, L: int | None):
            return make("hash family", {"name": name_of(self.family_class), "dim": dim, "K": K, "L": L, "seed": seed, **options})

        K = self.K
        if K is None:  # a family of K = 1 tells how many bits a hash has; where they are folded, a hash counts for two
            each = make_with(1, 1).bits_per_hash or 2
            K = max(1, round(default_bits(n_rows, BUCKET_LOAD) / each))
        return make_with(K, self.L)

    def bind(self, weights: Parameter, bias: Parameter, *, shape: str, room: int, seed: int) -> TableManager:
        """Tables over the rows of one layer, not built yet.

        Parameters
        ----------
        weights, bias : Parameter
        shape : {"sample", "batch"}
            Of the candidate sets.
        room : int
            Most outputs that the tables give for a sample.
        seed : int

        Returns
        -------
        TableManager
        """
        from mongoose_nb.tables import LSHTables

        n_rows, width = weights.value.shape
        family = self.make_family(n_rows, width, seed)
        tables = LSHTables(family, capacity=self.capacity, policy=self.policy, seed=seed)
        sample = shape == "sample"
        schedule = make_schedule(self.rehash, **({"longest": LONGEST} if sample and self.learn is not None else {}))
        schedule.bind(n_rows, width, family=family, seed=seed, room=room)
        learner = make_learned(self.learn, **({} if sample else BATCH_LEARNER))
        if learner is not None:
            learner.bind(family, seed)
        return TableManager(weights, bias, tables, schedule, center=self.center, rebuild=self.rebuild, learner=learner)


def _name(family):
    if not (isinstance(family, type) and issubclass(family, HashFamily)):
        raise TypeError(f"family must be a registered name, a class of hashing.HashFamily, a description, or an object; got {family!r}")
    return name_of(family)
