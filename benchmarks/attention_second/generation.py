"""Tokens a second of generation with a cache and without one, beside a PyTorch model of the same size, on one thread."""

import json
import pathlib
import subprocess
import time

import numba
import numpy as np

from mongoose_nb.reformer import ReformerLM

PROMPT = NEW = 1000
TOKENS, WIDTH, LAYERS, HEADS, FF = 128, 256, 4, 4, 1024


def measure(args):
    """1,000 tokens after a prompt of 1,000 with a cache; without one, the time of a token at three lengths, which gives the same total.

    Times are those of the processor, which other programs of a busy machine disturb less.
    """
    found, threads = {}, numba.get_num_threads()
    numba.set_num_threads(1)
    for name, settings in {"full": {"attention": "full"}, "strict hashing": {"attention": "lsh", "strict": True}}.items():
        model = ReformerLM(TOKENS, max_length=PROMPT + NEW, width=WIDTH, n_layers=LAYERS, n_heads=HEADS, ff_width=FF, n_hashes=2,
                           **settings)
        tokens = np.random.default_rng(0).integers(TOKENS, size=PROMPT + NEW)
        model.generate(tokens[:PROMPT], 4, cache=True)
        prompt = seconds(model, tokens[:PROMPT], 1, 3, cache=True)
        cached = seconds(model, tokens[:PROMPT], NEW, 1, cache=True)
        before = [seconds(model, tokens[:length], 1, 3) for length in (PROMPT, PROMPT + NEW // 2, PROMPT + NEW)]
        whole = NEW * (before[0] + 4 * before[1] + before[2]) / 6
        found[name] = {"prompt": prompt, "cached": cached, "recomputed": whole, "ratio": whole / cached,
                       "per_second": (NEW - 1) / (cached - prompt)}
    numba.set_num_threads(threads)
    if args.torch is not None:
        numbers = [PROMPT, NEW, WIDTH, LAYERS, HEADS, FF, TOKENS, 1]
        script = pathlib.Path(__file__).with_name("torch_generation.py")
        said = json.loads(subprocess.run([args.torch, script, *map(str, numbers)], check=True, capture_output=True, text=True).stdout)
        found["PyTorch"] = {"prompt": said["prompt"], "cached": said["prompt"] + said["new"], "recomputed": None, "ratio": None,
                            "per_second": (NEW - 1) / said["new"]}
    return found


def seconds(model, prompt, n, times, **settings):
    """Median processor seconds of generating n tokens."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        model.generate(prompt, n, **settings)
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def sentence(found):
    """For the guide."""
    rates = {name: f"{row['per_second']:.0f}" for name, row in found.items()}
    beside = f"; a PyTorch model of the same size with its cache: {rates['PyTorch']}" if "PyTorch" in rates else ""
    return (f"Tokens a second on one thread behind {PROMPT:,} to {PROMPT + NEW:,} others, width {WIDTH}, {LAYERS} layers: {rates['full']} "
            f"with exact attention,\n{rates['strict hashing']} with strict hashing, {found['full']['ratio']:.0f} and "
            f"{found['strict hashing']['ratio']:.0f} times as many as without a cache{beside}\n"
            "([table](development/attention-second.md#generation-with-a-cache)).")


def text(found):
    """A table."""
    lines = [f"{NEW:,} tokens after a prompt of {PROMPT:,}, width {WIDTH}, {LAYERS} layers, one thread; without a cache from the time of a "
             "token at three", "lengths; tokens/s: of the new ones", "",
             f"{'attention':<22}{'prompt':>9}{'with cache':>12}{'without':>12}{'ratio':>8}{'tokens/s':>10}"]
    names = {"PyTorch": "PyTorch, its own cache"}
    return "\n".join(lines + [
        f"{names.get(name, name):<22}{row['prompt']:>7.2f} s{row['cached']:>10.2f} s"
        + (f"{row['recomputed']:>10.1f} s{row['ratio']:>8.1f}" if row["ratio"] else f"{'-':>12}{'-':>8}") + f"{row['per_second']:>10.0f}"
        for name, row in found.items()])
