"""LSHIndex behind the face of hnswlib, for code that was written for it: labels come first, Euclidean distances are squared."""

import numpy as np

from mongoose_nb.core.validation import check_choice, check_int
from mongoose_nb.search.index import LSHIndex


class HnswlibLike:
    """Much of ``hnswlib.Index``: `init_index`, `add_items`, `knn_query`, `mark_deleted`, `get_items`, `get_ids_list`, `save_index`,
    `load_index`.

    Parameters
    ----------
    space : {"l2", "ip", "cosine"}
        Squared Euclidean distance, ``1 - q . x``, ``1 - cos``.
    dim : int
    **options
        See `LSHIndex`.
    """

    def __init__(self, space, dim, **options):
        self.space, self.dim = check_choice("space", space, ("l2", "ip", "cosine")), dim
        self._options = options
        self.index = LSHIndex(space, dim, **options)

    def init_index(self, max_elements, M=16, ef_construction=200, random_seed=100, allow_replace_deleted=False):
        """Start anew. Only the seed has a meaning here: an index grows as it needs to, and places of deleted rows are used again."""
        self.index = LSHIndex(self.space, self.dim, **{"seed": random_seed, **self._options})

    def set_ef(self, ef):
        """Probes per table, one for every eight of `ef`: larger finds more and takes longer."""
        self.index.probes = max(1, check_int("ef", ef, low=1) // 8)

    def add_items(self, data, ids=None, num_threads=-1, replace_deleted=False):
        """Add rows (n, dim); a row whose id is there already takes its place."""
        if ids is None:
            self.index.add(data)
            return
        data, ids = np.atleast_2d(np.asarray(data)), np.atleast_1d(np.asarray(ids))
        there = np.array([int(i) in self.index for i in ids], bool)
        self.index.update(ids[there], data[there])
        self.index.add(data[~there], ids[~there])

    def knn_query(self, data, k=1, num_threads=-1, filter=None):
        """(labels, distances), (n, k). RuntimeError where fewer than k were found, as hnswlib raises it.

        `filter`, a function of a label, is applied to more and more neighbours until k pass it.
        """
        wanted = k
        while True:
            ids, distances = self.index.query(data, wanted, exact=wanted >= len(self.index),
                                              n_threads=None if num_threads < 1 else num_threads)
            good = ids >= 0
            if filter is not None:
                good &= np.array([[bool(filter(i)) for i in row] for row in ids.tolist()]).reshape(ids.shape)
            if (good.sum(axis=1) >= k).all():
                break
            if wanted >= len(self.index):
                raise RuntimeError(f"Cannot return the results in a contiguous 2D array: fewer than k={k} neighbours; the index has "
                                   f"{len(self.index)} rows")
            wanted = min(4 * wanted, len(self.index))
        first = np.argsort(~good, axis=1, kind="stable")[:, :k]
        ids, distances = np.take_along_axis(ids, first, axis=1), np.take_along_axis(distances, first, axis=1)
        if self.space == "l2":
            distances = distances * distances
        return ids.astype(np.uint64), distances + np.float32(1) if self.space == "ip" else distances

    def mark_deleted(self, label):
        """Remove a row."""
        try:
            self.index.remove([label])
        except KeyError:
            raise RuntimeError("Label not found") from None

    def get_items(self, ids):
        """Rows (n, dim)."""
        return self.index.get(ids)

    def get_ids_list(self):
        """All labels."""
        return self.index.ids.tolist()

    def get_current_count(self):
        """Rows in the index."""
        return len(self.index)

    def save_index(self, path):
        """Write to a file; see `LSHIndex.save`."""
        self.index.save(path)

    def load_index(self, path, max_elements=0):
        """Read it again."""
        self.index = LSHIndex.load(path)
