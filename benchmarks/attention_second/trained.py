"""Errors of sparse, low-rank and Scatterbrain attention on queries, keys and values of trained models, by the entropy of attention."""

import numpy as np

from benchmarks.attention_second.caches import trained
from mongoose_nb.attention import ScatterbrainAttention, full_attention
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer.reversible import to_stream, to_values

# features; support; rounds of hashing and size of a bucket, of which a round reaches two on average, or keys: the last ones, or the best by
# their scores
WAYS = {"low rank": (64, None, 1, 1), "sparse": (0, "lsh", 1, 32), "both": (32, "lsh", 1, 16), "sparse, 8": (0, "lsh", 8, 4),
        "both, 8": (32, "lsh", 8, 2), "last": (0, "local", 1, 64), "32 + last": (32, "local", 1, 32), "best": (0, "best", 1, 64),
        "32 + best": (32, "best", 1, 32)}
# Scatterbrain and its parents, in designs of equal memory: by a round of hashing, by 8 rounds of small buckets, by the last keys
DESIGNS = {"one round of hashing": ("both", "sparse"), "8 rounds of small buckets": ("both, 8", "sparse, 8"),
           "the last keys": ("32 + last", "last")}
WINDOWS = 2


def heads_of(model, window):
    """Queries and values (1, heads, tokens, width) of every layer."""
    run, dtype = Run(0, train=False), np.dtype(model.dtype)
    stream = to_stream(model._body.embedding.forward(window[None, :-1], run)[0])
    pair = stream, stream
    for block in model._body.blocks:
        layer, x = block.attention["heads"], block.attention["norm"].forward(to_values(pair[1], dtype), run)[0]
        yield tuple(np.ascontiguousarray(part.forward(x, run)[0].reshape(1, x.shape[1], layer.n_heads, -1).transpose(0, 2, 1, 3))
                    for part in (layer.qk, layer.v))
        pair = block.forward(pair, run)[0]


def scores(q):
    """(1, heads, tokens, tokens), -inf where a query does not look."""
    k = q / np.linalg.norm(q, axis=3, keepdims=True)
    return np.where(np.tri(q.shape[2], k=-1, dtype=bool), q.astype(np.float64) @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[3]), -np.inf)


def best(z, n):
    """Which keys are the best n of a query."""
    return (z >= np.partition(z, -n, axis=3)[..., -n:][..., :1]) & (z > -np.inf)


def entropy(z):
    """Bits of the exact attention of a query, mean over the second half of the tokens, by head."""
    p = np.exp(z[:, :, 1:] - z[:, :, 1:].max(axis=3, keepdims=True))
    p /= p.sum(axis=3, keepdims=True)
    bits = -(p * np.log2(p, out=np.zeros_like(p), where=p > 0)).sum(axis=3)
    return bits[0, :, bits.shape[2] // 2:].mean(axis=1)


def measure(args):
    """Relative errors of the outputs of every head, means of windows."""
    found = []
    for name, model, _, windows in trained(args):
        rows = []
        for window in windows[:WINDOWS]:
            for layer, (q, v) in enumerate(heads_of(model, window)):
                exact = full_attention(q, v, causal=True)[0]
                errors, z = {}, scores(q)
                for way, (n_features, support, rounds, keys) in WAYS.items():
                    support = best(z, keys) if support == "best" else support
                    out = ScatterbrainAttention(n_features, support, rounds, keys, keys + 1, causal=True).forward(q, v)[0]
                    errors[way] = np.linalg.norm(out - exact, axis=(2, 3)) / np.linalg.norm(exact, axis=(2, 3))
                rows += [{"layer": layer, "head": head, "entropy": float(bits), **{way: float(e[0, head]) for way, e in errors.items()}}
                         for head, bits in enumerate(entropy(z))]
        keys = sorted({(row["layer"], row["head"]) for row in rows})
        same = [[row for row in rows if (row["layer"], row["head"]) == key] for key in keys]
        heads = [{field: float(np.mean([row[field] for row in group])) for field in group[0]} for group in same]
        found.append({"text": name, "heads": sorted(heads, key=lambda head: head["entropy"])})
    return found


def against_parents(found):
    """{design: errors of Scatterbrain over those of its better parent, of all heads}."""
    return {name: [head[both] / min(head[alone], head["low rank"]) for entry in found for head in entry["heads"]]
            for name, (both, alone) in DESIGNS.items()}


def text(found):
    """A table for each text, heads by entropy, and how the designs compare with their parents."""
    parts = ["relative error of the output, causal; heads by the entropy of their attention. At most 64 keys and features of a query:\n"
             "both is Scatterbrain with 32 features, by a round of hashing or by 8 rounds of small buckets; last and best are keys\n"]
    for name, ratios in against_parents(found).items():
        parts[0] += (f"\nsupport by {name}: below both parents in {sum(ratio < 1 for ratio in ratios)} of {len(ratios)} heads, "
                     f"{min(ratios):.2f} to {max(ratios):.2f} times the better one's error")
    for entry in found:
        rows = [f"{int(one['layer']):>5}{int(one['head']):>6}{one['entropy']:>9.2f}" + "".join(f"{one[way]:>11.3f}" for way in WAYS)
                for one in entry["heads"]]
        head = f"{'layer':>5}{'head':>6}{'entropy':>9}" + "".join(f"{way:>11}" for way in WAYS)
        parts.append("\n".join([f"{entry['text']}:", head, *rows]))
    return "\n\n".join(parts)
