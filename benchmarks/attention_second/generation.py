"""Tokens a second of generation with a cache and without one, on one thread."""

import time

import numba
import numpy as np

from mongoose_nb.reformer import ReformerLM

PROMPT = NEW = 1000


def measure(args):
    """1,000 tokens after a prompt of 1,000 with a cache; without one, the time of a token at three lengths, which gives the same total.

    A cache needs one thread. Times are those of the processor, which other programs of a busy machine disturb less.
    """
    found, threads = {}, numba.get_num_threads()
    numba.set_num_threads(1)
    for name, settings in {"full": {"attention": "full"}, "strict hashing": {"attention": "lsh", "strict": True}}.items():
        model = ReformerLM(128, max_length=PROMPT + NEW, width=256, n_layers=4, n_heads=4, ff_width=1024, n_hashes=2, **settings)
        tokens = np.random.default_rng(0).integers(128, size=PROMPT + NEW)
        model.generate(tokens[:8], 4, cache=True)
        model.generate(tokens[:PROMPT], 1)
        start = time.process_time()
        model.generate(tokens[:PROMPT], NEW, cache=True)
        cached, before = time.process_time() - start, []
        for length in (PROMPT, PROMPT + NEW // 2, PROMPT + NEW):
            seconds = []
            for _ in range(3):
                start = time.process_time()
                model.generate(tokens[:length], 1)
                seconds.append(time.process_time() - start)
            before.append(float(np.median(seconds)))
        whole = NEW * (before[0] + 4 * before[1] + before[2]) / 6
        found[name] = {"cached": cached, "recomputed": whole, "ratio": whole / cached, "per_second": (PROMPT + NEW) / cached}
    numba.set_num_threads(threads)
    return found


def text(found):
    """A table."""
    lines = ["1,000 tokens after a prompt of 1,000, width 256, 4 layers, one thread; without a cache from the time of a token at three",
             "lengths", "",
             f"{'attention':<16}{'with cache':>12}{'without':>12}{'ratio':>8}{'tokens/s':>10}"]
    return "\n".join(lines + [
        f"{name:<16}{row['cached']:>10.1f} s{row['recomputed']:>10.1f} s{row['ratio']:>8.1f}{row['per_second']:>10.0f}"
        for name, row in found.items()])
