"""Time of a training by the size of its batches: whole or in parts, with messages straight to workers or through the scheduler."""

from benchmarks.distributed.cluster import peaks, workers
from benchmarks.distributed.steps import data, network

OUTPUTS, ROWS, ROUNDS, WORKERS = 60_000, 4096, 3, 2
CASES = [(256, None), (1024, None), (4096, None), (4096, 256), (4096, 1024)]


def case(batch, micro):
    """Trainings on new workers, so that their memory is its own: ways of messages take turns."""
    from mongoose_nb.distributed import fit

    seconds, waiting = {"scheduler": [], "direct": []}, {}
    with workers(WORKERS) as client:
        for _ in range(ROUNDS):
            for way in seconds:
                client.direct_to_workers = way == "direct"
                last = fit(network(OUTPUTS, "full"), *data(ROWS, OUTPUTS), client=client, epochs=2, batch_size=batch,
                           micro_batch_size=micro)[-1]
                seconds[way].append(last["seconds"])
                waiting[way] = last["time_split"]["messages"]
        return {"batch": batch, "micro": micro, "seconds": seconds, "waiting": waiting,
                "bytes": (last["bytes_sent"] + last["bytes_received"]) / 2, "memory": max(peaks(client))}


def measure(args):
    """All cases, one after the other."""
    return {"cases": [case(*given) for given in CASES]}


def text(found):
    """A table."""
    lines = [f"{ROWS:,} rows, {OUTPUTS:,} outputs, all computed, 128 wide, on {WORKERS} single-threaded workers: seconds of an epoch,",
             f"least of {ROUNDS} (share in which messages are waited for); messages go through the scheduler, or straight to workers",
             f"{'batch':>7}{'in parts of':>13}{'by scheduler':>16}{'straight':>16}{'MB an epoch':>13}{'MB a worker':>13}"]
    for one in found["cases"]:
        cells = (f"{min(one['seconds'][way]):.2f} ({one['waiting'][way]:.0%})" for way in ("scheduler", "direct"))
        lines.append(f"{one['batch']:>7,}{one['micro'] or '-':>13}" + "".join(f"{cell:>16}" for cell in cells)
                     + f"{one['bytes'] / 1e6:>13.1f}{one['memory'] / 1e6:>13,.0f}")
    return "\n".join(lines)
