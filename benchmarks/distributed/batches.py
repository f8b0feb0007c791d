"""Time of a training by the size of its batches: whole or in parts, with messages straight to workers or through the scheduler."""

import numpy as np

from benchmarks.distributed.cluster import peaks, workers
from benchmarks.distributed.steps import data, network

OUTPUTS, ROWS, EPOCHS, WORKERS = 60_000, 4096, 3, 2
CASES = [(256, None, False), (256, None, True), (1024, None, True), (4096, None, True), (4096, 256, True), (4096, 1024, True)]


def case(batch, micro, direct):
    """One training on new workers, so that their memory is its own."""
    from mongoose_nb.distributed import fit

    with workers(WORKERS) as client:
        client.direct_to_workers = direct
        history = fit(network(OUTPUTS, "full"), *data(ROWS, OUTPUTS), client=client, epochs=EPOCHS + 1, batch_size=batch,
                      micro_batch_size=micro)
        last = history[-1]
        return {"batch": batch, "micro": micro, "direct": direct, "seconds": [entry["seconds"] for entry in history[1:]],
                "messages": last["time_split"]["messages"], "bytes": (last["bytes_sent"] + last["bytes_received"]) / (EPOCHS + 1),
                "memory": max(peaks(client))}


def measure(args):
    """All cases, one after the other."""
    return {"cases": [case(*given) for given in CASES]}


def text(found):
    """A table."""
    lines = [f"{ROWS:,} rows, {OUTPUTS:,} outputs, all computed, 128 wide, on {WORKERS} single-threaded workers: seconds of an epoch,",
             f"least of {EPOCHS} (median in brackets); share of them in which messages are waited for; memory of a worker at its peak",
             f"{'batch':>7}{'in parts of':>13}{'messages':>16}{'seconds':>16}{'waiting':>9}{'MB an epoch':>13}{'MB a worker':>13}"]
    for one in found["cases"]:
        way, seconds = "direct" if one["direct"] else "by scheduler", one["seconds"]
        lines.append(f"{one['batch']:>7,}{one['micro'] or '-':>13}{way:>16}{f'{min(seconds):.2f} ({np.median(seconds):.2f})':>16}"
                     f"{one['messages']:>9.0%}{one['bytes'] / 1e6:>13.1f}{one['memory'] / 1e6:>13,.0f}")
    return "\n".join(lines)
