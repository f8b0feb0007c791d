"""Tokens a second of generation with a cache and without one, beside a PyTorch model of the same size, on one thread."""

import json
import pathlib
import subprocess
import time

import numba
import numpy as np

from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer import ReformerLM

PROMPT = NEW = 1000
ROUNDS = 5
TOKENS, WIDTH, LAYERS, HEADS, FF = 128, 256, 4, 4, 1024


def measure(args):
    """1,000 tokens after a prompt of 1,000 with a cache; without one, the time of a token at three lengths, which gives the same total.

    Times are those of the processor, which other programs of a busy machine disturb less, and medians of rounds in which all systems have
    their turn.
    """
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    tokens = np.random.default_rng(0).integers(TOKENS, size=PROMPT + NEW)
    models = {name: ReformerLM(TOKENS, max_length=PROMPT + NEW, width=WIDTH, n_layers=LAYERS, n_heads=HEADS, ff_width=FF, n_hashes=2,
                               **settings)
              for name, settings in {"full": {"attention": "full"}, "strict hashing": {"attention": "lsh", "strict": True}}.items()}
    names = [*models, *(() if args.torch is None else ("PyTorch",))]
    rounds = {name: [] for name in names}
    for turn in range(ROUNDS + 1):  # the first one warms up
        for name in names:
            pair = torch_seconds(args.torch) if name == "PyTorch" else our_seconds(models[name], tokens)
            rounds[name] += [pair] * (turn > 0)
    found = {}
    for name, pairs in rounds.items():
        prompt, new = np.median(pairs, axis=0).tolist()
        found[name] = {"prompt": prompt, "cached": prompt + new, "per_second": (NEW - 1) / new}
    for name, model in models.items():
        found[name]["recomputed"] = all_lengths(lambda length, model=model: model.generate(tokens[:length], 1))
        training = all_lengths(lambda length, model=model: model._body.forward(tokens[None, :length], Run(0, train=False)))
        found[name] |= {"training": training, "ratio": training / found[name]["cached"]}
    numba.set_num_threads(threads)
    return found


def our_seconds(model, tokens):
    """Processor seconds for the prompt, and for the new tokens but the first."""
    start = time.process_time()
    model.generate(tokens[:PROMPT], 1, cache=True)
    middle = time.process_time()
    model.generate(tokens[:PROMPT], NEW, cache=True)
    return middle - start, time.process_time() - middle - (middle - start)


def torch_seconds(python):
    """The same of PyTorch."""
    numbers = [PROMPT, NEW, WIDTH, LAYERS, HEADS, FF, TOKENS, 1]
    script = pathlib.Path(__file__).with_name("torch_generation.py")
    said = json.loads(subprocess.run([python, script, *map(str, numbers)], check=True, capture_output=True, text=True).stdout)
    return said["prompt"], said["new"]


def seconds(function, times):
    """Median processor seconds of a call."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def all_lengths(function):
    """Seconds of calls for all lengths from PROMPT on, from those at three lengths by Simpson's rule."""
    first, middle, last = (seconds(lambda length=length: function(length), 3) for length in (PROMPT, PROMPT + NEW // 2, PROMPT + NEW))
    return NEW * (first + 4 * middle + last) / 6


def sentence(found):
    """For the guide."""
    rates = {name: f"{row['per_second']:.0f}" for name, row in found.items()}
    beside = f"; a PyTorch model of the same size with its cache: {rates['PyTorch']}" if "PyTorch" in rates else ""
    return (f"Tokens a second on one thread behind {PROMPT:,} to {PROMPT + NEW:,} others, width {WIDTH}, {LAYERS} layers: {rates['full']} "
            f"with exact attention\nand {rates['strict hashing']} with strict hashing, {found['full']['ratio']:.0f} and "
            f"{found['strict hashing']['ratio']:.0f} times as many as by computing the window again{beside}\n"
            "([table](development/attention-second.md#generation-with-a-cache)).")


def text(found):
    """A table."""
    lines = [f"{NEW:,} tokens after a prompt of {PROMPT:,}, width {WIDTH}, {LAYERS} layers, one thread. Without a cache, from the time at",
             "three lengths: with the same bits (generate), and by the products of training; ratio: of the latter to the time with",
             "a cache; tokens/s: of the new ones", "",
             f"{'attention':<24}{'prompt':>8}{'with cache':>12}{'without':>11}{'training':>11}{'ratio':>7}{'tokens/s':>10}"]
    names = {"PyTorch": "PyTorch, its own cache"}
    return "\n".join(lines + [
        f"{names.get(name, name):<24}{row['prompt']:>6.2f} s{row['cached']:>10.2f} s"
        + (f"{row['recomputed']:>9.0f} s{row['training']:>9.0f} s{row['ratio']:>7.0f}" if "ratio" in row else f"{'-':>11}{'-':>11}{'-':>7}")
        + f"{row['per_second']:>10.0f}" for name, row in found.items()])
