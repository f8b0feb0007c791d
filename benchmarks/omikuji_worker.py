"""omikuji (label trees in Rust) in a process and an environment of its own: train on one file in XC text, rank the rows of another."""

import json
import os
import resource
import sys
import tempfile
import time

import omikuji


def cpu():
    """Seconds of processor time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    """Settings come as JSON in the first argument; the answer goes to the standard output, as its last line."""
    settings = json.loads(sys.argv[1])
    started, used = time.perf_counter(), cpu()
    model = omikuji.Model.train_on_data(settings["train"], omikuji.Model.default_hyper_param(), n_threads=settings["threads"])
    answer = {"seconds": time.perf_counter() - started, "cpu": cpu() - used}
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        answer["bytes"] = sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(folder) for name in names)
    answer["peak_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with open(settings["test"], encoding="utf-8") as lines:
        rows = [line.rstrip("\n").partition(" ")[2] for line in lines][1:]
    rows = [[(int(f), float(v)) for f, v in (pair.split(":") for pair in row.split())] for row in rows]
    used, started = cpu(), time.perf_counter()
    ids = [[label for label, _ in model.predict(row, top_k=settings["k"])] for row in rows]
    answer |= {"ms": 1000 * (time.perf_counter() - started) / len(rows), "ids": ids}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
