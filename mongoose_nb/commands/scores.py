"""Scores of a network on labelled rows, as a dict and as a table."""

from mongoose_nb.commands.console import result


def score(network, X, Y, k=None, *, exact=True, propensity=None):
    """P@j, nDCG@j, R@j and, with inverse propensities, PSP@j for j = 1, 3, 5, ... and k (5, or all outputs if there are fewer)."""
    from mongoose_nb import metrics

    k = min(5, network.n_outputs) if k is None else k
    ids, _ = network.predict_topk(X, k, exact=exact)
    columns = {"P": metrics.precision_at_k(Y, ids, k), "nDCG": metrics.ndcg_at_k(Y, ids, k), "R": metrics.recall_at_k(Y, ids, k)}
    if propensity is not None:
        columns["PSP"] = metrics.psp_at_k(Y, ids, propensity, k)
    places = sorted({*range(1, k + 1, 2), k})
    return {f"{name}@{j}": float(values[j - 1]) for name, values in columns.items() for j in places}


def show_scores(scores, title):
    """The scores as a table: a line for each k, a column for each score."""
    names = list(dict.fromkeys(name.split("@")[0] for name in scores))
    places = list(dict.fromkeys(int(name.split("@")[1]) for name in scores))
    result(title)
    result(f"{'k':>4}" + "".join(f"{name + '@k':>9}" for name in names))
    for j in places:
        result(f"{j:4d}" + "".join(f"{scores[f'{name}@{j}']:9.4f}" for name in names))
