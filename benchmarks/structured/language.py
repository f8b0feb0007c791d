"""Language models with structured feed-forward layers beside a dense one: bits per token at equal steps and at equal time."""

import gzip
import pathlib
import tempfile

import numpy as np

from benchmarks.charlm import read
from mongoose_nb.nn import Linear
from mongoose_nb.reformer import ReformerLM, TextTask
from mongoose_nb.reformer.text import Characters


def words(folder, size):
    """WikiText-2 as shipped: (training tokens of its test part, tokens of its validation part, vocabulary); rare words are one token."""
    texts = [gzip.open(pathlib.Path(folder) / f"{part}.txt.gz", "rt", encoding="utf-8").read().replace("\n", " <eos> ").split()
             for part in ("test", "valid")]
    names, counts = np.unique(texts[0], return_counts=True)
    known = {name: i + 1 for i, name in enumerate(names[np.lexsort((names, -counts))][:size - 1])}
    return *(np.array([known.get(word, 0) for word in text], np.int32) for text in texts), size


def characters(folder, size):
    """Characters of EUR-Lex: (training tokens, test tokens, alphabet)."""
    train, test = read(folder, size)
    alphabet = Characters.of(train, 128)
    return alphabet.encode(train), alphabet.encode(test), len(alphabet)


OUTER = "monarch narrows"  # dense layers widen, Monarch layers narrow


class Run:
    """A model that is trained a few steps at a time; `way` has (steps, seconds of training, bits)."""

    def __init__(self, model, data, args, way=()):
        self.model, self.data, self.args, self.way = model, data, args, list(way)

    @property
    def seconds(self):
        """Spent on training."""
        return self.way[-1][1] if self.way else 0.0

    @property
    def bits(self):
        """At the end."""
        return self.way[-1][2]

    def go_on(self):
        """Some steps, and a score."""
        history = self.model.fit(self.data[0], epochs=1, batches=self.args.every, batch_size=self.args.batch_size)
        bits = self.model.evaluate(self.data[1], batches=self.args.eval_batches, batch_size=self.args.batch_size)["bits"]
        self.way.append((self.model.step, self.seconds + history[-1]["seconds"], bits))

    def densified(self):
        """Another run, which goes on with dense layers."""
        with tempfile.TemporaryDirectory() as folder:
            self.model.save(f"{folder}/model")
            return Run(ReformerLM.load(f"{folder}/model").densify(), self.data, self.args, self.way)


def at_time(way, seconds):
    """Bits at a time, between the points that were measured."""
    return float(np.interp(seconds, [point[1] for point in way], [point[2] for point in way]))


def measure(name, args):
    """Figures of one set. Models take turns, so that a busy machine slows all alike."""
    train, test, n_tokens = words(args.words, 4096) if name == "wikitext-2 words" else characters(args.characters, 8_000_000)
    data = [TextTask(tokens, n_tokens, args.length, seed=0) for tokens in (train, test)]

    def make(ff):
        return ReformerLM(n_tokens, max_length=args.length, width=512, n_layers=2, n_heads=8, ff_width=2048, ff=ff, attention="full",
                          reversible=False, activation="gelu", clip_norm=1.0, lr=args.lr, lr_schedule=Linear(end=1.0, warmup=50))

    monarch = {"name": "monarch", "blocks": args.blocks}
    forms = {"dense": "dense", "monarch": monarch, OUTER: ("dense", monarch)}
    forms |= {"pixelfly": {"name": "pixelfly", "density": 0.2}} if args.with_pixelfly else {}
    for form in forms.values():  # compiled before anything is timed
        model = make(form)
        model.fit(data[0], epochs=1, batches=1, batch_size=args.batch_size)
        model.evaluate(data[1], batches=1, batch_size=args.batch_size)
    runs = {form: Run(make(settings), data, args) for form, settings in forms.items()}
    dense = runs["dense"]
    others = {form: run for form, run in runs.items() if form != "dense"}
    while dense.model.step < args.steps:
        for run in runs.values():
            run.go_on()
        if "reverse" in others:
            others["reverse"].go_on()
        elif dense.model.step >= args.reverse * args.steps:  # the dense part of reverse sparsification begins
            others["reverse"] = runs["monarch"].densified()
    steps, seconds = dense.model.step, dense.seconds
    structured = runs["monarch"]
    at_equal_steps = {form: run.bits for form, run in runs.items()}
    seconds_of_steps = {form: run.seconds for form, run in runs.items()}
    # go on in turns until the time of the dense model is spent
    while any(run.seconds < seconds for run in others.values()):
        for run in others.values():
            if run.seconds < seconds:
                run.go_on()
    reached = next((at for _, at, bits in others["reverse"].way if bits <= dense.bits), None)
    return {"set": name, "tokens": n_tokens, "steps": steps, "seconds": seconds, "equal_steps": at_equal_steps,
            "seconds_of_steps": seconds_of_steps,
            "equal_time": {"dense": dense.bits, **{form: at_time(run.way, seconds) for form, run in others.items()}},
            "parameters": {form: sum(p.value.size for name, p in run.model.parameters().items() if "layers" in name)
                           for form, run in runs.items()},
            "reverse_reaches_dense_after": reached, "monarch_steps_in_time": structured.model.step,
            "ways": {"dense": dense.way, **{form: run.way for form, run in others.items()}}}


def text(result):
    """A few lines."""
    lines = []
    for entry in result:
        lines.append(f"{entry['set']}, {entry['tokens']:,} tokens, {entry['steps']:,} steps of the dense model in {entry['seconds']:.0f} s")
        lines.append(f"  {'feed-forward':16}{'parameters':>12}{'seconds':>9}{'bits, equal steps':>19}{'bits, equal time':>18}")
        for form in entry["equal_time"]:
            count = entry["parameters"].get(form)
            lines.append(f"  {form:16}{'' if count is None else f'{count:,}':>12}" + (
                f"{entry['seconds_of_steps'][form]:9.0f}{entry['equal_steps'][form]:19.3f}" if count is not None else f"{'':28}")
                + f"{entry['equal_time'][form]:18.3f}")
        if "reverse" not in entry["equal_time"]:
            continue
        after = entry["reverse_reaches_dense_after"]
        lines.append("  reverse sparsification " + ("does not reach the dense model's bits in its time" if after is None else
                                                    f"reaches the dense model's bits after {after:.0f} s"))
    return "\n".join(lines)
