"""How far attention depends on later tokens: a prefix alone beside the same prefix inside a text, with and without `strict`."""

import numba
import numpy as np

from benchmarks.charlm import read
from mongoose_nb.attention import LSHAttention
from mongoose_nb.attention.rotations import count_buckets
from mongoose_nb.nn import Linear
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer import ReformerLM, TextTask
from mongoose_nb.reformer.generation import GENERATION_STEP
from mongoose_nb.reformer.head import logits
from mongoose_nb.reformer.text import Characters

MODES = {"default": False, "strict": True}


def layer_differences(length, strict):
    """Largest and mean difference of the outputs of half of the tokens, alone and followed by the other half; outputs have variance 1."""
    qk, v = np.random.default_rng(length).standard_normal((2, 1, 4, length, 32))
    layer = LSHAttention(2, 64, True, exact_below=0, strict=strict, n_buckets=count_buckets(length, 64) if strict else None)
    half = length // 2
    gap = np.abs(layer.forward(qk, v)[0][:, :, :half] - layer.forward(qk[:, :, :half], v[:, :, :half])[0])
    return float(gap.max()), float(gap.mean())


def score(model, tokens, places):
    """Bits of the tokens at some places of windows (n, length), each predicted from its prefix inside the window and alone.

    Both by the products of training: those of `logits` have the same bits in a strict model.
    """
    run = Run(GENERATION_STEP, train=False)
    h = model._body.forward(tokens, run)[0]
    weights, bias = (model.parameters()[name].value for name in ("head.weights", "head.bias"))
    bits, gaps, moved = [], [], []
    for t in places:
        inside, alone = (logits(np.ascontiguousarray(rows[:, -1]), weights, bias)
                         for rows in (h[:, :t], model._body.forward(tokens[:, :t], run)[0]))
        for z in (inside, alone):
            z -= z.max(axis=1, keepdims=True)
            z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
        rows = np.arange(len(tokens))
        bits.append([-z[rows, tokens[:, t]].mean() / np.log(2) for z in (inside, alone)])
        gaps.append(np.abs(np.exp(inside) - np.exp(alone)).max())
        moved.append((inside.argmax(axis=1) != alone.argmax(axis=1)).mean())
    return [*np.mean(bits, axis=0).tolist(), float(np.max(gaps)), float(np.mean(moved))]


def run(args):
    """Measure; see ``python -m benchmarks causality --help``."""
    lines = ["one layer, 4 heads of width 32, 2 rounds, buckets of 64; random queries and values of variance 1; half of the tokens alone",
             "and followed by the other half: differences of their outputs",
             f"{'tokens':>8}" + "".join(f"{f'{mode}: largest':>20}{'mean':>10}" for mode in MODES)]
    result = {"layer": {}, "model": {}}
    for length in (512, 2048, 8192):
        found = result["layer"][length] = {mode: layer_differences(length, strict) for mode, strict in MODES.items()}
        lines.append(f"{length:8,}" + "".join(f"{a:20.1e}{b:10.1e}" for a, b in found.values()))
    train, test = read(args.data, args.characters) if args.data else _topics()
    characters = Characters.of(train)
    tasks = [TextTask(characters.encode(text), len(characters), args.length) for text in (train, test)]
    lines += ["", f"language models on {len(train):,} characters, 2 layers, width 128, 4 heads, 4 rounds, buckets of 32, length "
              f"{args.length},", f"{args.steps} steps of 8 sequences, {numba.get_num_threads()} threads; bits per character of held-out "
              "text; 'alone': every character is", "predicted from its prefix alone",
              f"{'':10}{'evaluate':>10}{'in the text':>13}{'alone':>8}{'largest change of a probability':>33}{'other best character':>22}"]
    windows = tasks[1].batch(0, 8, train=False)[0][:, :args.length]
    places = np.linspace(args.length // 8, args.length - 1, args.places).astype(int)
    for mode, strict in MODES.items():
        model = ReformerLM(len(characters), max_length=args.length, width=128, n_layers=2, n_heads=4, ff_width=512, n_hashes=4,
                           bucket_size=32, clip_norm=1.0, lr=3e-3, lr_schedule=Linear(end=1.0, warmup=100), strict=strict)
        model.fit(tasks[0], batches=args.steps, batch_size=8)
        bits = model.evaluate(tasks[1], batches=16, batch_size=8)["bits"]
        found = result["model"][mode] = [bits, *score(model, windows, places)]
        lines.append(f"{mode:10}{found[0]:10.3f}{found[1]:13.3f}{found[2]:8.3f}{found[3]:33.4f}{found[4]:22.1%}")
    return result, "\n".join(lines)


def _topics():
    """The text of Python's own help."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    return text[: len(text) * 9 // 10], text[len(text) * 9 // 10:]

