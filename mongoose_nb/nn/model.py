"""What networks and language models share: trained arrays, the settings of an optimiser step, one training at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.locks import FairLock
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.training import loop
from mongoose_nb.nn.training.batches import Source
from mongoose_nb.nn.training.callbacks import History
from mongoose_nb.nn.training.lr import make_schedule
from mongoose_nb.nn.training.optimizers import Optimizer, make_optimizer
from mongoose_nb.nn.training.progress import Progress


class Model:
    """Base of `nn.Network` and `reformer.ReformerLM`.

    Parameters
    ----------
    optimizer : str or Optimizer
    lr : float, optional
    lr_schedule : str or callable
    clip_norm : float, optional
    seed : int
        See `nn.Network`.

    Attributes
    ----------
    step, epoch : int
        Steps of the optimiser, and epochs, that were taken.
    """

    def __init__(self, optimizer: str | Optimizer, lr: float | None, lr_schedule: str | Callable[[int, int], float],
                 clip_norm: float | None, seed: int) -> None:
        self.optimizer = make_optimizer(optimizer, lr)
        self.lr_schedule = make_schedule(lr_schedule)
        self.clip_norm = None if clip_norm is None else check_number("clip_norm", clip_norm, low=0.0, open_low=True)
        self.seed = check_int("seed", seed, low=0, high=2**63 - 1)
        self.step = 0
        self.epoch = 0
        self._progress = None  # (Progress, callbacks, batch sampler or None) while `fit` runs
        self._lock = FairLock()

    @property
    def lock(self) -> AbstractContextManager:
        """Held by a thread that trains for one step, or that predicts for one block of rows."""
        return self._lock

    def parameters(self) -> dict[str, Parameter]:
        """All trained arrays (`core.arrays.Parameter`) by name."""
        return dict(self._parameters)

    def weight_of(self, *data: Any) -> float | None:
        """How much a batch counts in the mean loss of an epoch, from the arguments of ``loss_and_gradients``; None: its samples."""
        return None

    def copy_weights(self) -> dict[str, np.ndarray]:
        """Copies of the trained arrays by name, for `put_back`."""
        return {name: parameter.value.copy() for name, parameter in self.parameters().items()}

    def put_back(self, weights: dict[str, np.ndarray]) -> None:
        """Take trained arrays, by the names of `parameters`, and bring the hash tables up to date with them."""
        missing = [name for name in self.parameters() if name not in weights]
        if missing:
            raise ValueError(f"there is no {missing[0]!r} among the weights, which are those of other layers: densify or project before "
                             "training with early stopping, or after it")
        with self._lock:
            for name, parameter in self.parameters().items():
                parameter.value[...] = weights[name]
            self.rehash()

    def rehash(self) -> None:
        """Bring the hash tables up to date with the weights."""
        raise NotImplementedError  # abstract

    def _train(self, source: Source, progress: Progress, listeners: loop.Listeners, work: float, validate: Callable[[], dict] | None,
               begin: Callable[[], Any] = lambda: None) -> History:
        """Run the epochs that are left; `begin` is called after ``on_fit_begin``."""
        self._progress = (progress, listeners.callbacks, source.sampler)
        try:
            with compute_threads(work):
                listeners.notify("on_fit_begin", self, {"epochs": progress.epochs, "batches": source.batches(progress.batch_size),
                                                        "batch_size": progress.batch_size, **source.logs()})
                begin()
                return loop.train(self, source, progress, listeners=listeners, lock=self._lock, validate=validate)
        finally:
            self._progress = None
