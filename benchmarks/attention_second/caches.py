"""Perplexity of a small trained model with caches that forget, by policy and budget."""

import gzip

import numpy as np

from mongoose_nb.attention import KVCache
from mongoose_nb.reformer import ReformerLM

POLICIES = ("window", "random", "heavy_hitters", "scissorhands")


def read(path):
    """Bytes of a file, compressed or not, as tokens."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.minimum(np.frombuffer(data, np.uint8), 127).astype(np.int32)


def bits(model, windows, cache):
    """Bits a token behind the first fifth of every window."""
    losses = []
    for window in windows:
        z = model.decoder(cache).read(window[:-1]).astype(np.float64)
        z -= np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)) + z.max(axis=1, keepdims=True)
        losses.append(-z[np.arange(len(z)), window[1:]][len(z) // 5:].mean())
    return float(np.mean(losses) / np.log(2))


def measure(args):
    """One model for each text."""
    found = []
    for path in args.texts:
        tokens = read(path)
        cut = len(tokens) * 9 // 10
        model = ReformerLM(128, max_length=args.length, width=args.width, n_layers=2, n_heads=4, ff_width=2 * args.width, attention="full",
                           lr=2e-3, seed=1)
        model.fit(tokens[:cut], batches=args.steps, batch_size=8)
        windows = [tokens[cut + i * 5 * args.length:][:args.length + 1] for i in range(args.windows)]
        scores = {"all": bits(model, windows, KVCache())}
        for share, divisor in (("half", 2), ("fifth", 5)):
            for policy in POLICIES:
                scores[f"{policy}, {share}"] = bits(model, windows, KVCache(policy, budget=args.length // divisor))
        scores["scissorhands, half, 4 bits"] = bits(model, windows, KVCache("scissorhands", budget=args.length // 2, bits=4))
        found.append({"text": path.parent.name, "steps": args.steps, "length": args.length, "bits": scores})
    return found


def text(found):
    """A table for each text."""
    parts = []
    for entry in found:
        whole = entry["bits"]["all"]
        rows = [f"{name:<30}{value:>8.3f}{100 * (2 ** (value - whole) - 1):>12.1f} %" for name, value in entry["bits"].items()]
        parts.append("\n".join([f"{entry['text']}: exact attention, length {entry['length']}, {entry['steps']} steps", "",
                                f"{'cache':<30}{'bits':>8}{'perplexity':>14}", *rows]))
    return "\n\n".join(parts)
