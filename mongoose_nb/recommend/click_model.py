"""The click model: embeddings of categories, their interaction, layers above, and a logistic loss.

::

    ids (n, fields) --embedding--> E --interaction--> logit part -----+
    numbers -----------linear----> one more field  -> hidden layers --+--> logit --> probability
    ids --------------weights of ids (first order) -------------------+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.compress import Compress, HashedArray
from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import make
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_int, check_list
from mongoose_nb.nn.layers.base import Run, named
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.embedding import Embedding
from mongoose_nb.nn.layers.gradients import apply_gradients
from mongoose_nb.nn.layers.initial import filled
from mongoose_nb.nn.training.optimizers import Optimizer
from mongoose_nb.recommend.interactions import Interaction


class ClickModel:
    """A model over ids; `ClickClassifier` turns columns into these.

    Parameters
    ----------
    fields, n_ids, numbers : int
        Categories of a sample, ids, and numbers of a sample.
    width : int
        Of an embedding.
    interaction : Interaction
    hidden : sequence of int
        Widths of the layers above.
    optimizer : nn.Optimizer
    compress : Compress, optional
        Embeddings and weights of ids live in one hashed array.
    options : dict, optional
        More options of the index map.
    init_std : float
    seed : int
    """

    def __init__(self, fields: int, n_ids: int, numbers: int, *, width: int, interaction: Interaction, hidden: Sequence[int],
                 optimizer: Optimizer, compress: Compress | None = None, options: dict | None = None, init_std: float = 0.05,
                 seed: int = 0) -> None:
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0xC11C])))
        self.optimizer, self.interaction = optimizer, interaction
        self.step = 0
        self.array: HashedArray | None = None
        options = dict(options or {})
        is_open = compress is not None and compress.map_class.open_rows  # ids are hashes, then: see `Encoder`
        if compress is not None:
            shapes = [(n_ids, width)] + [(n_ids, 1)] * interaction.first_order
            self.array = compress.array(shapes, init_std=init_std, seed=seed)
        self.embedding = Embedding(width, n_ids, compress=compress, array=self.array, init_std=init_std, open_ids=is_open)
        self.embedding.build(fields, rng, **options)
        self.first = None
        if interaction.first_order:
            narrow = compress
            if compress is not None and compress.map_class.least_width > 1:
                narrow, options = Compress("element"), {}
            self.first = Embedding(1, n_ids, combine="sum", compress=narrow, array=self.array, init_std=init_std,
                                   open_ids=is_open)
            self.first.build(fields, rng, **options)
            if compress is None:
                self.first.weights.value[:] = 0
        self.numbers = Dense(width, "identity").build(numbers, rng) if numbers else None
        self.hidden = []
        inputs = interaction.deep_width(fields + (numbers > 0), width)
        for units in hidden:
            self.hidden.append(Dense(units, "relu").build(inputs, rng))
            inputs = units
        self.top = Dense(1, "identity", use_bias=False, init="glorot").build(inputs, rng) if hidden else None
        self.bias = Parameter(filled(1, 0.0))
        self._parameters = self._name({name: part.parameters() for name, part in self._parts() if part is not None})
        for parameter in self._parameters.values():
            parameter.attach(optimizer)

    def _parts(self):
        return [("embedding", self.embedding), ("first", self.first), ("numbers", self.numbers),
                *((f"hidden{i}", layer) for i, layer in enumerate(self.hidden)), ("top", self.top)]

    def _name(self, parts):
        out = named((name, part) for name, part in parts.items())
        if self.array is not None:  # one parameter, whoever uses it
            out = {"array": self.array.parameter, **{name: value for name, value in out.items() if value is not self.array.parameter}}
        return {**out, "bias": self.bias}

    def parameters(self) -> dict[str, Parameter]:
        """The trained arrays by name."""
        return self._parameters

    @property
    def table_bytes(self) -> int:
        """Bytes of embeddings and weights of ids, with what an index map keeps."""
        if self.array is not None:
            return self.array.nbytes
        return self.embedding.weights.value.nbytes + (0 if self.first is None else self.first.weights.value.nbytes)

    def _forward(self, ids, numbers, run):
        E, embedded = self.embedding.forward(ids, run)
        caches: dict[str, Any] = {"embedding": embedded}
        if self.numbers is not None:
            more, caches["numbers"] = self.numbers.forward(numbers, run)
            E = np.concatenate([E, more[:, None, :]], axis=1)
        part, x = self.interaction.forward(E, bool(self.hidden))
        logits = np.full(len(ids), self.bias.value[0], np.float32)
        if part is not None:
            logits += part
        if self.first is not None:
            weight, caches["first"] = self.first.forward(ids, run)
            logits += weight[:, 0]
        if self.hidden:
            for i, layer in enumerate(self.hidden):
                x, caches[f"hidden{i}"] = layer.forward(x, run)
            x, caches["top"] = self.top.forward(x, run)
            logits += x[:, 0]
        return logits, E, caches

    def _work(self, n):
        """Work between two barriers in the embeddings, the part with most of them: small batches took 20 times as long on two threads of a
        busy machine, and 12 times where the layers above alone had both."""
        return 8 * n * self.embedding.n_outputs

    def logits(self, ids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """(n,) float32."""
        with compute_threads(self._work(len(ids))):
            return self._forward(ids, numbers, Run(self.step, train=False))[0]

    def loss_and_gradients(self, ids: np.ndarray, numbers: np.ndarray, y: np.ndarray,
                           weight: np.ndarray | None = None) -> tuple[float, dict]:
        """Mean logistic loss, and its gradients by name.

        Parameters
        ----------
        ids : (n, fields) int64
        numbers : (n, numbers) float32
        y : (n,) float32
            0 or 1.
        weight : (n,) float32, optional
        """
        logits, E, caches = self._forward(ids, numbers, Run(self.step))
        share = np.full(len(y), 1 / len(y), np.float32) if weight is None else (weight / max(weight.sum(), 1e-30)).astype(np.float32)
        losses = np.maximum(logits, 0) - logits * y + np.log1p(np.exp(-np.abs(logits)))
        loss = float((losses * share).sum())
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss of step {self.step} is not finite; the weights are as before: lower the learning rate "
                                     f"(now {self.optimizer.lr:g})")
        g = (share * (1 / (1 + np.exp(-logits)) - y)).astype(np.float32)
        parts: dict[str, dict] = {}
        gx = None
        if self.hidden:
            gx, parts["top"] = self.top.backward(g[:, None], caches["top"])
            for i in range(len(self.hidden) - 1, -1, -1):
                gx, parts[f"hidden{i}"] = self.hidden[i].backward(gx, caches[f"hidden{i}"])
        G = self.interaction.backward(E, g, gx)
        if self.numbers is not None:
            parts["numbers"] = self.numbers.backward(np.ascontiguousarray(G[:, -1]), caches["numbers"], need_input=False)[1]
            G = G[:, :-1]
        parts["embedding"] = self.embedding.backward(G, caches["embedding"])[1]
        if self.first is not None:
            parts["first"] = self.first.backward(g[:, None], caches["first"])[1]
            if self.array is None:  # the same ids
                parts["first"]["weights"].sort_with(parts["embedding"]["weights"])
        gradients = named(parts.items())
        if self.array is not None:
            total = self.array.gradient()
            for name in ("first.weights", "embedding.weights"):
                if name in gradients:
                    total.join(gradients.pop(name))
            gradients["array"] = total
        gradients["bias"] = g.sum(keepdims=True)
        return loss, gradients

    def train_step(self, ids: np.ndarray, numbers: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
        """One step of the optimiser; the mean loss. Arguments as of `loss_and_gradients`."""
        with np.errstate(over="ignore", invalid="ignore"), compute_threads(self._work(len(ids))):
            loss, gradients = self.loss_and_gradients(ids, numbers, y, weight)
            apply_gradients(self._parameters, gradients, self.optimizer, self.step)
        self.step += 1
        return loss


def check_widths(hidden: Sequence[int]) -> list[int]:
    """Widths of layers as a list; a `TypeError` for a single number."""
    return [check_int("hidden", units, low=1) for units in check_list("hidden", hidden, "widths, such as (64, 32), or () for none")]


def make_interaction(value: str | Interaction) -> Interaction:
    """An interaction by name, or itself."""
    return make("interaction", value)
