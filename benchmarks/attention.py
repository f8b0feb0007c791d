"""Attention, forward and backward: LSH attention beside reformer-pytorch's, exact attention beside PyTorch's, by length."""

import json
import pathlib
import subprocess
import sys

NAMES = {"paper": "mongoose_nb", "released": "mongoose_nb, released code's rules", "reformer": "reformer-pytorch",
         "full": "mongoose_nb exact", "exact": "PyTorch exact"}


class _Worker:
    """A process that measures one side."""

    def __init__(self, python, side, threads):
        root = pathlib.Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen([python, "-m" if side == "ours" else str(root / "benchmarks" / "attention_worker.py"),
                                          *(["benchmarks.attention_worker"] if side == "ours" else []), side, str(threads)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)

    def ask(self, **command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended while it measured {command}; its message stands above")
        return json.loads(line)

    def close(self):
        self._process.stdin.write('{"quit": true}\n')
        self._process.stdin.close()
        self._process.wait()


def run(args):
    """Measure; the result and its table. See ``python -m benchmarks attention --help``."""
    threads = args.threads or 2
    ours = _Worker(sys.executable, "ours", threads)
    torch = _Worker(args.torch, "torch", threads) if args.torch else None
    rows = [json.loads(line) for line in args.keep.read_text().splitlines()] if args.keep and args.keep.exists() else []
    done = {(r["system"], r["length"], r["rounds"]) for r in rows}

    def measure(worker, system, length, rounds, batch=args.batch, repeats=None):
        if (system, length, rounds) in done:
            return
        repeats = repeats or max(1 if length > 8192 else 2, min(7, args.repeats * 4096 // length + 1))
        got = worker.ask(system=system, length=length, rounds=rounds, batch=batch, repeats=repeats)
        rows.append({"system": system, "length": length, "rounds": rounds, **got})
        if args.keep:
            with args.keep.open("a", encoding="utf-8") as kept:
                kept.write(json.dumps(rows[-1]) + "\n")
        print(f"{NAMES[system]}, {length} tokens, {rounds} rounds: {got['forward']:.3f} + {got['backward']:.3f} s", file=sys.stderr,
              flush=True)

    for system in ("paper", "released", "full"):  # compile
        ours.ask(system=system, length=256, rounds=2, batch=1, repeats=1)
    if torch:
        for system in ("reformer", "exact"):
            torch.ask(system=system, length=256, rounds=1, batch=1, repeats=2)
    for length in args.lengths:
        for rounds in args.hashes:
            measure(ours, "paper", length, rounds)
            measure(ours, "released", length, rounds)
            if torch:
                measure(torch, "reformer", length, rounds)
        measure(ours, "full", length, 0)
        if torch:
            measure(torch, "exact", length, 0)
    long = None
    if args.long:
        measure(ours, "paper", args.long, 2, repeats=1)
        long = next(r for r in rows if r["length"] == args.long)
    for worker in (ours, torch):
        if worker:
            worker.close()
    return {"threads": threads, "batch": args.batch, "rows": rows, "long": long}, _table(args, threads, rows, long)


def _table(args, threads, rows, long):
    found = {(r["system"], r["rounds"], r["length"]): r for r in rows}
    systems = [(s, n) for s in ("paper", "released", "reformer") for n in args.hashes] + [("full", 0), ("exact", 0)]
    systems = [key for key in systems if any(r["system"] == key[0] for r in rows)]
    names = {key: NAMES[key[0]] + (f", {key[1]} round{'s' * (key[1] > 1)}" if key[1] else "") for key in systems}
    width = max(map(len, names.values())) + 2
    head = "tokens".ljust(width) + "".join(f"{length:>10,}" for length in args.lengths)

    def table(title, cell):
        lines = [title, head]
        for key in systems:
            cells = [cell(key, length) for length in args.lengths]
            if any(cells):
                lines.append(names[key].ljust(width) + "".join(f"{c:>10}" for c in cells))
        return lines

    def total(key, length):
        r = found.get((*key, length))
        return r["forward"] + r["backward"] if r else None

    def times(key, length):
        t = total(key, length)
        return "" if t is None else f"{1e3 * t:,.1f}"

    def against(other):
        def cell(key, length):
            base = total(("reformer", key[1]) if other == "reformer" else ("exact", 0), length)
            return f"{base / total(key, length):.1f}x" if base and key[0] not in ("reformer", "exact") else ""
        return cell

    def memory(key, length):
        r = found.get((*key, length))
        return f"{r['peak_MB']:,.0f}" if r else ""

    lines = [f"causal self-attention (language modelling), forward + backward, width 256, 4 heads, batch {args.batch}, buckets of 64, "
             f"{threads} threads, float32; random queries, which fill buckets evenly", ""]
    lines += table("milliseconds", times) + [""]
    if any(r["system"] == "reformer" for r in rows):
        lines += table("times as fast as reformer-pytorch at equal rounds", against("reformer")) + [""]
        lines += table("times as fast as PyTorch's exact attention", against("exact")) + [""]
    lines += table("peak memory in MB, inputs and gradients included", memory)
    if long:
        lines += ["", f"{long['length']:,} tokens, batch {args.batch}, 2 rounds: {long['forward'] + long['backward']:.2f} s, "
                  f"{long['all_MB']:,.0f} MB for the whole process"]
    return "\n".join(lines)
