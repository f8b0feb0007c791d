"""A network whose output layer is in shards, as the training loop sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn.answers import scores_of
from mongoose_nb.nn.labelled import labelled
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.training import backprop
from mongoose_nb.nn.training.finite import largest

if TYPE_CHECKING:
    from mongoose_nb.distributed.output import ShardedOutput
    from mongoose_nb.nn.network import Network

# Rows whose best outputs are asked for at once.
EVALUATED = 2048


class ShardedNetwork:
    """What the training loop sees: hidden layers of a network, and an output layer in shards.

    Parameters
    ----------
    network : Network
    output : ShardedOutput
    """

    def __init__(self, network: Network, output: ShardedOutput) -> None:
        self.network, self.output = network, output
        self.seed, self.n_outputs = network.seed, network.n_outputs
        self.optimizer, self.lr_schedule, self.clip_norm = network.optimizer, network.lr_schedule, network.clip_norm

    @property
    def step(self) -> int:
        """Steps that were taken."""
        return self.network.step

    @step.setter
    def step(self, step: int) -> None:
        self.network.step = step

    @property
    def epoch(self) -> int:
        """Epochs that were taken."""
        return self.network.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.network.epoch = epoch

    def parameters(self) -> dict:
        """Those of the hidden layers."""
        return {name: parameter for name, parameter in self.network.parameters().items() if not name.startswith("output.")}

    def loss_and_gradients(self, x: Rows, labels: Rows, peak: float = np.inf, weight: np.ndarray | None = None, *,
                           run: Run) -> tuple[float, dict]:
        """As `Network.loss_and_gradients`."""
        given, x = x, self.network.transformed(x)
        peak = peak if x is given else largest(x.values)
        return backprop.loss_and_gradients(self.network.layers, self.output, x, labels, run, peak, weight)  # type: ignore[arg-type]

    def weight_of(self, *data: Any) -> float:
        """As `Network.weight_of`."""
        return self.network.weight_of(*data)

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """As `Network.after_update`, of the hidden layers."""
        for i, layer in enumerate(self.network.layers):
            prefix = f"hidden{i}."
            layer.after_update(run, {name[len(prefix):]: value for name, value in gradients.items() if name.startswith(prefix)})

    def counts(self) -> dict[str, float]:
        """As `Network.counts`."""
        return self.output.counts()

    def copy_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights of the hidden layers; every shard keeps one of its own rows."""
        self.output.keep()
        return {name: parameter.value.copy() for name, parameter in self.parameters().items()}

    def put_back(self, weights: dict[str, np.ndarray]) -> None:
        """Go back to the weights of the last `copy_weights`."""
        self.output.go_back()
        for name, parameter in self.parameters().items():
            parameter.value[...] = weights[name]

    def predict_topk(self, X: Any, k: int = 5, *, ranked: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """As `Network.predict_topk`, of canonical rows, with exact answers; a ranking is trained afterwards."""
        parts = [self.output.best(self.network.hidden_activations(X[lo:lo + EVALUATED]), k) for lo in range(0, X.shape[0], EVALUATED)]
        ids, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        return ids, scores

    def evaluate(self, X: Any, Y: Any, k: int = 5) -> dict[str, float]:
        """As `Network.evaluate`, of canonical rows, with exact answers."""
        X, Y = labelled(X, Y)
        return scores_of(Y, self.predict_topk(X, min(k, self.n_outputs))[0])

    def report(self) -> dict[str, Any]:
        """Shards, how many came back from a lost worker, and bytes of all steps so far."""
        return {"shards": self.output.shards.n, "lost_shards": self.output.shards.lost, "bytes_sent": self.output.sent,
                "bytes_received": self.output.received}
