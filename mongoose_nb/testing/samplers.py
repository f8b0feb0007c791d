"""What a sampler of `nn` promises: labels first, no output twice, and a state from which it goes on exactly."""

import contextlib
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.core.registry import describe, make
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.testing.factories import over_threads
from mongoose_nb.testing.report import Report, described, require

COUNTS = ("labels", "retrieved", "uniform", "active")


def check_sampler(make_sampler: Callable[[], Any], *, n_outputs: int = 300, width: int = 8, batch: int = 20, steps: int = 8,
                  seed: int = 0) -> Report:
    """Check a sampler against the contract that `nn.Sampler` states.

    The sampler is bound to a small layer, whose weights move as in training, and has to choose candidates for random activations.

    Parameters
    ----------
    make_sampler : callable
        ``make_sampler()`` returns an unbound sampler, each time with the same arguments.
    n_outputs, width : int
        Shape of the layer.
    batch : int
        Samples of a step. They have none to three labels.
    steps : int
        Steps before the state is saved, and after.
    seed : int
        Of the layer, of the activations and of the sampler.

    Returns
    -------
    Report

    Raises
    ------
    CheckFailed
        Named ``description``, ``pickle``, ``binding``, ``ids``, ``labels first``, ``duplicates``, ``pair column``, ``counts``, ``same
        again``, ``threads``, ``peek``, ``prediction`` or ``state``.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> from mongoose_nb.testing import check_sampler
    >>> report = check_sampler(lambda: nn.Uniform(20))
    >>> "duplicates" in report
    True
    """
    report = Report()
    _check_description(make_sampler, report)
    settings = {"n_outputs": n_outputs, "width": width, "batch": batch, "seed": seed}
    first = _Run(make_sampler(), **settings)
    traces = [first.step() for _ in range(2 * steps)]

    def run():
        again = _Run(make_sampler(), **settings)
        return [again.step() for _ in traces]

    for check in ("ids", "labels first", "duplicates", "counts"):
        report.holds(check)
    if first.shared and first.sets.ids is not None:
        report.holds("pair column")
    _require_same("same again", traces, run())
    report.holds("same again")
    over_threads(report, run, lambda got, wanted, what: _require_same("threads", wanted, got))
    _check_looking(make_sampler, settings, traces, report)
    _check_state(make_sampler, settings, traces, steps, report)
    return report


class _Run:
    """A bound sampler with its layer, which moves at every step.

    Parameters
    ----------
    sampler : nn.Sampler
    n_outputs, width, batch, seed : int
    """

    def __init__(self, sampler, *, n_outputs, width, batch, seed):
        rng = np.random.default_rng(seed)
        self.weights, self.bias = (Parameter(rng.standard_normal(shape).astype(np.float32)) for shape in ((n_outputs, width), n_outputs))
        self.n_outputs, self.batch, self.seed, self.number, self.sets = n_outputs, batch, seed, 0, None
        before = describe(sampler)
        self.sampler = sampler.bind(self.weights, self.bias, seed)
        require(self.sampler is not sampler and describe(sampler) == before, "binding", "bind has to return another object, and leave the "
                "sampler as it was")
        self.shared = self.sampler.shape != "sample"

    def timer(self, phase):
        """Stands for the timer of training."""
        return contextlib.nullcontext()

    def data(self):
        """Activations and labels of the present step."""
        rng = np.random.default_rng([self.seed, self.number])
        h = np.maximum(rng.standard_normal((self.batch, self.weights.value.shape[1])), 0).astype(np.float32) + np.float32(0.1)
        count = rng.integers(0, 4, self.batch)
        ids = [rng.choice(self.n_outputs, n, replace=False) for n in count]
        return h, Rows(np.cumsum(count) - count, count, np.concatenate([*ids, np.zeros(0, int)]).astype(np.int32), None)

    def step(self):
        """Choose candidates, check them, and move the weights; returns what was chosen, as bytes."""
        h, labels = self.data()
        if self.shared:
            sets = self.sampler.shared(h, labels, self.number, self.timer)
            _check_shared(sets, labels, self.n_outputs)
        else:
            sets = self.sampler.per_sample(h, labels, self.number, self.timer)
            _check_sets(sets, labels, self.n_outputs)
            self.sampler.after_loss(sets, np.full(len(sets.ids), 0.1, np.float32))
        _check_counts(self.sampler.counts(), sets)
        self.sets = sets
        trace = _fingerprint(sets)
        rng = np.random.default_rng([self.seed, self.number, 1])
        self.weights.value += np.float32(0.1) * rng.standard_normal(self.weights.value.shape).astype(np.float32)
        self.sampler.after_update(self.number, self.timer, lambda: None)
        self.number += 1
        return trace

    def go_on_from(self, other):
        """Take the weights, the step and the state of another run, by way of what a file holds."""
        settings, arrays = split(state_of(other.sampler))
        self.weights.value[:], self.bias.value[:], self.number = other.weights.value, other.bias.value, other.number
        restore(self.sampler, join(json.loads(json.dumps(settings)), {name: array.copy() for name, array in arrays.items()}))


def _fingerprint(sets):
    """The ids that were chosen and their weights, as bytes."""
    parts = [sets.ids] if not hasattr(sets, "start") else [sets.ids[s:s + n] for s, n in zip(sets.start, sets.count)]
    return b"|".join(b"" if part is None else np.ascontiguousarray(part).tobytes() for part in (*parts, sets.shifts))


def _check_ids(ids, n_outputs):
    """Ids of a type that kernels take, within the layer, each once."""
    require(isinstance(ids, np.ndarray) and ids.dtype == np.int32 and ids.ndim == 1, "ids", f"ids must be an int32 array with one axis; "
            f"got {getattr(ids, 'dtype', type(ids).__name__)}")
    require(not ids.size or (ids.min() >= 0 and ids.max() < n_outputs), "ids", f"ids must be from 0 to {n_outputs - 1}")
    require(len(np.unique(ids)) == len(ids), "duplicates", f"{len(ids) - len(np.unique(ids))} ids are repeated")


def _check_sets(sets, labels, n_outputs):
    """`ActiveSets` for these labels."""
    n = len(labels.start)
    for name in ("start", "count", "n_label", "n_exact", "n_hit"):
        value = getattr(sets, name)
        require(value.shape == (n,) and value.dtype == np.int64, "ids", f"{name} must be ({n},) int64; got {value.dtype} {value.shape}")
    require(sets.shift.shape == (n,) and sets.shifts.shape in ((0,), sets.ids.shape), "ids", "shift must be of one number a sample, shifts "
            "of one an id, or empty")
    for i in range(n):
        ids = sets.ids[sets.start[i]:sets.start[i] + sets.count[i]]
        _check_ids(ids, n_outputs)
        own = labels.ids[labels.start[i]:labels.start[i] + labels.count[i]]
        require(sets.n_label[i] == len(own) and np.array_equal(ids[:len(own)], own), "labels first", f"sample {i} has the labels "
                f"{own.tolist()}, its set begins with {ids[:len(own)].tolist()}")
        require(sets.n_label[i] <= sets.n_exact[i] <= sets.count[i], "counts", "n_label <= n_exact <= count must hold")


def _check_shared(shared, labels, n_outputs):
    """A `SharedSet` for these labels."""
    if shared.ids is None:
        return
    _check_ids(shared.ids, n_outputs)
    own = np.unique(labels.flat()[1])
    require(np.array_equal(np.sort(shared.ids[:shared.n_label]), own), "labels first", f"the batch has the labels {own.tolist()}, the set "
            f"begins with {shared.ids[:shared.n_label].tolist()}")
    require(shared.n_label <= shared.n_exact <= len(shared.ids), "counts", "n_label <= n_exact <= number of ids must hold")
    require(np.array_equal(shared.ids[shared.pair_column], labels.flat()[1]), "pair column", "pair_column must be the place of every label "
            "of every sample")
    require(shared.shifts.shape in ((0,), shared.ids.shape), "ids", "shifts must be of one number an id, or empty")


def _check_counts(counts, sets):
    """Counts that say what was chosen."""
    if not hasattr(sets, "start") and sets.ids is None:
        return
    missing = [name for name in COUNTS if name not in counts]
    require(not missing, "counts", f"counts lack {missing}; `Sampler.count` notes them")
    if hasattr(sets, "start"):
        wanted = sets.n_label.mean(), (sets.n_exact - sets.n_label).mean(), (sets.count - sets.n_exact).mean(), sets.count.mean()
    else:
        wanted = sets.n_label, sets.n_exact - sets.n_label, len(sets.ids) - sets.n_exact, len(sets.ids)
    for name, value in zip(COUNTS, wanted):
        require(np.isclose(counts[name], value), "counts", f"{name} is {counts[name]}, but {value} were chosen", observed=counts[name],
                expected=value)


def _require_same(check, wanted, got):
    for number, (a, b) in enumerate(zip(wanted, got, strict=True)):
        require(a == b, check, f"the candidates of step {number} are others")


def _check_description(make_sampler, report):
    sampler = make_sampler()
    description = json.loads(json.dumps(described(sampler, "sampler")))
    again = described(make("sampler", description), "sampler")
    require(json.loads(json.dumps(again)) == description, "description", f"{description} makes a sampler that is described as {again}")
    report.holds("description")
    copy = pickle.loads(pickle.dumps(sampler))
    require(describe(copy) == describe(sampler), "pickle", f"{sampler!r} comes back as {copy!r}")
    report.holds("pickle")


def _check_looking(make_sampler, settings, traces, report):
    """Looks and predictions between the steps change nothing."""
    run = _Run(make_sampler(), **settings)
    for number, trace in enumerate(traces):
        h, _ = run.data()
        if number:
            seen = run.sampler.peek(h)
            (_check_sets if hasattr(seen, "start") else _check_shared)(seen, Rows.empty(len(h)), settings["n_outputs"])
            if not run.shared:
                _check_sets(run.sampler.per_sample(h, Rows.empty(len(h)), number, run.timer, False), Rows.empty(len(h)),
                           settings["n_outputs"])
        require(run.step() == trace, "peek", f"the candidates of step {number} are others where peek, or a prediction, came before")
    report.holds("peek")
    if not run.shared:
        report.holds("prediction")


def _check_state(make_sampler, settings, traces, steps, report):
    """What is saved after half of the steps goes on exactly, and saving changes nothing."""
    run, other = _Run(make_sampler(), **settings), _Run(make_sampler(), **settings)
    for _ in range(steps):
        run.step()
    other.go_on_from(run)
    for name, now in (("saved", run), ("restored", other)):
        for number in range(steps, 2 * steps):
            require(now.step() == traces[number], "state", f"the candidates of step {number} are others where the state was {name} at step "
                    f"{steps}; does saved_state name all that changes?")
    report.holds("state")
