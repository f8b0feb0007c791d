"""A sampler of the user's own, with a correction and a rehash schedule: what the documentation of `nn.Sampler` shows."""

import numpy as np

from mongoose_nb import nn
from mongoose_nb.rehash import Schedule


class Popular(nn.Sampler):
    """Candidates drawn by how often they were labels so far."""

    saved_state = ("frequency",)

    def __init__(self, candidates=100, shape="batch"):
        self.candidates, self.shape = candidates, shape

    def bind_layer(self, weights, bias, seed):
        self.frequency, self._seed = np.ones(len(bias.value)), seed

    def _some(self, *key):
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, *key])))
        share, n = self.frequency / self.frequency.sum(), min(self.candidates, len(self.frequency))
        return rng.choice(len(share), n, replace=False, p=share)

    def _draw(self, labels, step):
        if self.shape == "batch":
            return nn.SharedSet.of(labels, uniform=self._some(step))
        return nn.ActiveSets.of(labels, uniform=[self._some(step, i) for i in range(len(labels))])

    def shared(self, h, labels, step, timer):
        with timer("retrieve"):
            np.add.at(self.frequency, labels.flat()[1], 1.0)
            return self.count(self._draw(labels, step))

    def per_sample(self, h, labels, step, timer, train=True):
        return self.shared(h, labels, step, timer) if train else self._draw(labels, 0)

    def peek(self, h):
        return self._draw(nn.Rows.empty(len(h)), 0)


class Half(nn.Correction):
    """Uniform candidates count half as often as `tail` has it."""

    def __init__(self, weight=0.5):
        self.weight = weight

    def per_sample(self, h, sets):
        uniform = np.maximum(sets.count - sets.n_exact, 1)
        return sets._replace(shift=np.log(self.weight * (self.n_rows - sets.n_exact) / uniform).astype(np.float32))


class Doubling(Schedule):
    """Rehash after 1, 2, 4, 8, ... steps."""

    saved_state = ("_next",)

    def __init__(self, first=1):
        self.first = self._next = first

    def due(self, step):
        if step + 1 < self._next:
            return False
        self._next *= 2
        return True


class Counter(nn.Callback):
    """Counts steps."""

    saved_state = ("steps",)
    steps = 0

    def on_batch_end(self, network, logs):
        self.steps += 1
