"""Matrix factorisation and neural collaborative filtering from pairs (user, item), trained by Bayesian personalised ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.compress import HashedArray, make_compression
from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.streams import stream
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.base import Run, named
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.embedding import Embedding
from mongoose_nb.nn.layers.gradients import apply_gradients
from mongoose_nb.nn.training.optimizers import make_optimizer
from mongoose_nb.recommend.click_model import check_widths
from mongoose_nb.sklearn.base import BaseEstimator, NotFittedError, as_seed, threads

#: rows of scores that are held at once
BLOCK = 1024
#: largest id
MOST = 2**31 - 2
#: rows that a table may have for ids with gaps: so many, and more for more ids
WITH_GAPS, ROWS_AN_ID = 1 << 22, 1000


class MatrixFactorization(BaseEstimator):
    """Score of a user and an item: the inner product of their embeddings, or that with a perceptron beside it (NeuMF).

    It is trained on pairs (user, item liked) against items drawn at random, by Bayesian personalised ranking (Rendle et al., UAI 2009).

    Parameters
    ----------
    embedding_dim : int
    hidden : sequence of int
        Widths of a perceptron over the two embeddings, whose output is added to the inner product (He et al., WWW 2017); none for matrix
        factorisation.
    compress : float, str or compress.Compress, optional
        Keep the embeddings of items in a hashed array.
    compress_users : bool
        Whether those of users are in the array, too.
    negatives : int
        Items drawn for each pair.
    penalty : float
        Factor of the squared norm of the embeddings in the loss.
    optimizer : str or nn.Optimizer
    lr : float, optional
    epochs, batch_size : int
    init_std : float
    random_state : int, optional
    n_jobs : int, optional

    Attributes
    ----------
    n_users_, n_items_ : int
    history_ : list of float
    """

    def __init__(self, embedding_dim: int = 32, *, hidden: Sequence[int] = (), compress: Any = None, compress_users: bool = False,
                 negatives: int = 1, penalty: float = 1e-6, optimizer: Any = "adam", lr: float | None = None, epochs: int = 10,
                 batch_size: int = 1024, init_std: float = 0.1, random_state: Any = None, n_jobs: int | None = None) -> None:
        self.embedding_dim = embedding_dim
        self.hidden = hidden
        self.compress = compress
        self.compress_users = compress_users
        self.negatives = negatives
        self.penalty = penalty
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.init_std = init_std
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ building

    def build(self, n_users: int, n_items: int, array: HashedArray | None = None) -> MatrixFactorization:
        """Make the parameters, untrained.

        Parameters
        ----------
        n_users, n_items : int
        array : HashedArray, optional
            Of the items, where it is known already.

        Returns
        -------
        MatrixFactorization
            Itself.
        """
        widths = check_widths(self.hidden)
        check_number("penalty", self.penalty, low=0.0)
        width, seed = check_int("embedding_dim", self.embedding_dim, low=1), as_seed(self.random_state)
        std = check_number("init_std", self.init_std, low=0, open_low=True)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0xFAC7])))
        compress = make_compression(self.compress)
        if compress is not None and array is None:
            array = compress.array([(n_items, width)] + [(n_users, width)] * self.compress_users, init_std=std, seed=seed)
        self.array_ = array
        self.items_ = Embedding(width, n_items, compress=compress, array=array, init_std=std).build(1, rng)
        own = self.compress_users and compress is not None
        shared = {"compress": compress, "array": array} if own else {}
        self.users_ = Embedding(width, n_users, init_std=std, **shared).build(1, rng)
        self.hidden_, inputs = [], 2 * width
        for units in widths:
            self.hidden_.append(Dense(units, "relu").build(inputs, rng))
            inputs = units
        self.top_ = Dense(1, "identity", use_bias=False, init="glorot").build(inputs, rng) if self.hidden_ else None
        self.optimizer_ = make_optimizer(self.optimizer, self.lr)
        self.n_users_, self.n_items_, self.step_, self.history_ = n_users, n_items, 0, []
        self._parameters = self._named(self.users_.parameters(), self.items_.parameters())
        for parameter in self._parameters.values():
            parameter.attach(self.optimizer_)
        return self

    def _named(self, users, items):
        dense = [(f"hidden{i}", layer.parameters()) for i, layer in enumerate(self.hidden_)]
        top = [] if self.top_ is None else [("top", self.top_.parameters())]
        return named([("users", users), ("items", items), *dense, *top])

    def parameters(self) -> dict[str, Parameter]:
        """The trained arrays by name; a shared array comes under both names."""
        return self._parameters

    # ------------------------------------------------------------------ training

    def fit(self, users: Any, items: Any, *, n_users: int | None = None, n_items: int | None = None) -> MatrixFactorization:
        """Train on pairs (user, item liked).

        Parameters
        ----------
        users, items : (n,) arrays of int
            Ids from 0 to n - 1, such as ``np.unique(..., return_inverse=True)[1]``: a table has a row for every id up to the largest. Ids
            that would take far more rows than there are ids are refused.
        n_users, n_items : int, optional
            One more than the largest id by default. Where it is given, all gaps among the ids are taken.

        Returns
        -------
        MatrixFactorization
            Itself.
        """
        for name, n in (("n_users", n_users), ("n_items", n_items)):
            if n is not None:
                check_int(name, n, low=1)
        users, items = _pairs(users, items, n_users, n_items)
        if not len(users):
            raise ValueError("there are no pairs: users and items are empty")
        epochs = check_int("epochs", self.epochs, low=1)
        compress = make_compression(self.compress)
        full = compress is not None and not self.compress_users
        _check_gaps("users", users, n_users, compress if self.compress_users else None,
                    "; `compress` is for items, and with compress_users=True for users, too" if full else "")
        _check_gaps("items", items, n_items, compress, "")
        self.build(n_users or int(users.max()) + 1, n_items or int(items.max()) + 1)
        for _ in range(epochs):
            self.partial_fit(users, items)
        return self

    def partial_fit(self, users: Any, items: Any) -> MatrixFactorization:
        """One more pass over pairs of known users and items.

        Parameters
        ----------
        users, items : (n,) arrays of int

        Returns
        -------
        MatrixFactorization
            Itself.
        """
        if not hasattr(self, "users_"):
            raise NotFittedError("this MatrixFactorization is not built yet: call fit or build first")
        users, items = _pairs(users, items, self.n_users_, self.n_items_)
        seed, epoch = as_seed(self.random_state), len(self.history_)
        rng = stream(seed, "order of rows", epoch)
        order, batch = rng.permutation(len(users)), check_int("batch_size", self.batch_size, low=1)
        negatives = check_int("negatives", self.negatives, low=1)
        total = 0.0
        with threads(self.n_jobs), compute_threads(4 * batch * negatives * self.embedding_dim):
            for lo in range(0, len(order), batch):
                rows = np.repeat(order[lo:lo + batch], negatives)
                total += self.train_step(users[rows], items[rows], rng.integers(0, self.n_items_, len(rows))) * (len(rows) // negatives)
        self.history_.append(total / max(1, len(order)))
        return self

    def train_step(self, users: np.ndarray, liked: np.ndarray, others: np.ndarray) -> float:
        """One step of the optimiser: items that are liked against others.

        Parameters
        ----------
        users, liked, others : (n,) int64

        Returns
        -------
        float
            The mean loss.
        """
        run, n = Run(self.step_), len(users)
        U, cache_u = self.users_.forward(users[:, None], run)
        V, cache_i = self.items_.forward(np.concatenate([liked, others])[:, None], run)
        u, both = U[:, 0], V[:, 0]
        scores, caches = self._scores(np.concatenate([u, u]), both, run)
        x = scores[:n] - scores[n:]
        if not np.isfinite(x).all():
            raise FloatingPointError(f"the scores of step {self.step_} are not finite; the weights are as before: lower the learning rate "
                                     f"(now {self.optimizer_.lr:g})")
        g = (-1 / (1 + np.exp(np.clip(x, -30, 30))) / n).astype(np.float32)
        penalty = np.float32(self.penalty / n)
        gu, gi, dense = self._gradients(np.concatenate([u, u]), both, np.concatenate([g, -g]), caches)
        gu = gu[:n] + gu[n:] + penalty * u
        gi = gi + penalty * both
        users_part = self.users_.backward(gu[:, None], cache_u)[1]
        items_part = self.items_.backward(gi[:, None], cache_i)[1]
        if self.array_ is not None and self.users_.view is not None:  # one array, one step
            items_part["weights"].join(users_part.pop("weights"))
        apply_gradients(self._parameters, {**named([("users", users_part), ("items", items_part)]), **dense}, self.optimizer_, self.step_)
        self.step_ += 1
        return float(np.logaddexp(0, -x).mean())

    def _scores(self, u, v, run):
        scores, caches = np.einsum("nd,nd->n", u, v), []
        if self.hidden_:
            x = np.concatenate([u, v], axis=1)
            for layer in [*self.hidden_, self.top_]:
                x, cache = layer.forward(x, run)
                caches.append(cache)
            scores = scores + x[:, 0]
        return scores, caches

    def _gradients(self, u, v, g, caches):
        gu, gv, parts = g[:, None] * v, g[:, None] * u, []
        if self.hidden_:
            x, layers = g[:, None], [*self.hidden_, self.top_]
            names = [f"hidden{i}" for i in range(len(self.hidden_))] + ["top"]
            for layer, cache, name in zip(layers[::-1], caches[::-1], names[::-1]):
                x, gradients = layer.backward(x, cache)
                parts.append((name, gradients))
            width = u.shape[1]
            gu, gv = gu + x[:, :width], gv + x[:, width:]
        return gu, gv, named(parts)

    # ------------------------------------------------------------------ prediction

    def scores(self, users: Any) -> np.ndarray:
        """Scores of all items for some users, (n, n_items) float32."""
        if not hasattr(self, "users_"):
            raise NotFittedError("this MatrixFactorization is not fitted yet: call fit first")
        users, run = _ids("users", users, self.n_users_), Run(0, train=False)
        U = self.users_.forward(users[:, None], run)[0][:, 0]
        V = self.items_.forward(np.arange(self.n_items_)[:, None], run)[0][:, 0]
        if not self.hidden_:
            return U @ V.T
        return np.stack([self._scores(np.broadcast_to(u, V.shape), V, run)[0] for u in U]) if len(U) else np.zeros((0, len(V)), np.float32)

    def predict_topk(self, users: Any, k: int = 10, *, exclude: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """The best k items of every user.

        Parameters
        ----------
        users : (n,) array of int
        k : int
        exclude : (n, n_items) CSR matrix, optional
            Items to leave out, such as those that a user has seen.

        Returns
        -------
        ids : (n, k) int64
        scores : (n, k) float32
            -inf where fewer than k are left.
        """
        if not hasattr(self, "users_"):
            raise NotFittedError("this MatrixFactorization is not fitted yet: call fit first")
        users = _ids("users", users, self.n_users_)
        if exclude is not None:
            exclude = _matrix("exclude", exclude, len(users), self.n_items_)
        k = min(check_int("k", k, low=1), self.n_items_)
        ids, best = np.empty((len(users), k), np.int64), np.empty((len(users), k), np.float32)
        for lo in range(0, len(users), BLOCK):
            part = slice(lo, min(len(users), lo + BLOCK))
            scores = self.scores(users[part])
            if exclude is not None:
                seen = exclude[part].tocoo()
                scores[seen.row, seen.col] = -np.inf
            ids[part] = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            best[part] = np.take_along_axis(scores, ids[part], 1)
        return ids, best

    def evaluate(self, liked: Any, *, exclude: Any = None, k: int = 20) -> dict[str, float]:
        """NDCG@k and recall@k over the users who like an item of a test set.

        Parameters
        ----------
        liked : (n_users, n_items) CSR matrix
            Of the test set.
        exclude : (n_users, n_items) CSR matrix, optional
            Items to leave out: those of the training set.
        k : int

        Returns
        -------
        dict of str to float
        """
        from mongoose_nb.metrics import ndcg_at_k, recall_at_k

        if not hasattr(self, "users_"):
            raise NotFittedError("this MatrixFactorization is not fitted yet: call fit first")
        liked = _matrix("liked", liked, self.n_users_, self.n_items_)
        if exclude is not None:
            exclude = _matrix("exclude", exclude, self.n_users_, self.n_items_)
        users = np.flatnonzero(np.diff(liked.indptr))
        if not len(users):
            raise ValueError("liked has no entries: no user likes an item of the test set")
        ids, _ = self.predict_topk(users, k, exclude=None if exclude is None else exclude[users])
        return {f"NDCG@{k}": float(ndcg_at_k(liked[users], ids, k)[-1]), f"recall@{k}": float(recall_at_k(liked[users], ids, k)[-1])}


def _pairs(users, items, n_users, n_items):
    users, items = _ids("users", users, n_users), _ids("items", items, n_items)
    if len(users) != len(items):
        raise ValueError(f"users and items must be of one length; got {len(users)} and {len(items)}")
    return users, items


def _check_gaps(name, ids, n, compress, more):
    """Refuse ids with gaps for which a table would have to be very large."""
    rows = int(ids.max()) + 1
    kept = 0 if compress is not None and compress.ratio is None else rows / (1.0 if compress is None else compress.ratio)
    if n is not None or kept <= WITH_GAPS:
        return
    different = len(np.unique(ids))
    if kept > ROWS_AN_ID * different:
        raise ValueError(f"{name} are {different:,} ids from {ids.min()} to {ids.max()}, and a table would have {rows:,} rows: ids must be "
                         f"0 to n - 1; number {name} with np.unique({name}, return_inverse=True)[1], or give n_{name}= where so many rows "
                         f"are meant{more}")


def _matrix(name, value, rows, columns):
    import scipy.sparse as sp

    value = sp.csr_matrix(value)
    if value.shape != (rows, columns):
        raise ValueError(f"{name} must have a row for each user and a column for each item, ({rows}, {columns}); got {value.shape}")
    return value


def _ids(name, value, n):
    ids = np.asarray(value)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" and ids.size:
        raise TypeError(f"{name} must be a vector of integer ids; got {ids.dtype} of shape {ids.shape}")
    most = MOST if n is None else n - 1
    wrong = ids[(ids < 0) | (ids > most)] if ids.size else ids
    if len(wrong):
        raise ValueError(f"{name} must lie in 0 to {most}; got {wrong[0]}: number {name} from 0 on, for instance with "
                         "np.unique(..., return_inverse=True)")
    return ids.astype(np.int64)
