"""Time of a forward and a backward pass of structured layers beside dense products, in turns."""

import contextlib
import statistics
import time

import numba
import numpy as np

from mongoose_nb import nn
from mongoose_nb.core.threads import one_blas_thread

SETTLE = 0.1  # seconds between two systems: threads of BLAS wait for more work in a busy loop at first, on cores that the next one needs


class Dense:
    """Plain BLAS products: y = x W, dW = x' g, dx = g W'."""

    def __init__(self, n, rng):
        self.W = rng.standard_normal((n, n), dtype=np.float32)
        self.dW = np.empty_like(self.W)

    def forward(self, x, y):
        """One product."""
        np.matmul(x, self.W, out=y)

    def backward(self, x, g, dx):
        """Two products."""
        np.matmul(x.T, g, out=self.dW)
        np.matmul(g, self.W.T, out=dx)


class Batched:
    """A Monarch matrix in NumPy: products of 3-D arrays, transposed between."""

    def __init__(self, n, rng):
        self.K = 1 << ((n.bit_length() - 1) // 2)  # groups of columns; n is a power of two
        self.J = n // self.K
        self.R = rng.standard_normal((self.K, self.J, self.J), dtype=np.float32)
        self.L = rng.standard_normal((self.J, self.K, self.K), dtype=np.float32)

    def forward(self, x, y):
        """Two batched products."""
        parts = x.reshape(-1, self.K, self.J).transpose(1, 0, 2)
        self.u = np.ascontiguousarray(np.matmul(parts, self.R.transpose(0, 2, 1)).transpose(2, 1, 0))
        y.reshape(-1, self.K, self.J)[...] = np.matmul(self.u, self.L.transpose(0, 2, 1)).transpose(1, 2, 0)

    def backward(self, x, g, dx):
        """Four."""
        G = np.ascontiguousarray(g.reshape(-1, self.K, self.J).transpose(2, 0, 1))
        np.matmul(G.transpose(0, 2, 1), self.u)
        du = np.ascontiguousarray(np.matmul(G, self.L).transpose(2, 1, 0))
        np.matmul(du.transpose(0, 2, 1), x.reshape(-1, self.K, self.J).transpose(1, 0, 2))
        dx.reshape(-1, self.K, self.J)[...] = np.matmul(du, self.R).transpose(1, 0, 2)


class Ours:
    """A layer of `nn`, without an activation."""

    def __init__(self, layer, n, rng):
        self.layer, self.run = layer.build(n, rng), nn.Run()

    def forward(self, x, y):
        """The layer's."""
        self.cache = self.layer.forward(x, self.run)[1]

    def backward(self, x, g, dx):
        """The layer's."""
        self.layer.backward(g, self.cache)

    def work(self):
        """(multiplications of a sample, bytes of the parameters) of a forward pass."""
        size = sum(p.value.size for name, p in self.layer.parameters().items() if name not in ("bias", "mix"))
        return size, 4 * size


def systems(n, rng):
    """Name -> what is timed."""
    return {"sgemm": Dense(n, rng), "np.matmul 3-D": Batched(n, rng), "Monarch": Ours(nn.Monarch(n, activation="identity"), n, rng),
            "Monarch, 4 blocks": Ours(nn.Monarch(n, 4, activation="identity"), n, rng),
            "Pixelfly 20 %": Ours(nn.Pixelfly(n, 0.2, activation="identity"), n, rng)}


def limits(clock):
    """(GFLOP/s of sgemm at 2,048, GB/s of a copy), the best of a few."""
    A = np.ones((2048, 2048), np.float32)
    out = np.empty_like(A)
    B, C = np.ones(1 << 26, np.float32), np.empty(1 << 26, np.float32)
    times = [[], []]
    for _ in range(5):
        for kind, call in enumerate((lambda: np.matmul(A, A, out=out), lambda: np.copyto(C, B))):
            start = clock()
            call()
            times[kind].append(clock() - start)
    return 2 * 2048**3 / min(times[0]) / 1e9, 2 * B.nbytes / min(times[1]) / 1e9


def measure(args):
    """Medians, and quartiles, of a pass in milliseconds."""
    threads = numba.get_num_threads()
    # of one thread the time on the processor, which other programs disturb little
    clock = time.process_time if threads == 1 else time.perf_counter
    gflops, bandwidth = limits(clock)
    table = []
    for n in args.widths:
        rng = np.random.Generator(np.random.Philox(n))
        x, g = (rng.standard_normal((args.batch, n), dtype=np.float32) for _ in range(2))
        y, dx = np.empty_like(x), np.empty_like(x)
        found = systems(n, rng)
        times = {name: ([], []) for name in found}
        for turn in range(args.rounds + 2):
            for name, system in found.items():
                time.sleep(SETTLE)
                for call in range(1 + max(2, 1024 // n)):
                    start = clock()
                    system.forward(x, y)
                    middle = clock()
                    system.backward(x, g, dx)
                    end = clock()
                    if turn > 1 and call > 0:  # the first call wakes the cores
                        times[name][0].append(1e3 * (middle - start))
                        times[name][1].append(1e3 * (end - middle))
        for name, (forward, backward) in times.items():
            both = [a + b for a, b in zip(forward, backward)]
            low, _, high = statistics.quantiles(both, n=4)
            entry = {"n": n, "system": name, "forward": statistics.median(forward), "backward": statistics.median(backward),
                     "both": statistics.median(both), "low": low, "high": high, "best": min(both)}
            if hasattr(found[name], "work"):
                size, _ = found[name].work()
                flops = 6 * size * args.batch
                moved = 4 * (3 * size + 8 * x.size)  # parameters read twice and gradients written; values and their gradients, and between
                entry.update(gflops=flops / entry["both"] / 1e6, gigabytes=moved / entry["both"] / 1e6, density=size / n**2)
            table.append(entry)
    return {"threads": threads, "batch": args.batch, "gflops": gflops, "bandwidth": bandwidth, "table": table}


def faster(result, n, system, by="both"):
    """How many times faster than sgemm a pass forward and backward is, by medians, or by the ``"best"`` passes."""
    both = {entry["system"]: entry[by] for entry in result["table"] if entry["n"] == n}
    return both["sgemm"] / both[system]


def crossover(result, system):
    """The least n from which on a system is faster than sgemm, or None."""
    widths = sorted({entry["n"] for entry in result["table"]})
    slow = [n for n in widths if faster(result, n, system) <= 1]
    later = [n for n in widths if not slow or n > slow[-1]]
    return later[0] if later else None


def threads_of(result):
    """In words."""
    return "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"


def text(result):
    """A table."""
    lines = [f"batch {result['batch']}, {threads_of(result)}; sgemm at 2,048 {result['gflops']:.0f} "
             f"GFLOP/s, copy {result['bandwidth']:.1f} GB/s",
             f"{'n':>6}  {'layer':20}{'forward ms':>11}{'backward ms':>12}{'quartiles of both':>20}{'x sgemm':>9}{'best':>6}"
             f"{'GFLOP/s':>9}{'GB/s':>7}"]
    for entry in result["table"]:
        share = f"{entry['gflops']:9.1f}{entry['gigabytes']:7.1f}" if "gflops" in entry else ""
        lines.append(f"{entry['n']:6,}  {entry['system']:20}{entry['forward']:11.2f}{entry['backward']:12.2f}"
                     f"{entry['low']:11.2f} -{entry['high']:7.2f}{faster(result, entry['n'], entry['system']):9.1f}"
                     f"{faster(result, entry['n'], entry['system'], 'best'):6.1f}{share}")
    names = [name for name in dict.fromkeys(entry["system"] for entry in result["table"]) if name != "sgemm"]
    lines.append("faster than sgemm from n = " + ", ".join(f"{crossover(result, name) or 'none':} ({name})" for name in names))
    return "\n".join(lines)


def run_both(args):
    """With all threads and with one, or as many as asked for."""
    most, out = numba.get_num_threads(), []
    for threads in dict.fromkeys((most, 1) if args.threads is None else args.threads):
        numba.set_num_threads(threads)
        with one_blas_thread() if threads == 1 else contextlib.nullcontext():
            out.append(measure(args))
    numba.set_num_threads(most)
    return out
