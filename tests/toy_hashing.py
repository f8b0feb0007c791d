"""Hash families short enough to be obviously right, and the same with one thing wrong each."""

import math

import numpy as np


class Grid:
    """The least that a family must offer: cells of a shifted grid on the line. Rows collide with probability 1 - distance / width."""

    def __init__(self, seed, L=100, width=4.0):
        self.width = width
        self.shift = np.random.default_rng(seed).random(L) * width

    def hash(self, X):
        return np.floor((np.asarray(X, np.float64)[:, :1] + self.shift) / self.width).astype(np.int64)

    def collision_probability(self, distance):
        return max(0.0, 1 - distance / self.width)


class Signs:
    """Signs of random projections, with all that a family may offer."""

    dim = 12

    def __init__(self, seed=0, K=1, L=100):
        self.seed, self.K, self.L, self.generation, self.version = seed, K, L, 0, 0
        self.draw()

    n_buckets = property(lambda self: 2**self.K)

    def draw(self):
        self.R = np.random.default_rng([self.seed, self.generation]).standard_normal((self.dim, self.K * self.L))

    def rebuild(self, seed=None):
        self.seed, self.generation = (self.seed, self.generation + 1) if seed is None else (seed, 0)
        self.version += 1
        self.draw()

    def project(self, X):
        total = np.zeros((X.shape[0], self.R.shape[1]))
        for i in range(self.dim):  # in the order of the coordinates, so that a row's sum does not depend on the batch
            total += X[:, i, None] * self.R[i]
        return total

    def hash(self, X):
        X = self.dense(X) if hasattr(X, "tocsr") else np.asarray(X, np.float64)
        bits = (self.project(X) > 0).reshape(len(X), self.L, self.K)
        return bits @ (1 << np.arange(self.K))

    def dense(self, X):
        return X.toarray().astype(np.float64)

    def collision_probability(self, cosine):
        return 1 - math.acos(min(max(cosine, -1.0), 1.0)) / math.pi

    def collision_probability_of(self, x, y):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        return self.collision_probability(x @ y / math.sqrt((x @ x) * (y @ y)))

    def state(self):
        return {"seed": self.seed, "K": self.K, "L": self.L, "generation": self.generation, "version": self.version, "R": self.R.copy()}

    @classmethod
    def from_state(cls, state):
        self = cls.__new__(cls)
        self.__dict__.update(state)
        return self


class Biased(Signs):
    """One function in twenty sees nothing."""

    share = 0.05

    def draw(self):
        super().draw()
        self.R[:, np.random.default_rng([self.seed, self.generation, 1]).random(self.R.shape[1]) < self.share] = 0


class BiasedByRebuild(Biased):
    """Only what is drawn by rebuild without a seed is wrong."""

    share = 0.2

    def draw(self):
        (super() if self.generation else super(Biased, self)).draw()


class AxisAligned(Signs):
    """Signs of single coordinates: right on average over pairs, wrong for any pair."""

    def draw(self):
        rng = np.random.default_rng([self.seed, self.generation])
        self.R = np.eye(self.dim)[rng.integers(self.dim, size=self.K * self.L)].T


class WrongFormula(Signs):
    def collision_probability(self, cosine):
        return (1 + cosine) / 2


class WrongFormulaOfTwo(Signs):
    def collision_probability_of(self, x, y):
        return min(1.0, super().collision_probability_of(x, y) + 0.03)


class Falling(Signs):
    def collision_probability(self, cosine):
        return 1 - super().collision_probability(cosine)


class AboveOne(Signs):
    def collision_probability(self, cosine):
        return 1.1 * super().collision_probability(cosine)


class EqualColumns(Signs):
    def draw(self):
        super().draw()
        self.R[:] = self.R[:, :1]


class ColumnsInPairs(Signs):
    def draw(self):
        super().draw()
        self.R[:, 1::2] = self.R[:, ::2]


class IgnoresSeed(Signs):
    def draw(self):
        self.R = np.random.default_rng(self.generation).standard_normal((self.dim, self.K * self.L))


class NotDeterministic(Signs):
    def draw(self):
        self.R = np.random.standard_normal((self.dim, self.K * self.L))


class DependsOnTheProcess(Signs):
    def draw(self):
        self.R = np.random.default_rng([self.seed, hash("a word") % 2**32]).standard_normal((self.dim, self.K * self.L))


class BatchDependent(Signs):
    def project(self, X):
        return super().project(X - X.mean(axis=0) if len(X) else X)


class OrderDependent(Signs):
    def project(self, X):
        return super().project(X) * np.where(np.arange(len(X)) % 7 == 6, -1, 1)[:, None]


class CsrDiffers(Signs):
    def dense(self, X):
        X = X.copy()
        X.data[X.indptr[1:][np.diff(X.indptr) > 0] - 1] = 0  # forgets the last entry of every row
        return super().dense(X)


class RefusesCsr(Signs):
    def dense(self, X):
        raise TypeError("dense rows only")


class ThreadDependent(Signs):
    def project(self, X):
        import numba

        total = super().project(X)
        return -total if numba.get_num_threads() > 1 and len(X) > 100 else total


class WritesToItsInput(Signs):
    def hash(self, X):
        if isinstance(X, np.ndarray):
            X -= 0.25
        return super().hash(X)


class SharesItsState(Signs):
    def state(self):
        return {**super().state(), "R": self.R}


class ForgetsTheGeneration(Signs):
    @classmethod
    def from_state(cls, state):
        return super().from_state({**state, "version": 7})


class LosesFunctions(Signs):
    def __getstate__(self):
        return {**self.__dict__, "R": np.roll(self.R, 1)}


class RebuildsNothing(Signs):
    def rebuild(self, seed=None):
        if seed is not None:
            self.seed = seed
            self.draw()
        self.version += 1


class RebuildsUncounted(Signs):
    def rebuild(self, seed=None):
        super().rebuild(seed)
        self.version -= 1


class CodesTooLarge(Signs):
    def hash(self, X):
        return super().hash(X) + 1


class FloatCodes(Signs):
    def hash(self, X):
        return super().hash(X).astype(np.float64)


class Transposed(Signs):
    def hash(self, X):
        return super().hash(X).T
