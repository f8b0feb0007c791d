"""Scores of a network on labelled rows as a table."""

from __future__ import annotations

from mongoose_nb.commands.console import result


def show_scores(scores: dict[str, float], title: str) -> None:
    """The scores as a table: a line for each k, a column for each score."""
    names = list(dict.fromkeys(name.split("@")[0] for name in scores))
    places = list(dict.fromkeys(int(name.split("@")[1]) for name in scores))
    result(title)
    result(f"{'k':>4}" + "".join(f"{name + '@k':>9}" for name in names))
    for j in places:
        result(f"{j:4d}" + "".join(f"{scores[f'{name}@{j}']:9.4f}" for name in names))
