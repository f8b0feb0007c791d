"""The page of `mongoose report`: its charts and tables, and their explanations."""

from __future__ import annotations

from html import escape
from typing import Any

from mongoose_nb.commands.charts import COLOURS, PARTS, Line, column_chart, line_chart, number, percent, stacked_bars

UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
SETTINGS = "scroll settings"
SMOOTH = 5  # points of the trace in one of the loss: a batch alone is noise, and the last one of an epoch is a small one

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--soft:#5f6870;--rule:#d9dee3;--card:#f7f8fa;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b8578f;--c4:#8a6d00;--c5:#4aa0d8;--c6:#7a4fb5;--c7:#60707c;
--p0:#4477aa;--p1:#66ccee;--p2:#228833;--p3:#ccbb44;--p4:#ee6677;--p5:#aa3377;--p6:#e08030;--p7:#8899a6;--p8:#6a5acd;--p9:#2f4f4f}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e8eaed;--soft:#a3acb5;--rule:#343b42;--card:#1c2024;
--c0:#4aa8e8;--c1:#ff8a3d;--c2:#2fcf9f;--c3:#e58fc0;--c4:#d9b93a;--c5:#8fd0ff;--c6:#b996f0;--c7:#a9b7c2;
--p2:#3da552;--p5:#c9529a;--p9:#7fa3a3}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1500px;padding:16px;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.05rem;margin:0 0 .2em}p{margin:.3em 0}.soft{color:var(--soft);font-size:.9rem}
.charts,.halves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,390px),1fr));gap:16px}.charts{margin:16px 0}
section{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px;min-width:0;max-width:720px}
section.wide{max-width:none;margin:16px 0}.halves>*{min-width:0;max-width:720px}
svg{display:block;width:100%;height:auto;margin:8px 0;overflow:visible}
svg text{font-size:12px;fill:var(--soft)}svg text.label{font-size:13px;fill:var(--fg)}
.grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.mark{fill:none;stroke-width:1.8}.dot{stroke:none}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;width:100%}
th,td{text-align:left;padding:4px 0 4px 12px;border-bottom:1px solid var(--rule);vertical-align:bottom}
th{font-weight:600}td.n,th.n{text-align:right}td{white-space:nowrap}.n+:not(.n){padding-left:28px}
th:first-child,td:first-child{padding-left:0;white-space:normal;overflow-wrap:anywhere;min-width:6em}
.settings td{white-space:normal;overflow-wrap:anywhere;min-width:4.5em}.settings td:first-child{min-width:9.5em}
.key{display:inline-block;margin-right:14px;white-space:nowrap;max-width:100%;overflow:hidden;text-overflow:ellipsis;font-size:.9rem}
.key i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
details{margin-top:10px}summary{cursor:pointer}
@media (max-width:480px){body{padding:8px}section{padding:8px}table{font-size:.85rem}th,td{padding-left:8px}
svg text{font-size:14px}svg text.label{font-size:15px}}
""" + "".join(f"svg .{c}{{stroke:var(--{c})}}svg .bar.{c},svg .dot.{c}{{fill:var(--{c});stroke:none}}.key .{c}{{background:var(--{c})}}"
              for c in (*(f"c{i}" for i in range(COLOURS)), *(f"p{i}" for i in range(PARTS))))


def render(runs: list[Any]) -> str:
    """The page of several runs (`report.Run`) as HTML text."""
    charts = [chart for make in (_loss, _precision, _recall, _drift, _buckets, _active) for chart in [make(runs)] if chart]
    missing = _missing(runs)
    title = f"Training run {runs[0].name}" if len(runs) == 1 else f"{len(runs)} training runs"
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
            f'initial-scale=1"><title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>'
            f"{_summary(runs)}<div class=\"charts\">{''.join(charts)}</div>{_time(runs)}"
            f"{''.join(f'<p class=soft>{escape(line)}</p>' for line in missing)}{_settings(runs)}</body></html>\n")


# ------------------------------------------------------------------ parts of a page


def _keys(names, letter):
    return "<div>" + "".join(f'<span class="key"><i class="{letter}{i}"></i>{escape(name)}</span>' for i, name in names) + "</div>"


def _card(title, drawing, keys, note=""):
    note = f'<p class="soft">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{keys}{drawing}{note}</section>"


def _run_keys(runs, which):
    return _keys([(i % COLOURS, runs[i].name) for i in which], "c") if len(runs) > 1 else ""


def _table(head, rows, numeric=(), cls="scroll"):
    def cells(row, tag):
        return "".join(f'<{tag}{" class=n" if i in numeric else ""}>{escape(str(value))}</{tag}>' for i, value in enumerate(row))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="{cls}"><table><thead><tr>{cells(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def _unit(runs):
    longest = max(run.seconds[-1] for run in runs)
    return next((size, name) for size, name in UNITS if longest >= 2 * size or size == 1.0)


def _curve(run, i, column, unit, faint=False):
    """A line through the values of one entry at the ends of the epochs."""
    points = [(s / unit, e[column]) for s, e in zip(run.seconds, run.epochs) if e.get(column) is not None]
    texts = [f"{run.name}, epoch {e['epoch']}: {column} {number(float(e[column]))}" for e in run.epochs if e.get(column) is not None]
    return Line(i, points, texts, faint=faint)


def _trace(run, i, column, unit, smooth=1):
    """A line through the points of the traces, means of the last `smooth`, with marks for the firings; through the ends of the epochs
    where there are none."""
    points, marks = [], []
    for begin, entry in zip([0.0, *run.seconds], run.epochs):
        trace = entry.get("trace", {})
        points += [((begin + s) / unit, v) for s, v in zip(trace.get("seconds", ()), trace.get(column, ())) if v is not None]
        marks += [(begin + s) / unit for s in trace.get("firings", ())]
    if not points:
        return _curve(run, i, column, unit)
    values = [v for _, v in points]
    means = [sum(last) / len(last) for j in range(len(values)) for last in [values[max(0, j + 1 - smooth):j + 1]]]
    return Line(i, [(s, v) for (s, _), v in zip(points, means)], marks=tuple(marks))


def _firing_note(runs):
    return "Ticks at the foot: rehashes, or rows moved." if any(e.get("firings") for run in runs for e in run.epochs) else ""


def _lines(runs, title, name, lines, note, **options):
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    unit, label = _unit(runs)
    drawing = line_chart(f"{name} against training time", lines, f"{label} of training", **options)
    return _card(title, drawing, _run_keys(runs, sorted({line.run for line in lines})), note)


def _loss(runs):
    unit, _ = _unit(runs)
    note = f"Means of {SMOOTH} points. " if any("trace" in run.epochs[-1] for run in runs) else ""
    if len({run.sampler for run in runs}) > 1:
        note += "Samplers sum over different outputs: compare P@1, not losses. "
    return _lines(runs, "Training loss", "Loss", [_trace(run, i, "loss", unit, SMOOTH) for i, run in enumerate(runs)],
                  note + _firing_note(runs))


def _precision(runs):
    unit, _ = _unit(runs)
    lines = [_curve(run, i, "P@1", unit)._replace(marks=_trace(run, i, "loss", unit).marks) for i, run in enumerate(runs)]
    return _lines(runs, "P@1 after each epoch", "P@1", lines, _firing_note(runs))


def _recall(runs):
    unit, _ = _unit(runs)
    lines = [_curve(run, i, "topk_recall", unit) for i, run in enumerate(runs)]
    lines += [_curve(run, i, column, unit, faint=True) for i, run in enumerate(runs)
              for column in ["labels_found" if "labels_found" in run.epochs[-1] else "label_recall"]]
    k = sorted({e["topk"] for run in runs for e in run.epochs if "topk" in e})
    best = "the exact best outputs" if len(k) != 1 else f"the exact best {k[0]} outputs"
    return _lines(runs, "Recall of the candidates", "Recall", lines,
                  f"Solid: share of {best} in the list of a training step, labels not added. Dotted: share of the true labels in it.",
                  format_y=percent, zero=True)


def _drift(runs):
    unit, _ = _unit(runs)
    if not any(run.measures_drift for run in runs):
        return None
    lines = [_trace(run, i, "changed_share", unit) for i, run in enumerate(runs) if run.measures_drift]
    return _lines(runs, "Drift", "Changed bits of the rows", lines,
                  "Share of the rows' bits that changed since the rows were last hashed, as the schedule saw it. " + _firing_note(runs),
                  format_y=percent, zero=True)


def _buckets(runs):
    last = [(i, run.epochs[-1]) for i, run in enumerate(runs) if "bucket_histogram" in run.epochs[-1]]
    if not last:
        return None
    longest = max(len(entry["bucket_histogram"]) for _, entry in last)
    names = ["0", *(str(2**i) for i in range(longest - 1))]
    columns = [(i, [n / sum(entry["bucket_histogram"]) for n in entry["bucket_histogram"]]) for i, entry in last]
    drawing = column_chart("Share of the buckets by the outputs in them", names, columns,
                           "outputs in a bucket, at least")
    facts = [(runs[i].name, number(e["bucket_mean"]), number(e["bucket_max"]), f"{e['bucket_entropy']:.2f} of {e['bucket_bits']:.2f}",
              percent(e["label_recall"]) if "label_recall" in e else "–") for i, e in last]
    table = _table(("run", "mean", "largest", "entropy", "labels found"), facts, range(1, 5))
    return _card("Buckets at the end", drawing + table,
                 _run_keys(runs, [i for i, _ in last]), "Mean of the occupied ones. Entropy in bits, of those there could be. "
                 "Labels found: true labels that share a bucket with their sample, whatever the votes.")


def _time(runs):
    names = list(dict.fromkeys(name for run in runs for name, share in run.time_split.items() if share > 0))
    rows = [[run.time_split.get(name, 0.0) for name in names] for run in runs]
    facts = [(name, *(f"{100 * row[j]:.1f} %, {row[j] * run.seconds[-1]:,.1f} s" for run, row in zip(runs, rows)))
             for j, name in enumerate(names)]
    drawing = stacked_bars("Shares of the training time", [run.name for run in runs], names, rows)
    keys = _keys([(j % PARTS, name) for j, name in enumerate(names)], "p")
    table = _table(("phase", *(run.name for run in runs)), facts, range(1, len(runs) + 1))
    return (f'<section class="wide"><h2>Where the time goes</h2><div class="halves"><div>{keys}{drawing}<p class="soft">Of the time spent '
            f"in these phases, all epochs.</p></div>{table}</div></section>")


def _active(runs):
    parts = ["labels", "retrieved", "uniform"]
    rows = [[float(run.epochs[-1].get(name, 0.0)) for name in parts] for run in runs]
    drawing = stacked_bars("Outputs that a training step computes", [run.name for run in runs], parts, rows, format_value=number)
    facts = [(run.name, *map(number, row), percent(run.epochs[-1]["active_share"])) for run, row in zip(runs, rows)]
    return _card("Outputs computed", drawing + _table(("run", *parts, "of all"), facts, range(1, 5)),
                 _keys(list(enumerate(parts)), "p"), "Last epoch; for each sample, or for the batch where it shares a list.")


# ------------------------------------------------------------------ tables


def _summary(runs):
    head = ("run", "best P@1", "training", "samples/s", "loss", "epochs", "firings", "sampler")  # a phone shows the first ones
    rows = []
    for run in runs:
        last = run.epochs[-1]
        scored = [e for e in run.epochs if "P@1" in e]
        best = max(scored, key=lambda e: e["P@1"], default=None)
        speed = number(round(run.samples / run.seconds[-1])) if run.samples else number(float(last["samples_per_s"]))
        rows.append((run.name, f"{best['P@1']:.4f} (epoch {best['epoch']})" if best else "–", f"{run.seconds[-1]:,.1f} s", speed,
                     number(float(last["loss"])), last["epoch"], sum(e.get("firings", 0) for e in run.epochs), run.sampler))
    return f'<section class="wide">{_table(head, rows, range(1, len(head) - 1))}</section>'


def _missing(runs):
    out = []
    if not any("P@1" in e for run in runs for e in run.epochs):
        out.append("No P@1: train with --validation or --test.")
    if not any(run.measures_drift for run in runs):
        out.append("No drift curve: only --rehash drift measures it.")
    old = [run.name for run in runs if "trace" not in run.epochs[-1]]
    if old:
        out.append(f"Without diagnostics, so one point an epoch and no buckets or recall: {', '.join(old)}.")
    return out


def _settings(runs):
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    rows = [(name, *(run.settings.get(name, "–") for run in runs)) for name in names]
    head = ("setting", *(run.name for run in runs))
    if len(runs) == 1:
        return f'<section class="wide"><h2>Settings</h2>{_table(head, rows, cls=SETTINGS)}</section>'
    differ = [row for row in rows if len(set(row[1:])) > 1]
    same = [(row[0], row[1]) for row in rows if len(set(row[1:])) == 1]
    return (f'<section class="wide"><h2>Settings that differ</h2>{_table(head, differ, cls=SETTINGS)}<details>'
            f"<summary>Settings in common</summary>{_table(('setting', 'value'), same, cls=SETTINGS)}</details></section>")
