"""Language models with structured feed-forward layers beside dense ones, one change at a time: bits at equal steps and at equal time.

Seconds are those of the processor in one process, so that a trial may run while others do: give it one thread (NUMBA_NUM_THREADS=1).
"""

import time

import numpy as np

from benchmarks.structured.texts import characters, words
from mongoose_nb import nn
from mongoose_nb.core.registry import register
from mongoose_nb.reformer import ReformerLM, TextTask

WIDTH, LENGTH, BATCH = 256, 128, 4


@register("layer", "monarch of a trial")
class Tried(nn.Monarch):
    """A Monarch layer with one thing changed.

    `power`: a factor's learning rate is multiplied by (inputs of the layer / inputs of one of its blocks) ** power; `nn.Monarch` takes the
    root. `only`: "inner" or "outer", which of the two layers of a feed-forward block is structured. `start`: "normal", or "projection" of a
    dense layer's weights.
    """

    def __init__(self, units, blocks=None, rank=None, power=0.0, only=None, start="normal", activation=None, *, use_bias=True, init="he",
                 dtype="float32"):
        super().__init__(units, blocks, rank, activation, use_bias=use_bias, init=init, dtype=dtype)
        self.power, self.only, self.start = power, only, start

    def build(self, n_inputs, rng):
        """The layer, or a dense one."""
        if self.only == ("outer" if self.units > n_inputs else "inner"):
            return nn.Dense(self.units, self.activation, use_bias=self.use_bias, init=self.init, dtype=self.dtype).build(n_inputs, rng)
        return super().build(n_inputs, rng)

    def _build_map(self, rng, gain):
        super()._build_map(rng, gain)
        if self.start == "projection":
            dense = nn.Dense(self.units, init=self.init).build(self.n_inputs, rng).dense_weights()
            self._take(dense)
            self.scale_weights(np.linalg.norm(dense) / np.linalg.norm(self.dense_weights()))
        for factor in (self.right, self.left):
            factor.lr_factor = (self.n_inputs / factor.value.shape[1]) ** self.power


@register("layer", "pixelfly of a trial")
class TriedPixelfly(nn.Pixelfly):
    """A Pixelfly layer whose learning rates go by the inputs of a unit, as in `Tried`."""

    def __init__(self, units, density=0.2, power=0.0, activation=None, *, use_bias=True, init="he", dtype="float32"):
        super().__init__(units, density, activation=activation, use_bias=use_bias, init=init, dtype=dtype)
        self.power = power

    def _build_map(self, rng, gain):
        super()._build_map(rng, gain)
        inputs = self.block_mask.sum(axis=1).mean() * self._block
        self.blocks.lr_factor = max(1.0, self.n_inputs / inputs) ** self.power
        if self.up is not None:
            self.up.lr_factor = max(1.0, self.n_inputs / self.up.value.shape[1]) ** self.power


def monarch(blocks=4, **options):
    """The description of a `Tried` layer."""
    return {"name": "monarch of a trial", "blocks": blocks, **options}


#: name -> form of the feed-forward layers, or of a dense layer with as many weights as 4 blocks have
TRIALS = {
    "dense": "dense",
    "narrow dense": "dense",
    "Monarch, 4 blocks": monarch(),
    "4 blocks, rates ^ 1/2": monarch(power=0.5),
    "4 blocks, rates ^ 1": monarch(power=1.0),
    "4 blocks, from a projection": monarch(start="projection"),
    "2 blocks, rates ^ 1/2": monarch(2, power=0.5),
    "twice the rank, rates ^ 1/2": monarch(rank=32, power=0.5),
    "square roots, rates ^ 1/2": monarch(None, power=0.5),
    "inner layer only": monarch(only="inner"),
    "outer layer only": monarch(only="outer"),
    "outer layer only, rates ^ 1/2": monarch(only="outer", power=0.5),
    "Pixelfly, 20 %": {"name": "pixelfly of a trial", "density": 0.2},
    "Pixelfly, 20 %, rates ^ 1/2": {"name": "pixelfly of a trial", "density": 0.2, "power": 0.5},
    "Pixelfly, 40 %, rates ^ 1/2": {"name": "pixelfly of a trial", "density": 0.4, "power": 0.5},
}
REVERSE = "reverse: "


def key(entry):
    """What a trial is known by."""
    return entry["set"], entry["width"], entry["trial"], entry["lr"], entry["steps"]


def group(entry):
    """What trials are compared within."""
    return entry["set"], entry["width"]


def at_time(way, seconds):
    """Bits at a time, between the points that were measured."""
    return float(np.interp(seconds, [point[1] for point in way], [point[2] for point in way]))


def weights(model):
    """Weights of the feed-forward layers, without biases."""
    return sum(p.value.size for name, p in model.parameters().items() if ".layers." in name and not name.endswith("bias"))


def train(tasks, n_tokens, trial, lr, args, until=None):
    """(points (steps, seconds, bits) on the way, weights). A name that begins with `REVERSE` has its layers made dense after a share of
    the steps. After its steps a model goes on until `until` seconds are spent."""
    reverse = trial.startswith(REVERSE)
    width, form = args.trial_width, TRIALS[trial.removeprefix(REVERSE)]
    settings = {"max_length": LENGTH, "width": width, "n_layers": 2, "n_heads": width // 64, "ff": form, "attention": "full",
                "ff_width": 5 * width // 4 if trial == "narrow dense" else 4 * width, "reversible": False, "activation": "gelu",
                "clip_norm": 1.0, "lr": lr, "lr_schedule": nn.Linear(end=1.0, warmup=50)}
    first = ReformerLM(n_tokens, **settings)  # what is compiled is compiled before anything is timed
    first.fit(tasks[0], epochs=1, batches=1, batch_size=BATCH)
    if reverse:
        first.densify().fit(tasks[0], epochs=1, batches=1, batch_size=BATCH)
    model = ReformerLM(n_tokens, **settings)
    size, way, spent, changed = weights(model), [], 0.0, not reverse
    while model.step < args.trial_steps or until is not None and spent < until and model.step < 2 * args.trial_steps:
        if not changed and model.step >= args.reverse * args.trial_steps:
            start = time.process_time()
            model.densify()
            spent += time.process_time() - start
            changed = True
        start = time.process_time()
        model.fit(tasks[0], epochs=1, batches=args.trial_every, batch_size=BATCH)
        spent += time.process_time() - start
        way.append((model.step, spent, model.evaluate(tasks[1], batches=args.eval_batches, batch_size=BATCH)["bits"]))
    return way, size


def dense_of(entries, of):
    """The dense model of a group that ended best, or None."""
    found = [entry for entry in entries if group(entry) == of and entry["trial"] == "dense"]
    return min(found, key=lambda entry: entry["way"][-1][2], default=None)


def measure(args, kept):
    """Figures of all trials that are asked for and not kept, one after the other."""
    found = list(kept)
    for name in args.sets:
        data = words(args.words, 4096) if name == "wikitext-2 words" else characters(args.characters, 2_000_000)
        tasks = [TextTask(tokens, data[2], LENGTH, seed=0) for tokens in data[:2]]
        for trial in args.trials or TRIALS:
            for lr in args.trial_lrs:
                entry = {"set": name, "width": args.trial_width, "trial": trial, "lr": lr, "steps": args.trial_steps}
                if any(key(entry) == key(other) for other in found):
                    continue
                dense = dense_of(found, group(entry))
                until = None if dense is None or trial == "dense" else dense["way"][-1][1]
                entry["way"], entry["weights"] = train(tasks, data[2], trial, lr, args, until)
                found.append(entry)
                yield entry


def scores(entry, dense):
    """(bits beside the dense model's after as many steps, and after the same time; None where the trial ended before)."""
    steps, seconds, bits = dense["way"][-1]
    at = next((point[2] for point in entry["way"] if point[0] == steps), None)
    later = at_time(entry["way"], seconds) if entry["way"][-1][1] >= 0.98 * seconds else None
    return None if at is None else at - bits, None if later is None else later - bits


def best(entries, of, chosen, by=0):
    """The trial of a group, among those whose names `chosen` takes, that is nearest to the dense model (by steps, or with 1 by time), or
    None."""
    dense = dense_of(entries, of)
    found = [(scores(entry, dense)[by], i) for i, entry in enumerate(entries) if group(entry) == of and chosen(entry["trial"])
             and dense is not None and entry["steps"] == dense["steps"]]
    found = [pair for pair in found if pair[0] is not None]
    return entries[min(found)[1]] if found else None


def conclusions(entries):
    """A line in Markdown for each group: how far the main forms are from dense ones."""
    names = {"4 blocks, rates ^ 1/2": "Monarch with 4 blocks in both layers",
             "outer layer only, rates ^ 1/2": "Monarch in the one that narrows alone",
             "Pixelfly, 20 %, rates ^ 1/2": "Pixelfly with 20 % of the weights",
             "narrow dense": "narrow dense layers with as many weights as Monarch in both",
             f"{REVERSE}4 blocks, rates ^ 1/2": "reverse sparsification of Monarch in both",
             f"{REVERSE}outer layer only, rates ^ 1/2": "reverse sparsification of Monarch in the one that narrows"}
    lines = []
    for of in dict.fromkeys(group(entry) for entry in entries):
        found = []
        for trial, name in names.items():
            reverse = trial.startswith(REVERSE)
            entry = best(entries, of, lambda other, trial=trial: other == trial, by=int(reverse))
            if entry is not None:
                steps, time = scores(entry, dense_of(entries, of))
                later = "" if time is None else f" ({time:+.3f})"
                found.append(f"{name}{later}" if reverse else f"{name} {steps:+.3f}{later}")
        if found:
            lines.append(f"- Language model, {of[0]}, width {of[1]}: bits a token beside dense feed-forward layers after as many "
                         f"steps (and after the same time): {', '.join(found)}.")
    return lines


def reaches(entry, dense):
    """Share of the dense model's time after which a trial has its bits, between the points that were scored, or None."""
    (_, whole, goal), way = dense["way"][-1], entry["way"]
    for (_, start, above), (_, end, below) in zip(way, way[1:]):
        if below <= goal:
            return (start + (end - start) * (above - goal) / (above - below)) / whole
    return None


def text(entries):
    """A table for each set, best rates first named."""
    lines = []
    for of in dict.fromkeys(group(entry) for entry in entries):
        dense = dense_of(entries, of)
        if dense is None:
            continue
        (name, width), (steps, _, best) = of, dense["way"][-1]
        lines += [f"{name}: width {width}, feed-forward {4 * width:,}, {BATCH} windows of {LENGTH}, {steps} steps; dense {best:.3f} bits "
                  f"at rate {dense['lr']:g}", f"  {'feed-forward layers':40}{'weights':>9}{'rate':>8}{'ms a step':>11}{'bits':>8}"
                  f"{'to dense':>10}{'same time':>11}"]
        for entry in entries:
            if group(entry) != of or entry["steps"] != dense["steps"]:
                continue
            same_steps, same_time = scores(entry, dense)
            if entry["trial"].startswith(REVERSE):
                same_steps = None  # its last steps are dense ones
            shown = f"{same_steps + best:8.3f}{same_steps:+10.3f}" if same_steps is not None else f"{'':18}"
            later = f"{same_time:+11.3f}" if same_time is not None else f"{'':>11}"
            point = entry["way"][-1]
            lines.append(f"  {entry['trial']:40}{entry['weights']:9,}{entry['lr']:8g}{1e3 * point[1] / point[0]:11.0f}{shown}{later}")
    return "\n".join(lines)
