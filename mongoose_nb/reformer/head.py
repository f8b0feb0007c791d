"""From vectors to tokens: logits, cross-entropy and its gradient, over all tokens or over the few that a sampler of `nn` picks."""

import numpy as np

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn.saving import sampler_state_v1
from mongoose_nb.reformer.gradients import LayerGradient
from mongoose_nb.reformer.layer import Layer, filled, uniform

# Logits held at once.
CHUNK = 1 << 22


def logits(h, weights, bias):
    """``h @ weights.T + bias``, (n, n_tokens)."""
    from mongoose_nb.kernels.layers.dense import matmul

    out = np.empty((len(h), len(weights)), h.dtype)
    matmul(h, weights.T, out)
    out += bias
    return out


def chunks(n, n_tokens):
    """Slices of n rows, each with no more than `CHUNK` logits."""
    size = max(1, CHUNK // n_tokens)
    return [slice(lo, min(n, lo + size)) for lo in range(0, n, size)]


def cross_entropy(z, targets):
    """(losses (n,), probabilities (n, n_tokens)) from logits, which are overwritten."""
    rows = np.arange(len(z))
    z -= z.max(axis=1, keepdims=True)
    at_target = z[rows, targets]
    np.exp(z, out=z)
    total = z.sum(axis=1, keepdims=True)
    z /= total
    return np.log(total[:, 0]) - at_target, z


def scores(h, weights, bias, targets):
    """(losses (n,), best token (n,)) over all tokens."""
    losses, best = np.empty(len(h), h.dtype), np.empty(len(h), np.int64)
    for part in chunks(len(h), len(weights)):
        z = logits(h[part], weights, bias)
        best[part] = z.argmax(axis=1)
        losses[part] = cross_entropy(z, targets[part])[0]
    return losses, best


class SoftmaxHead(Layer):
    """Every token's logit; W (n_tokens, width) starts uniform in [-0.1, 0.1). Log-probabilities exist by chunks of rows only."""

    def __init__(self, width, n_tokens, *, rng, dtype):
        self.weights = Parameter(uniform(rng, (n_tokens, width), 0.1, dtype))
        self.bias = Parameter(filled(n_tokens, 0.0, dtype))

    def parameters(self):
        """W and b."""
        return {"weights": self.weights, "bias": self.bias}

    def forward(self, x, run):
        """(h (n, width), targets (n,)) -> losses (n,); the gradient of their mean falls out on the way."""
        from mongoose_nb.kernels.layers.dense import count_parts, matmul, matmul_tn

        (h, targets), w = x, self.weights.value
        losses, dh, dw, db = np.empty(len(h), h.dtype), np.empty_like(h), np.zeros_like(w), np.zeros_like(self.bias.value)
        more = np.empty_like(w)
        with run.timer("forward"):
            for part in chunks(len(h), len(w)):
                losses[part], p = cross_entropy(logits(h[part], w, self.bias.value), targets[part])
                p[np.arange(len(p)), targets[part]] -= 1
                p /= len(h)
                matmul(p, w, dh[part])
                matmul_tn(p, h[part], np.empty((count_parts(len(p)), *w.shape), w.dtype), more)
                dw += more
                db += p.sum(axis=0)
        return losses, (dh, {"weights": dw, "bias": db})

    def backward(self, g, cache):
        """(dh, gradients) of g times the mean loss."""
        dh, grads = cache
        return dh * dh.dtype.type(g), {name: grad * grad.dtype.type(g) for name, grad in grads.items()}

    def update(self, step, timer):
        """After the optimiser step: nothing to keep."""

    def state(self):
        """(settings, arrays) beside the parameters."""
        return {}, {}

    def load_state(self, settings, arrays):
        """Put back what `state` gave."""


class WideHead(Layer):
    """The wide output layer of `nn`: a step computes the tokens that `sampler` picks, evaluation computes all.

    Parameters
    ----------
    sampler : nn.Sampler
    clip : bool
        Whether the norm of the gradient will be asked for.
    """

    def __init__(self, width, n_tokens, sampler, *, rng, clip):
        from mongoose_nb.nn.layers.wide_output import WideOutput

        self.layer = WideOutput(width, n_tokens, sampler, rng=rng, init_std=0.1 / np.sqrt(3.0))
        self.layer.sampler = sampler.bind(self.layer.weights, self.layer.bias, int(rng.integers(2**31)))
        self.weights, self.bias, self.clip = self.layer.weights, self.layer.bias, clip

    def parameters(self):
        """W and b."""
        return self.layer.parameters()

    def forward(self, x, run):
        """(h (n, width), targets (n,)) -> losses (n,), over the tokens that were picked."""
        h, targets = np.ascontiguousarray(x[0]), np.ascontiguousarray(x[1], dtype=np.int32)
        n = len(targets)
        rows = Rows(np.arange(n), np.ones(n, np.int64), targets, np.ones(n, np.float32))
        losses, dh = self.layer.loss(h, rows, run.step, run.timer, self.clip)
        return losses.copy(), dh

    def backward(self, g, cache):
        """dh of the mean loss (`g` is 1); the layer keeps the gradient of its weights to itself."""
        return cache, {"weights": LayerGradient(self.layer)}

    def update(self, step, timer):
        """After the optimiser step: hash tables follow."""
        self.layer.sampler.after_update(step, timer, self.layer.touched)
        self.layer.forget()

    def state(self):
        """(settings, arrays) of the sampler."""
        return split(state_of(self.layer.sampler))

    def load_state(self, settings, arrays):
        """Put back what `state` gave."""
        state = join(settings, arrays)
        restore(self.layer.sampler, sampler_state_v1(state) if "observed" in state or "label_counts" in state else state)
