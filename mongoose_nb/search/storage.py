"""The file of an index: settings, rows, sketches, functions and buckets; nothing is pickled.

Mapped (``mmap=True``) the large arrays - rows, sketches, bucket entries - stay in the file, shared by all processes that map it; only
the start of each bucket is computed, 8 bytes a bucket. Their checksums are not computed then, which would read them all; that bucket
entries name rows of the index is made sure of all the same.
"""

import numpy as np

from mongoose_nb.core import files as io
from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.validation import check_int
from mongoose_nb.search import functions
from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.projection import Projection
from mongoose_nb.search.rows import BitRows, DenseRows, SparseRows

KIND = "lsh_index"
_KINDS = {c.kind: c for c in (DenseRows, SparseRows, BitRows)}
PARAMETERS = ("metric", "dim", "K", "L", "probes", "rerank", "capacity", "policy", "family", "max_candidates", "exact_fallback",
               "train_size", "n_threads", "seed")


class FrozenTables:
    """Tables over mapped arrays: they answer, and cannot change."""

    def __init__(self, family, bits, ids, sizes, stats):
        self.family, self._bits, self._ids, self._stats = family, bits, ids, stats
        ends = np.cumsum(sizes.ravel(), dtype=np.int64)
        if len(ids) != (ends[-1] if len(ends) else 0) or len(ids) >= 2**31:
            raise io.FormatError("the saved buckets do not fit their entries, or there are 2^31 or more; load with mmap=False")
        self._spans = np.stack([(ends - sizes.ravel()).reshape(sizes.shape), sizes], axis=2).astype(np.int32)
        self.folds = bits != family.code_bits

    @property
    def nbytes(self):
        """Bytes of what is not in the file."""
        return self._spans.nbytes

    def fold(self, codes):
        """As `LSHTables.fold`."""
        from mongoose_nb.tables import LSHTables

        return LSHTables._fold(self, codes, self._bits)

    def flat_views(self):
        """As `LSHTables.flat_views`; starts count from the first entry of all."""
        return self._ids[None, :] if len(self._ids) else np.zeros((1, 1), np.int32), 0, self._spans

    def stats(self):
        """As they were when the index was saved."""
        return self._stats


def state(index, copy=False):
    """(settings, arrays) of an index."""
    if index._read_only:
        raise ValueError("this index is mapped from a file: copy that file, or load it with mmap=False")
    settings = {name: getattr(index, name) for name in PARAMETERS}
    if callable(settings["family"]):
        settings["family"] = None
    settings |= {"kind": None if index._rows is None else index._rows.kind, "next_id": index._map.next_id, "trained": index._trained,
                 "long": index._long, "tables": None, "projection": None, "stats": None}
    used = index._map.used
    arrays = {f"ids.{k}": v for k, v in index._map.arrays().items()}
    if index._rows is not None:
        arrays |= {f"rows.{k}": v for k, v in index._rows.arrays(used).items()}
    if index._projection is not None:
        settings["projection"], more = index._projection.state()
        arrays |= {f"projection.{k}": v for k, v in more.items()} | {"sketches": index._sketches[:used]}
    if index._tables is not None:
        settings["tables"], more = index._tables.state()
        settings["stats"] = index._tables.stats()
        arrays |= {f"tables.{k}": v for k, v in more.items()}
    return settings, {k: np.array(v) for k, v in arrays.items()} if copy else arrays


def save(index, path):
    """Write an index."""
    with index._lock.reading():
        settings, arrays = state(index)
        sketches = arrays.get("sketches")
        if sketches is not None:
            arrays["sketches"] = sketches.view(np.uint8)
        io.save(path, KIND, settings, arrays)


def load(cls, path, mmap):
    """Read an index, or map it."""
    settings, arrays = io.load(path, KIND, mmap=mmap)
    index = cls.__new__(cls)
    try:
        if "sketches" in arrays:
            arrays["sketches"] = arrays["sketches"].view(np.int8)
        restore(index, settings, arrays, mmap)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise io.FormatError(f"{path!r} does not hold a whole index: {error}") from error
    return index


def restore(index, settings, arrays, mmap=False):
    """Fill an index with what `state` gave."""
    def part(name):
        return {k[len(name) + 1:]: v for k, v in arrays.items() if k.startswith(name + ".")}

    given = {name: settings[name] for name in PARAMETERS}
    index.__init__(given.pop("metric"), given.pop("dim"), **given)
    index._map = IdMap.restore(part("ids"), settings["next_id"])
    used = index._map.used
    if settings["kind"] is not None:
        index._rows = _KINDS[settings["kind"]](index.dim, index.metric)
        index._rows.restore(part("rows"), used)
    index._trained, index._long = int(settings["trained"]), int(settings["long"])
    if settings["projection"] is not None:
        index._projection = learnt = Projection.from_state(settings["projection"], part("projection"))
        expected = (settings["kind"] == "sparse", index.metric == "ip", index.dim + (index.metric == "ip"))
        if (learnt.sparse, learnt.augmented, len(learnt.axes)) != expected:
            raise ValueError("the saved projection is not one of the saved rows")
        index._sketches = arrays["sketches"]
        if index._sketches.shape != (used, index._projection.width) or index._sketches.dtype != np.int8:
            raise ValueError("the saved sketches do not fit the saved rows")
    if settings["tables"] is not None:
        tables = part("tables")
        index._tables = (_frozen if mmap else _tables)(settings, tables)
        ids = tables["store.ids"]
        if ids.size and not 0 <= ids.min() <= ids.max() < used:  # of a mapped file they are all that is read
            raise ValueError("the saved buckets name rows that are not there")
        family = index._tables.family
        if family.L != index.L or family.K > 256 or family.dim != (index.dim if index._projection is None else index._projection.hashed):
            raise ValueError("the saved hash family does not fit the index")
        functions.set_probes(index)
    index._read_only = mmap
    if not mmap:  # arrays that came from a file or a pickle may be read-only
        for holder, names in ((index._map, ("ids", "live")), (index._rows, ("X", "starts", "sizes", "indices", "values")),
                              (index, ("_sketches",))):
            for name in names:
                array = getattr(holder, name, None)
                if array is not None and not array.flags.writeable:
                    setattr(holder, name, array.copy())


def _tables(settings, arrays):
    from mongoose_nb.tables import LSHTables

    return LSHTables.from_state(settings["tables"], arrays)


def _frozen(settings, arrays):
    from mongoose_nb.hashing import family_from_state

    scalars = settings["tables"]
    bits, ids, sizes = check_int("bits", scalars["bits"], low=1, high=26), arrays["store.ids"], arrays["store.sizes"]
    family = {**scalars["family"], **{k[7:]: v for k, v in arrays.items() if k.startswith("family.")}}
    family = family_from_state(family)
    if ids.dtype != np.int32 or ids.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.shape != (family.L, 1 << bits) or sizes.min() < 0:
        raise ValueError("the saved buckets do not fit the saved hash family")
    return FrozenTables(family, bits, read_only(ids), sizes, settings["stats"])


