"""Samplers of a layer in shards: each has a range of the outputs, and a sampler of its own that chooses its part of the candidates."""

from __future__ import annotations

from typing import Any

from mongoose_nb.core.registry import describe

# Between the seeds of two shards.
SEEDS = 0x9E3779B1


def range_of(i: int, n: int, units: int) -> tuple[int, int]:
    """First output of shard i of n of a layer, and the one behind its last."""
    return units * i // n, units * (i + 1) // n


def part_of_sampler(sampler: Any, i: int, n: int, units: int, seed: int) -> dict[str, Any]:
    """`Sampler.of_shard` of a sampler with ``candidates`` and a ``proposal``: the same settings, and a part of the candidates. One shard
    has the candidates of a layer in one place.

    Parameters
    ----------
    sampler : Sampler
    i, n : int
        Shard i of n.
    units : int
        Outputs of the layer.
    seed : int
        Of the sampler.

    Returns
    -------
    dict
    """
    described = {**describe(sampler, "sampler"), "candidates": -(-sampler.candidates // n)}
    if "proposal" in described:
        described["proposal"] = describe(sampler.proposal.of_range(*range_of(i, n, units)), "proposal")
    return {"sampler": described, "seed": (seed + i * SEEDS) % 2**32}
