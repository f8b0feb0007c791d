"""Callbacks that send the figures of a training to other programs."""

from __future__ import annotations

import numbers
import os
import re
from typing import Any

from mongoose_nb.core.registry import register
from mongoose_nb.nn.training.callbacks import Callback


def figures(logs: dict[str, Any]) -> dict[str, float]:
    """The numbers of an epoch's entry by name; those of nested dicts as ``name/key``. Its epoch and step are left out."""
    out: dict[str, float] = {}
    for name, value in logs.items():
        if isinstance(value, dict):
            out.update({f"{name}/{key}": float(number) for key, number in value.items() if isinstance(number, numbers.Real)})
        elif isinstance(value, numbers.Real) and name not in ("epoch", "step"):
            out[name] = float(value)
    return out


@register("callback", "tensorboard")
class TensorBoard(Callback):
    """Write every epoch's figures for TensorBoard. Needs tensorboardX, the extra ``tensorboard``, or PyTorch.

    Parameters
    ----------
    folder : path-like
        Where to write; look at it with ``tensorboard --logdir FOLDER``.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = os.fspath(folder)

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Open the file."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ImportError("TensorBoard needs tensorboardX: pip install 'mongoose_nb[tensorboard]'") from None
        self._writer = SummaryWriter(self.folder)

    def on_epoch_end(self, network: Any, logs: Any) -> None:
        """Write the figures."""
        for name, value in figures(logs).items():
            self._writer.add_scalar(name, value, logs["epoch"])

    def on_fit_end(self, network: Any, logs: Any) -> None:
        """Close the file."""
        self._writer.close()


@register("callback", "mlflow")
class MLflow(Callback):
    """Log settings and every epoch's figures to the active run of MLflow, or to a new one. Needs mlflow, the extra ``mlflow``.

    Parameters
    ----------
    run_name : str, optional
        Of the run that is begun where none is active; it is ended with the training.
    """

    def __init__(self, run_name: str | None = None) -> None:
        self.run_name = run_name

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Find or begin the run, and log the settings."""
        try:
            import mlflow
        except ImportError:
            raise ImportError("MLflow needs mlflow: pip install 'mongoose_nb[mlflow]'") from None
        self._mlflow, self._own = mlflow, mlflow.active_run() is None
        if self._own:
            mlflow.start_run(run_name=self.run_name)
        mlflow.log_params({"network": repr(network)[:500], "epochs": logs["epochs"], "batch_size": logs["batch_size"]})

    def on_epoch_end(self, network: Any, logs: Any) -> None:
        """Log the figures; MLflow does not take every character in a name."""
        self._mlflow.log_metrics({re.sub(r"[^\w./ -]", "_", name): value for name, value in figures(logs).items()}, step=logs["epoch"])

    def on_fit_end(self, network: Any, logs: Any) -> None:
        """End the run that this has begun."""
        if self._own:
            self._mlflow.end_run()
