"""Perplexity of small trained models with caches that forget, by policy and budget, and how far importance persists."""

import functools
import gzip
import json
import lzma

import numpy as np

from benchmarks.reformer_runs import Runs
from mongoose_nb.attention import KVCache
from mongoose_nb.reformer import ReformerLM

POLICIES = ("window", "random", "heavy_hitters", "scissorhands")
SHARES = {"half": 2, "fifth": 5}
# beside what the digest of the paper says: one token at a time instead of half of the budget, and low scores counted
OTHERS = {"scissorhands, one by one": {"name": "scissorhands", "drop": 0.0},
          "scissorhands, low scores": {"name": "scissorhands", "count": "low"},
          "scissorhands, low, one by one": {"name": "scissorhands", "drop": 0.0, "count": "low"}}


def read(path):
    """(tokens to train, held-out ones): bytes of a text, compressed or not; of documents (.jsonl), titles and texts of 1,000."""
    with {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)(path, "rb") as file:
        data = file.read()
    if ".jsonl" in path.name:
        documents = (json.loads(line) for line in data.splitlines()[:1000])
        data = b"\n\n".join(f"{document['title']}\n{document['text']}".encode("ascii", "replace") for document in documents)
    tokens = np.minimum(np.frombuffer(data, np.uint8), 127).astype(np.int32)
    return tokens[:len(tokens) * 9 // 10], tokens[len(tokens) * 9 // 10:]


def read_windows(model, windows, cache):
    """Bits a token of the second half of every window, and what the caches of the layers say, means of the windows."""
    bits, said = [], {"mass_kept": [], "persistence": [], "important": []}
    for window in windows:
        reader = model.decoder(cache)
        z = reader.read(window[:-1]).astype(np.float64)
        z -= np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)) + z.max(axis=1, keepdims=True)
        bits.append(-z[np.arange(len(z)), window[1:]][len(z) // 2:].mean() / np.log(2))
        stats = [layer.stats() for layer in reader.caches]
        for name, values in said.items():
            values.append([layer[name] for layer in stats])
    return {"bits": [float(value) for value in bits], **{name: np.mean(values, axis=0).tolist() for name, values in said.items()}}


def settings():
    """{name: (policy, divisor of the budget, bits)} of all caches."""
    out = {"all": ("none", None, None)}
    for share, divisor in SHARES.items():
        out |= {f"{policy}, {share}": (policy, divisor, None) for policy in POLICIES}
        out |= {f"{name}, {share}": (policy, divisor, None) for name, policy in OTHERS.items()}
    return out | {"scissorhands, half, 4 bits": ("scissorhands", SHARES["half"], 4)} | {f"all, {n} bits": ("none", None, n) for n in (8, 4)}


def trained(args):
    """(name of the text, model, its last scores, windows of held-out text) of each text. A model is trained for its share of the minutes at
    most, and kept in `work`."""
    for path in args.texts:
        train, test = read(path)
        name, runs = path.parent.name, Runs(args.work, args.minutes / len(args.texts))
        make = functools.partial(ReformerLM, 128, max_length=args.length, width=args.width, n_layers=2, n_heads=4, ff_width=2 * args.width,
                                 attention="full", lr=2e-3, seed=1)
        model, history = runs.train(f"{name}-{args.length}-{args.width}", make, train, steps=args.steps, every=100, validation=test,
                                    batch_size=4, eval_batches=4)
        stride = (len(test) - args.length - 1) // args.windows
        yield name, model, history[-1], [test[i * stride:][:args.length + 1] for i in range(args.windows)]


def measure(args):
    """Score all caches with one model for each text."""
    found = []
    for name, model, last, windows in trained(args):
        scores = {label: read_windows(model, windows, KVCache(policy, None if divisor is None else args.length // divisor, bits))
                  for label, (policy, divisor, bits) in settings().items()}
        found.append({"text": name, "steps": model.step, "length": args.length, "width": args.width, "windows": args.windows,
                      "trained": last["bits"], "scores": scores})
    return found


def differences(entry, base="all"):
    """{name: (bits a token more than with another cache, by default that of all tokens; standard error of that over windows)}."""
    whole = np.array(entry["scores"][base]["bits"])
    gaps = {name: np.array(score["bits"]) - whole for name, score in entry["scores"].items()}
    return {name: (float(gap.mean()), float(gap.std(ddof=1) / len(gap)**0.5)) for name, gap in gaps.items()}


def sentence(found):
    """For the guide."""
    def costs(policy, share):
        values = sorted(2 ** differences(entry)[f"{policy}, {share}"][0] - 1 for entry in found)
        return f"{values[0]:+.1%} to {values[-1]:+.1%}"

    rows = "\n".join(f"| {policy.replace('_', ' ')} | {' | '.join(costs(policy, share) for share in SHARES)} |" for policy in POLICIES)
    return (f"Perplexity of {len(found)} small models of characters, exact attention, {found[0]['length']:,} tokens, beside that with all "
            f"tokens\n([tables](development/attention-second.md#caches-that-forget)):\n\n| policy | half of the tokens | a fifth |\n"
            f"|---|---|---|\n{rows}")


def text(found):
    """A table for each text."""
    parts = []
    for entry in found:
        whole = entry["scores"]["all"]
        rows = [f"{name:<36}{np.mean(whole['bits']) + gap:>8.3f}{100 * (2 ** gap - 1):>+11.1f} %{error:>9.3f}"
                f"{'  '.join(f'{mass:.2f}' for mass in entry['scores'][name]['mass_kept']):>17}"
                for name, (gap, error) in differences(entry).items()]
        parts.append("\n".join([
            f"{entry['text']}: characters, 2 layers of width {entry['width']}, exact attention, {entry['steps']:,} steps, length "
            f"{entry['length']:,};", f"second halves of {entry['windows']} windows of held-out text; error: standard error of the bits' "
            "difference to all tokens;", "mass: attention on what was kept when others were forgotten, by layer",
            f"{'cache':<36}{'bits':>8}{'perplexity':>13}{'error':>9}{'mass':>17}", *rows,
            "with all tokens, of those before the middle that are important behind it, were so before it: "
            f"{', '.join(f'{value:.3f}' for value in whole['persistence'])} by layer;",
            f"important before the middle are {', '.join(f'{value:.3f}' for value in whole['important'])} of all"]))
    return "\n\n".join(parts)
