"""Samplers by name, from saved settings, or as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mongoose_nb.core.registry import make
from mongoose_nb.nn.sampling import adaptive, auto, full, lsh, uniform  # noqa: F401  (registers them)

if TYPE_CHECKING:
    from mongoose_nb.nn.sampling.base import Sampler


def make_sampler(sampler: str | dict | Sampler) -> Sampler:
    """A sampler from its name, its description, or itself.

    Parameters
    ----------
    sampler : str, dict or Sampler
        Names are those that are registered: ``"lsh"``, ``"uniform"``, ``"full"``, ``"adaptive"``, ``"auto"``. A description is a dict of
        ``"name"`` and constructor arguments.

    Returns
    -------
    Sampler
    """
    return make("sampler", sampler)
