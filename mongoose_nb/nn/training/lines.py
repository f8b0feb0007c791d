"""An epoch in one line."""

from __future__ import annotations

from typing import Any


def epoch_line(logs: dict[str, Any], epochs: int) -> str:
    """Loss, P@1, active share, samples/s and time split of one epoch.

    Parameters
    ----------
    logs : dict
        Entry of the history.
    epochs : int
        Number of the last one.
    """
    score = f"  P@1 {logs['P@1']:.4f}" if "P@1" in logs else ""
    split = " ".join(f"{name} {share:.0%}" for name, share in logs["time_split"].items() if share >= 0.005)
    return (f"epoch {logs['epoch']}/{epochs}  loss {logs['loss']:.4f}{score}  active {logs['active_share']:.2%}  "
            f"{logs['samples_per_s']:,.0f} samples/s  {split}")
