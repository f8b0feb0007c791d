"""Multi-layer perceptrons on MNIST: the whole model in one array, beside smaller dense nets and magnitude pruning at equal cells."""

import sys
import time

import numpy as np

from benchmarks.compress.sets import mnist
from mongoose_nb.compress import Compress
from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.nn.layers.base import Run, named
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.gradients import apply_gradients, as_dense
from mongoose_nb.nn.layers.hashed import Shared
from mongoose_nb.nn.layers.hashed_dense import HashedDense
from mongoose_nb.nn.training.optimizers import make_optimizer

WIDTHS = (256, 256, 10)
BATCH, EPOCHS, RATE = 128, 4, 1e-3


class Perceptron:
    """Dense layers with ReLU, and a softmax."""

    def __init__(self, widths=WIDTHS, compress=None, seed=0, init_std=0.05):
        rng = np.random.Generator(np.random.Philox(seed))
        shapes, inputs = [], 784
        for units in widths:
            shapes.append((units, inputs))
            inputs = units
        shared = None if compress is None else Shared(compress.array(shapes, init_std=init_std, seed=seed))
        self.layers = []
        for i, (units, inputs) in enumerate(shapes):
            act = "relu" if i < len(shapes) - 1 else "identity"
            layer = Dense(units, act) if shared is None else HashedDense(units, act, compress=compress)
            if shared is not None:
                layer.share(shared)
            self.layers.append(layer.build(inputs, rng))
        self.masks = None
        self.step = 0

    def parameters(self):
        return named((str(i), layer.parameters()) for i, layer in enumerate(self.layers))

    def logits(self, x, run, caches=None):
        for layer in self.layers:
            x, cache = layer.forward(x, run)
            if caches is not None:
                caches.append(cache)
        return x

    def train(self, x, y, optimizer):
        caches = []
        z = self.logits(x, Run(self.step), caches)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        g, parts = (p / len(y)).astype(np.float32), []
        for i in range(len(self.layers) - 1, -1, -1):
            g, gradients = self.layers[i].backward(g, caches[i], need_input=i > 0)
            parts.append((str(i), gradients))
        gradients = named(parts)
        parameters = self.parameters()
        for parameter in parameters.values():
            parameter.attach(optimizer)
        if self.masks:
            gradients = {name: as_dense(g) * self.masks[name] if name in self.masks else g for name, g in gradients.items()}
        apply_gradients(parameters, gradients, optimizer, self.step)
        self.step += 1

    def fit(self, X, y, epochs, lr, seed):
        for epoch in range(epochs):
            order = np.random.default_rng([seed, epoch]).permutation(len(X))
            optimizer = make_optimizer("adam", lr if epoch < epochs - 1 else lr / 5)
            for lo in range(0, len(X), BATCH):
                rows = order[lo:lo + BATCH]
                self.train(X[rows], y[rows], optimizer)
        return self

    def accuracy(self, X, y):
        z = np.concatenate([self.logits(X[lo:lo + 2048], Run(0, train=False)) for lo in range(0, len(X), 2048)])
        return float((z.argmax(axis=1) == y).mean())

    def prune(self, ratio):
        """Keep the largest weights of all layers together; biases stay."""
        weights = {name: p for name, p in self.parameters().items() if p.value.ndim == 2}
        flat = np.sort(np.abs(np.concatenate([p.value.ravel() for p in weights.values()])))
        least = flat[-max(1, round(len(flat) / ratio))]
        self.masks = {name: (np.abs(p.value) >= least).astype(np.float32) for name, p in weights.items()}
        for name, p in weights.items():
            p.value *= self.masks[name]


def smaller(ratio):
    """Widths of a dense net with so many times fewer weights."""
    total = 784 * 256 + 256 * 256 + 2560
    for h in range(256, 0, -1):
        if 784 * h + h * h + 10 * h <= total / ratio:
            return (h, h, 10)
    return (1, 1, 10)


def measure(args):
    """Test accuracy by system, mean over the seeds."""
    X, y, Xt, yt = mnist(args.data)
    systems = {"dense": ({}, None)}
    for ratio in (1, 4, 10):
        systems[f"STABLE-RPS {ratio}x"] = ({"compress": Compress("fold", ratio, grad_scale=True)}, None)
    for ratio in (4, 10):
        systems[f"ROAST {ratio}x"] = ({"compress": Compress("roast", ratio, grad_scale=True)}, None)
        systems[f"smaller dense {ratio}x"] = ({"widths": smaller(ratio)}, None)
        systems[f"magnitude pruning {ratio}x"] = ({}, ratio)
    for std in (0.001, 1.0):
        systems[f"STABLE-RPS 4x, init_std={std:g}"] = ({"compress": Compress("fold", 4, grad_scale=True), "init_std": std}, None)
        systems[f"fold 4x without gradient scale, init_std={std:g}"] = ({"compress": Compress("fold", 4), "init_std": std}, None)
    out = {}
    for name, (options, prune) in systems.items():
        found, start = [], time.perf_counter()
        for seed in range(1 if "init_std" in name else args.seeds):
            with one_blas_thread(), np.errstate(all="ignore"):
                model = Perceptron(seed=seed, **options)
                if prune:  # trained for half of the epochs, pruned, trained on: equal epochs
                    model.fit(X, y, EPOCHS // 2, RATE, seed)
                    model.prune(prune)
                    model.fit(X, y, EPOCHS - EPOCHS // 2, RATE, seed + 100)
                else:
                    model.fit(X, y, EPOCHS, RATE, seed)
                found.append(model.accuracy(Xt, yt))
        out[name] = {"accuracy": float(np.mean(found)), "spread": float(np.ptp(found)), "seeds": len(found),
                     "seconds": (time.perf_counter() - start) / len(found)}
        print(name, out[name], file=sys.stderr, flush=True)
    return out
