"""The whole network in float64, dense, straight from the formulas: the oracle of layers, losses and optimisers.

A sampled layer is a dense one with a weight for every (sample, unit): 0 where it is not computed, 1 where it is, and R / u for
uniform filler, u drawn from R, that stands for all R, or what a correction by output says; 1 in any case for a sample's own labels.
With those weights sampled and exact losses are one formula.
"""

import numpy as np

SQRT_2_PI = np.sqrt(2 / np.pi)


def _gelu(z):
    return 0.5 * z * (1 + np.tanh(SQRT_2_PI * (z + 0.044715 * z**3)))


def _gelu_derivative(z):
    t = np.tanh(SQRT_2_PI * (z + 0.044715 * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * SQRT_2_PI * (1 + 3 * 0.044715 * z * z)


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


ACTIVATIONS = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1, 0.01)),
    "elu": (lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1), lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0)))),
    "gelu": (_gelu, _gelu_derivative),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
}


def dense(matrix):
    """A sparse or dense matrix as dense float64."""
    return np.asarray(matrix.todense() if hasattr(matrix, "todense") else matrix, np.float64)


def weights_of(sets, n_samples, n_units):
    """(n_samples, n_units) weights of per-sample sets, of a batch's shared set, or ones for None."""
    if sets is None or sets.ids is None:
        return np.ones((n_samples, n_units))
    out = np.zeros((n_samples, n_units))
    if hasattr(sets, "start"):
        for i in range(n_samples):
            ids = sets.ids[sets.start[i]:sets.start[i] + sets.count[i]]
            out[i, ids[:sets.n_exact[i]]] = 1
            out[i, ids[sets.n_exact[i]:]] = np.exp(np.float64(sets.shift[i]))
            if len(sets.shifts):
                out[i, ids] *= np.exp(np.float64(sets.shifts[sets.start[i]:sets.start[i] + sets.count[i]]))
    else:
        out[:, sets.ids] = np.exp(np.float64(sets.shifts)) if len(sets.shifts) else 1
    return out


def loss_and_delta(Z, Y, weight, loss):
    """Loss of every sample, and its derivative by the logits Z."""
    weight = np.where(Y > 0, 1, weight)
    if loss == "logistic":
        # -log sigmoid(z) of a label is softplus(z) - z
        return (weight * np.logaddexp(0, Z)).sum(1) - (Y * Z).sum(1), weight * _sigmoid(Z) - Y
    n_label = Y.sum(1, keepdims=True)
    target = Y / np.maximum(n_label, 1)
    top = Z.max(1, keepdims=True)
    e = weight * np.exp(Z - top)
    total = e.sum(1, keepdims=True)
    counts = n_label[:, 0] > 0
    losses = top[:, 0] + np.log(total[:, 0]) - (target * Z).sum(1)
    return np.where(counts, losses, 0), counts[:, None] * (e / total - target)


def counted(Y, loss):
    """Which samples count in the mean: under the softmax those with a label."""
    return np.ones(len(Y), bool) if loss == "logistic" else Y.sum(1) > 0


class NaiveNetwork:
    """Same names and shapes of parameters as `nn.Network`.

    `hidden` lists (orientation, weights): a layer is ``x @ W + b``, or ``x @ W.T + b`` for "wide" ones, whose units are masked.
    """

    def __init__(self, network):
        self.params = {name: p.value.astype(np.float64) for name, p in network.parameters().items()}
        self.wide = [layer.sparse_output for layer in network.layers]
        self.f, self.df = ACTIVATIONS[network.activation]
        self.loss = network.loss

    def _forward(self, X, masks):
        x, inputs, zs = dense(X), [], []
        for i, wide in enumerate(self.wide):
            W, b = self.params[f"hidden{i}.weights"], self.params[f"hidden{i}.bias"]
            z = x @ (W.T if wide else W) + b
            inputs.append(x)
            zs.append(z)
            x = self.f(z) * masks.get(i, 1)
        return x, inputs, zs

    def logits(self, X, masks=None):
        """(n, n_outputs) logits; `masks` has (n, units) zeros and ones by number of wide hidden layer."""
        return self._forward(X, masks or {})[0] @ self.params["output.weights"].T + self.params["output.bias"]

    def mean_loss(self, X, Y, weight, masks=None):
        """Mean loss of the samples of a batch that count."""
        return loss_and_delta(self.logits(X, masks), dense(Y), weight, self.loss)[0][counted(dense(Y), self.loss)].mean()

    def gradient(self, X, Y, weight, masks=None):
        """(losses of the samples that count, gradient of their mean by parameter)."""
        masks = masks or {}
        h, inputs, zs = self._forward(X, masks)
        logits = h @ self.params["output.weights"].T + self.params["output.bias"]
        losses, delta = loss_and_delta(logits, dense(Y), weight, self.loss)
        counts = counted(dense(Y), self.loss)
        losses, delta = losses[counts], delta / max(1, counts.sum())
        out = {"output.weights": delta.T @ h, "output.bias": delta.sum(0)}
        g = delta @ self.params["output.weights"]
        for i in reversed(range(len(self.wide))):
            g = g * masks.get(i, 1) * self.df(zs[i])
            W = self.params[f"hidden{i}.weights"]
            out[f"hidden{i}.weights"] = g.T @ inputs[i] if self.wide[i] else inputs[i].T @ g
            out[f"hidden{i}.bias"] = g.sum(0).reshape(self.params[f"hidden{i}.bias"].shape)
            g = g @ (W if self.wide[i] else W.T)
        return losses, out


class NaiveOptimizer:
    """SGD, AdaGrad, Adam and RowAdam on the rows that are touched; weights decay, biases do not. `method` is an `nn.Optimizer`."""

    def __init__(self, method, params):
        self.name, self.method = type(method).__name__, method
        self.m = {name: np.zeros_like(p) for name, p in params.items()}
        self.v = {name: np.zeros(method.v_shape(p.shape)) for name, p in params.items()}

    def update(self, params, gradient, touched, step, rate=1.0, clip_norm=None):
        """One step, counted from 1; `touched` has the rows of each parameter that are (True or a mask)."""
        o = self.method
        lr, scale = o.lr * rate, 1.0
        if clip_norm is not None:
            norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
            scale = min(1.0, clip_norm / norm)
        for name, g in gradient.items():
            rows = np.broadcast_to(touched[name], len(params[name]))
            w, g = params[name][rows], scale * g[rows]
            m, v = self.m[name][rows], self.v[name][rows]
            if self.name in ("Adam", "RowAdam"):
                square = g * g if v.shape == g.shape else (g * g).mean(axis=1, keepdims=True)
                m, v = o.beta1 * m + (1 - o.beta1) * g, o.beta2 * v + (1 - o.beta2) * square
                change = m / (1 - o.beta1**step) / (np.sqrt(v / (1 - o.beta2**step)) + o.eps)
            elif self.name == "AdaGrad":
                v = v + g * g
                change = g / (np.sqrt(v) + o.eps)
            else:
                m = o.momentum * m + g
                change = m
            decay = 1 - lr * o.weight_decay if name.endswith("weights") else 1
            params[name][rows], self.m[name][rows], self.v[name][rows] = decay * w - lr * change, m, v


class RecordingSampler:
    """Passes everything on to a sampler, and keeps the last active set that it drew."""

    def __init__(self, sampler):
        self.inner, self.sets = sampler, None

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def per_sample(self, *args, **kwargs):
        self.sets = self.inner.per_sample(*args, **kwargs)
        return self.sets

    def shared(self, *args, **kwargs):
        self.sets = self.inner.shared(*args, **kwargs)
        return self.sets


def record(network):
    """Put a `RecordingSampler` around every sampler of a network; by name, "output" and the numbers of wide hidden layers."""
    out = {}
    for name, layer in [*enumerate(network.layers), ("output", network.output)]:
        if hasattr(layer, "sampler"):
            out[name] = layer.sampler = RecordingSampler(layer.sampler)
    return out


def active(network, recorded, n):
    """(weights of the output, masks of wide hidden layers) of the last batch, n samples."""
    weight = weights_of(recorded["output"].sets, n, network.n_outputs)
    masks = {name: (weights_of(r.sets, n, network.layers[name].n_outputs) > 0) * 1.0 for name, r in recorded.items()
             if name != "output"}
    return weight, masks


def touched_rows(network, X, weight, masks):
    """Rows of every parameter that a lazy optimiser visits."""
    out = dict.fromkeys(network.parameters(), True)
    out["output.weights"] = out["output.bias"] = (weight > 0).any(0)
    out["hidden0.weights"] = dense(X != 0).any(0)
    for i, mask in masks.items():
        rows = mask.any(0)
        # a wide layer's units, and the input-major rows of the layer above that they feed
        out[f"hidden{i}.weights"] = out[f"hidden{i}.bias"] = out[f"hidden{i + 1}.weights"] = rows
    return out
