"""Training runs in a directory: each goes on where it stands, so that long ones can be done piece by piece."""

import json
import pathlib
import time

from mongoose_nb.reformer import ReformerLM


class Runs:
    """Models and their histories in `directory`, trained until `steps` as long as `minutes` allow.

    Parameters
    ----------
    directory : path-like
    minutes : float
        Time for training in all; what is not finished then can be continued with the same directory.
    """

    def __init__(self, directory, minutes):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.until = time.perf_counter() + 60 * minutes

    def train(self, name, make, task, *, steps, every, enough=None, **fit):
        """(model, history) of a run: of `steps` steps, or until its last accuracy is at least `enough`, or time is over.

        `make` gives the untrained model; `every` steps are scored and saved.
        """
        path, log = self.directory / f"{name}.model", self.directory / f"{name}.jsonl"
        model = ReformerLM.load(path) if path.exists() else make()
        history = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        while model.step < steps and time.perf_counter() < self.until and not done(history, enough):
            entry = model.fit(task, batches=min(every, steps - model.step), validation=fit.get("validation", task),
                              **{k: v for k, v in fit.items() if k != "validation"})[0]
            history.append(entry)
            model.save(path)
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps({"run": name, **entry}) + "\n")
            print(f"{name}: step {entry['step']:,} loss {entry['loss']:.4f} bits {entry['bits']:.4f} accuracy {entry['accuracy']:.4f} "
                  f"{entry['tokens_per_s']:,.0f} tokens/s", flush=True)
        return model, history


def done(history, enough):
    """Whether the last score is good enough."""
    return enough is not None and bool(history) and history[-1]["accuracy"] >= enough


def seconds(history):
    """Training time of a run."""
    return sum(entry["seconds"] for entry in history)
