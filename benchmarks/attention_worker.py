"""One side of the comparison of attention layers, run by the Python that has what it needs: ``ours``, or ``torch``.

It reads commands, one JSON object a line, from standard input and answers each with one: ``{"system", "length", "rounds", "batch",
"repeats"}`` gives seconds of forward and of backward, the peak of memory on top of what the process held before, inputs included, and
the peak of all; ``{"quit": true}`` ends.
"""

import ctypes
import gc
import json
import sys
import time

import numpy as np

HEADS, WIDTH, BUCKET = 4, 64, 64


def _memory(field):
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def _forget_peak():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as refs:
        refs.write("5")


def _ours(system, batch, length, rounds):
    from mongoose_nb.attention import LSHAttention

    rng = np.random.default_rng(0)
    # tokens before heads, as a projection leaves them
    qk, v, g = (rng.standard_normal((batch, length, HEADS, WIDTH), dtype=np.float32).transpose(0, 2, 1, 3) for _ in range(3))
    variant = "paper" if system == "full" else system
    layer = LSHAttention(max(rounds, 1), BUCKET, True, variant=variant, kind="full" if system == "full" else "lsh", exact_below=0)
    step = 0

    def forward():
        nonlocal step
        step += 1
        return layer.forward(qk, v, step=step)

    return forward, lambda done: layer.backward(g, done[1])


def _torch(system, batch, length, rounds):
    import torch

    torch.manual_seed(0)
    shape = (batch, HEADS, length, WIDTH) if system == "exact" else (batch * HEADS, length, WIDTH)
    q, k, v = (torch.randn(shape, requires_grad=True) for _ in range(3))
    g = torch.randn(shape)
    if system == "exact":
        def forward():
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        from reformer_pytorch.reformer_pytorch import LSHAttention

        del k
        layer = LSHAttention(bucket_size=BUCKET, n_hashes=rounds, causal=True)

        def forward():
            return layer(q, v)[0]

    def backward(done):
        for x in (q, k, v) if system == "exact" else (q, v):
            x.grad = None
        done.backward(g)

    return forward, backward


def _measure(side, command):
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what earlier measurements left free counts for none
    before = _memory("VmRSS")
    _forget_peak()
    forward, backward = (_ours if side == "ours" else _torch)(command["system"], command["batch"], command["length"], command["rounds"])
    times = []
    for _ in range(command["repeats"]):
        start = time.perf_counter()
        done = forward()
        middle = time.perf_counter()
        backward(done)
        times.append((middle - start, time.perf_counter() - middle))
        del done
    best = min(times, key=sum) if len(times) < 3 else sorted(times, key=sum)[len(times) // 2]
    peak = _memory("VmHWM")
    return {"forward": best[0], "backward": best[1], "peak_MB": peak - before, "all_MB": peak}


def main():
    """Serve commands until told to quit."""
    side, threads = sys.argv[1], int(sys.argv[2])
    if side == "ours":
        import numba

        numba.set_num_threads(threads)
    else:
        import torch

        torch.set_num_threads(threads)
    for line in sys.stdin:
        command = json.loads(line)
        if "quit" in command:
            break
        sys.stdout.write(json.dumps(_measure(side, command)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
