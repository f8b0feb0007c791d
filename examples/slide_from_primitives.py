"""SLIDE from the primitives: a wide softmax layer trained with hash tables, NumPy and nothing else.

Chen et al., "SLIDE: In defense of smart algorithms over hardware acceleration for large-scale deep learning systems"
(MLSys 2020), in plain Python. One input row at a time needs only a few of the 4,271 outputs:

    x -> h = relu(x W1 + b1) -> hash h -> look up the buckets -> active outputs -> softmax over these alone
                                                                      |
             rehash every 50 steps  <-  Adam on the touched rows  <-  gradient

The output rows live in `LSHTables` under the codes of `SimHash`. `mongoose_nb.nn` does the same with compiled kernels, many
times as fast, and adds what SLIDE lacks: uniform candidates with a correction, centring, learned functions, other schedules.

    python examples/slide_from_primitives.py --epochs 1
"""

import argparse
import time

import numpy as np

from mongoose_nb import LSHTables, SimHash, data, metrics

HIDDEN, BATCH, RATE = 128, 128, 2e-3
K, L = 6, 20  # hashes per table, tables: a bucket of the 2^6 = 64 holds about 4,271 / 64 = 67 outputs
MOST_ACTIVE = 400  # outputs computed for a row, at most
REHASH_EVERY = 50


class LazyAdam:
    """Adam that reads and writes only the rows that a step touched."""

    def __init__(self, weights, rate=RATE, beta1=0.9, beta2=0.999, eps=1e-8):
        self.weights, self.rate, self.beta1, self.beta2, self.eps = weights, rate, beta1, beta2, eps
        self.mean, self.square = np.zeros_like(weights), np.zeros_like(weights)
        self.step = 0

    def update(self, rows, gradient):
        """One step. `rows` are distinct ids (m,), `gradient` has one row for each."""
        self.step += 1
        self.mean[rows] = mean = self.beta1 * self.mean[rows] + (1 - self.beta1) * gradient
        self.square[rows] = square = self.beta2 * self.square[rows] + (1 - self.beta2) * gradient**2
        rate = self.rate * np.sqrt(1 - self.beta2**self.step) / (1 - self.beta1**self.step)
        self.weights[rows] -= rate * mean / (np.sqrt(square) + self.eps)


def hidden_layer(X, W1, b1):
    """ReLU activations (n, HIDDEN) of sparse rows."""
    return np.maximum(X @ W1 + b1, 0.0)


def as_rows(W2, b2):
    """What is hashed of an output: its weights, and its bias as one more coordinate."""
    return np.hstack([W2, b2])


def as_queries(h):
    """Activations with a one, so that the inner product with `as_rows` is the logit."""
    return np.hstack([h, np.ones((len(h), 1), np.float32)])


def active_outputs(labels, candidates, rng):
    """The labels first, then retrieved outputs that are not labels, at most MOST_ACTIVE in all."""
    retrieved = np.setdiff1d(candidates, labels)
    if len(retrieved) > MOST_ACTIVE - len(labels):
        retrieved = rng.choice(retrieved, MOST_ACTIVE - len(labels), replace=False)
    return np.concatenate([labels, retrieved])


def train_step(X, Y, layers, adams, tables, rng):
    """Forward, backward and update for a batch; returns the mean loss and the mean number of active outputs."""
    W1, b1, W2, b2 = layers
    h = hidden_layer(X, W1, b1)
    indptr, found = tables.candidates(as_queries(h))  # the candidates of row i: found[indptr[i]:indptr[i + 1]]

    dh = np.zeros_like(h)
    sets, deltas, loss = [], [], 0.0
    for i in range(len(h)):
        labels = Y.indices[Y.indptr[i]:Y.indptr[i + 1]]
        active = active_outputs(labels, found[indptr[i]:indptr[i + 1]], rng)
        rows = W2[active]
        logits = rows @ h[i] + b2[active, 0]
        softmax = np.exp(logits - logits.max())
        softmax /= softmax.sum()
        # cross-entropy against the uniform distribution over the labels
        loss -= np.log(softmax[:len(labels)] + 1e-30).mean()
        delta = softmax / len(h)
        delta[:len(labels)] -= 1 / (len(labels) * len(h))
        dh[i] = delta @ rows
        sets.append(active)
        deltas.append(delta)

    # the output layer: one Adam step for each row that was active for some sample
    rows, place = np.unique(np.concatenate(sets), return_inverse=True)
    sample = np.repeat(np.arange(len(h)), [len(active) for active in sets])
    by_row = np.zeros((len(rows), len(h)), np.float32)
    by_row[place, sample] = np.concatenate(deltas)
    adams[2].update(rows, by_row @ h)
    adams[3].update(rows, by_row.sum(axis=1, keepdims=True))

    # the input layer: only the rows of features that occur in the batch
    dh *= h > 0
    features = np.unique(X.indices)
    adams[0].update(features, X.T[features] @ dh)
    adams[1].update(np.array([0]), dh.sum(axis=0, keepdims=True))
    return loss / len(h), len(sample) / len(h)


def precision(scores_of, X, Y, layers):
    """P@1 when `scores_of(h)` ranks the outputs of a block of rows."""
    best = []
    for lo in range(0, X.shape[0], 500):
        h = hidden_layer(X[lo:lo + 500], layers[0], layers[1])
        best.append(np.argmax(scores_of(h), axis=1)[:, None])
    return metrics.precision_at_k(Y, np.concatenate(best), k=1)[0]


def main():
    """Train on the demo data, whose rows all have labels, and compare the retrieved answer with the exact one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=10_000, help="training rows, 10,000 at most")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    X, Y, X_test, Y_test = data.load_demo()
    X, Y = X[:args.rows], Y[:args.rows]
    n_features, n_outputs = X.shape[1], Y.shape[1]
    W1 = 0.1 * rng.standard_normal((n_features, HIDDEN), dtype=np.float32)
    W2 = rng.standard_normal((n_outputs, HIDDEN), dtype=np.float32) / np.float32(np.sqrt(HIDDEN))
    layers = W1, np.zeros((1, HIDDEN), np.float32), W2, np.zeros((n_outputs, 1), np.float32)
    adams = [LazyAdam(weights) for weights in layers]
    tables = LSHTables(SimHash(HIDDEN + 1, K, L, seed=0), capacity=128, policy="reservoir")

    step, start = 0, time.perf_counter()
    for epoch in range(args.epochs):
        order = rng.permutation(X.shape[0])
        figures = []
        for lo in range(0, len(order), BATCH):
            if step % REHASH_EVERY == 0:  # the rows have moved since: hash them again with the same functions
                tables.build(as_rows(layers[2], layers[3]))
            batch = order[lo:lo + BATCH]
            figures.append(train_step(X[batch], Y[batch], layers, adams, tables, rng))
            step += 1
        loss, active = np.mean(figures, axis=0)
        print(f"epoch {epoch + 1}: loss {loss:.3f}, {active:.0f} of {n_outputs:,} outputs active per row, "
              f"{time.perf_counter() - start:.1f} s")

    def exact(h):
        return h @ layers[2].T + layers[3].T

    def retrieved(h):
        scores = np.full((len(h), n_outputs), -np.inf, np.float32)
        indptr, found = tables.candidates(as_queries(h))
        rows = np.repeat(np.arange(len(h)), np.diff(indptr))
        scores[rows, found] = np.einsum("nd,nd->n", h[rows], layers[2][found]) + layers[3][found, 0]
        return scores

    tables.build(as_rows(layers[2], layers[3]))
    print(f"P@1 over all outputs: {precision(exact, X_test, Y_test, layers):.4f}")
    print(f"P@1 over what the tables retrieve: {precision(retrieved, X_test, Y_test, layers):.4f}")


if __name__ == "__main__":
    main()
