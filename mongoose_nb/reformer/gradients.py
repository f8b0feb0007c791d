"""Gradients, and the optimiser step: of arrays, of a few rows of an array, and of a layer that keeps its own."""

import numpy as np


class RowGradient:
    """Gradient of an array of which a batch touches a few rows: ``dW[ids[i]] += values[i]``.

    Parameters
    ----------
    ids : (n,) int32
    values : (n, width)
    rows : nn.row_update.RowUpdate
        Of the array; used again by every batch.
    """

    def __init__(self, ids, values, rows):
        self.ids, self.values, self._rows = ids, values, rows
        self._loaded = False

    def dense(self):
        """The whole gradient; for checks."""
        out = np.zeros_like(self._rows.weights.value)
        np.add.at(out, self.ids, self.values)
        return out

    def _sorted(self):
        if not self._loaded:
            n = len(self.ids)
            self._rows.load(np.arange(n), np.ones(n, np.int64), self.ids, np.ones(n, np.float32), self.values)
            self._loaded = True
        return self._rows

    def square_norm(self):
        """Squared Euclidean norm."""
        return self._sorted().square_norm()

    def apply(self, kind, constants, bias_constants):
        """Optimiser step on the touched rows."""
        self._sorted().apply(kind, constants)
        self._rows.forget()


class LayerGradient:
    """The gradient that an `nn` layer keeps of its last batch."""

    def __init__(self, layer):
        self._layer = layer

    def square_norm(self):
        """Squared Euclidean norm."""
        return self._layer.square_norm()

    def apply(self, kind, constants, bias_constants):
        """Optimiser step on the layer's parameters."""
        self._layer.update(kind, constants, bias_constants)


def square_norm(gradient):
    """Squared Euclidean norm of a gradient of any kind."""
    return gradient.square_norm() if not isinstance(gradient, np.ndarray) else float(np.square(gradient, dtype=np.float64).sum())


def apply(gradient, parameter, kind, constants, bias_constants):
    """Optimiser step. Vectors (biases, gains) take `bias_constants`, which have no weight decay."""
    from mongoose_nb.kernels.layers.rows import apply_dense

    if not isinstance(gradient, np.ndarray):
        gradient.apply(kind, constants, bias_constants)
        return
    vector = parameter.value.ndim == 1
    shape = (1, -1) if vector else (parameter.value.shape[0], -1)
    value, m, v = (a.reshape(shape) for a in (parameter.value, parameter.m, parameter.v))
    apply_dense(gradient.reshape(shape), kind, bias_constants if vector else constants, value, m, v)
