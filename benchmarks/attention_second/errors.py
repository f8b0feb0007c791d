"""Errors of sparse, low-rank and Scatterbrain attention against exact attention on clustered points, by temperature."""

import numpy as np

from mongoose_nb.attention import ScatterbrainAttention, full_attention
from mongoose_nb.hashing import SimHash

N, WIDTH, CLUSTERS, NOISE, BUDGET, SEEDS = 512, 32, 32, 0.15, 64, 5
# features, and keys of the support: those that share most buckets of 16 tables; None: one round of attention's own hashing
WAYS = {"sparse": (0, BUDGET), "low rank": (BUDGET, 0), "Scatterbrain": (BUDGET // 2, BUDGET // 2), "one round": (BUDGET // 2, None)}


def support_of(x, n_keys, seed):
    """The keys with most collisions with every query, (N, N) bool."""
    codes = SimHash(WIDTH, K=8, L=16, seed=seed).hash(x)
    counts = (codes[:, None] == codes[None]).sum(axis=2)
    out = np.zeros((N, N), bool)
    np.put_along_axis(out, np.argsort(-counts, axis=1, kind="stable")[:, :n_keys], True, axis=1)
    return out


def measure(args):
    """Relative errors of outputs for Gaussian values, means of seeds; at about equal memory, in keys and features of a query."""
    table, memory = [], {name: [] for name in WAYS}
    for beta in (1, 2, 3, 4, 6, 8):
        found = {name: [] for name in WAYS}
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            centres = rng.standard_normal((CLUSTERS, WIDTH))
            centres /= np.linalg.norm(centres, axis=1, keepdims=True)
            x = centres[rng.integers(CLUSTERS, size=N)] + NOISE / np.sqrt(WIDTH) * rng.standard_normal((N, WIDTH))
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            points = x.astype(np.float32)
            x = (np.sqrt(beta * np.sqrt(WIDTH)) * x)[None, None]  # scores are beta times cosines
            v = rng.standard_normal(x.shape)
            exact = full_attention(x, v, x)[0]
            for name, (n_features, n_keys) in WAYS.items():
                support = "lsh" if n_keys is None else support_of(points, n_keys, seed) if n_keys else None
                layer = ScatterbrainAttention(n_features, support, n_hashes=1, bucket_size=BUDGET // 4, seed=seed)
                out = layer.forward(x, v, x)[0]
                found[name].append(float(np.linalg.norm(out - exact) / np.linalg.norm(exact)))
                memory[name].append(layer.support_of(x, x)[0][-1, -1] / N + layer.n_features)
        table.append({"beta": beta, **{name: float(np.mean(values)) for name, values in found.items()}})
    return {"table": table, "memory": {name: float(np.mean(values)) for name, values in memory.items()}}


def text(found):
    """A table."""
    lines = ["relative error of the output on 512 clustered points, by inverse temperature",
             "keys and features of a query: " + ", ".join(f"{name} {value:.0f}" for name, value in found["memory"].items()), "",
             f"{'beta':>4}" + "".join(f"{name:>14}" for name in WAYS)]
    return "\n".join(lines + [f"{row['beta']:>4}" + "".join(f"{row[name]:>14.3f}" for name in WAYS) for row in found["table"]])
