"""Charts as SVG text: lines over time, grouped columns, stacked bars. No library is used, so a page with charts is self-contained.

A. The drawing is 400 units wide and its text 12 or 13: legible at the width of a phone, where a unit is a pixel, and as a third of a
   desktop's window. Pages with several columns come from the page's layout, not from smaller drawings.
B. Colours are names of classes (``c0`` to ``c7`` for runs, ``p0`` on for parts); the page's style gives them values, one set for light
   screens and one for dark ones. Runs also differ in their dashes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 40
DASHES = ("", "7 3", "2 3", "9 3 2 3")
COLOURS, PARTS = 8, 10
STRIP = 9  # height of the marks of one run
FLAT, TINY = 1e-12, 1e-300  # a range this small, against its ends or by itself, is a single value: its steps would round to nothing


class Line(NamedTuple):
    """Points (x, y) of one run; `marks` are the x of its firings; dotted points carry a text each."""

    run: int
    points: list
    texts: list | None = None
    marks: tuple = ()
    faint: bool = False


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about `count`; where the two are one value, from it upward."""
    if not high - low > max(FLAT * max(abs(low), abs(high)), TINY):
        high = low + (abs(low) if abs(low) > TINY else 1.0)
    raw = (high - low) / count
    step = 10.0 ** math.floor(math.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float | None) -> str:
    """A number as short as it can be read."""
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def percent(value: float) -> str:
    """A share as percent."""
    return f"{100 * value:.3g} %"


def _svg(title, height, body):
    return (f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
            f"<title>{escape(title)}</title>{''.join(body)}</svg>")


def _text(x, y, text, anchor="middle", cls=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{f" class={chr(34)}{cls}{chr(34)}" if cls else ""}>{escape(text)}</text>'


def _axes(xs, ys, place_x, place_y, x_label, format_y, format_x=number):
    out = []
    for y in ys:
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place_y(y):.1f}" y2="{place_y(y):.1f}"/>')
        out.append(_text(LEFT - 5, place_y(y) + 4, format_y(y), "end"))
    for x in xs:
        out.append(_text(place_x(x), HEIGHT - BOTTOM + 17, format_x(x)))
    out.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label, cls="label"))
    return out


def line_chart(title: str, lines: list[Line], x_label: str, *, format_y: Callable[[float], str] = number, zero: bool = False) -> str:
    """Lines over a common axis, with a tick at the foot for every mark.

    Parameters
    ----------
    title : str
        For readers who do not see the drawing.
    lines : list of Line
        At least one point among them.
    x_label : str
    format_y : callable
        Text of a value.
    zero : bool
        Whether the axis starts at zero.

    Returns
    -------
    str
    """
    points = [p for line in lines for p in line.points if math.isfinite(p[1])]
    x_high = max([x for x, _ in points] + [m for line in lines for m in line.marks]) or 1.0
    low, high = (f(y for _, y in points) for f in (min, max))
    low = min(low, 0.0) if zero else low
    if high <= low:
        low, high = low - 0.5 * abs(low) * (not zero), high + (0.5 * abs(high) or 1.0)
    margin = 0.05 * (high - low)
    low, high = low - margin * (not zero), high + margin
    marked = sorted({line.run for line in lines if line.marks})
    foot = HEIGHT - BOTTOM - STRIP * len(marked)  # one strip of marks for every run that has some

    def place_x(x):
        return LEFT + x / x_high * (WIDTH - LEFT - RIGHT)

    def place_y(y):
        return foot - (y - low) / (high - low) * (foot - TOP)

    out = _axes(ticks(0.0, x_high), ticks(low, high), place_x, place_y, x_label, format_y)
    for line in lines:
        colour, dash = f"c{line.run % COLOURS}", DASHES[line.run // COLOURS % len(DASHES)] if not line.faint else "2 4"
        if line.marks:
            y = HEIGHT - BOTTOM - STRIP * (len(marked) - marked.index(line.run))
            d = "".join(f"M{place_x(m):.1f} {y + 1:.1f}v{STRIP - 2}" for m in line.marks)
            out.append(f'<path class="mark {colour}" d="{d}"/>')
        finite = [(x, y) for x, y in line.points if math.isfinite(y)]
        if len(finite) > 1:
            d = "M" + "L".join(f"{place_x(x):.1f} {place_y(y):.1f}" for x, y in finite)
            out.append(f'<path class="line {colour}" d="{d}"{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""}/>')
        for (x, y), text in zip(line.points, line.texts or ()):
            if math.isfinite(y):
                out.append(f'<circle class="dot {colour}" cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3"><title>{escape(text)}'
                           "</title></circle>")
    return _svg(title, HEIGHT, out)


def column_chart(title: str, names: list[str], columns: list[tuple[int, list[float]]], x_label: str, *,
                 format_y: Callable[[float], str] = percent) -> str:
    """Columns side by side for every run, over named places.

    Parameters
    ----------
    title : str
    names : list of str
        The places.
    columns : list of (run, list of values)
        As many values as places, or fewer.
    x_label : str
    format_y : callable

    Returns
    -------
    str
    """
    high = max((v for _, values in columns for v in values), default=0.0) or 1.0
    foot, room = HEIGHT - BOTTOM, (WIDTH - LEFT - RIGHT) / len(names)

    def place_y(y):
        return foot - y / (1.05 * high) * (foot - TOP)

    every = math.ceil(len(names) * 38 / (WIDTH - LEFT - RIGHT))  # as many names as there is room for
    out = _axes(range(0, len(names), every), ticks(0.0, 1.05 * high), lambda i: LEFT + (i + 0.5) * room, place_y, x_label, format_y,
                lambda i: names[i])
    width = 0.84 * room / max(1, len(columns))
    for k, (run, values) in enumerate(columns):
        for i, value in enumerate(values):
            if value > 0:
                x, y = LEFT + (i + 0.08) * room + k * width, min(place_y(value), foot - 0.5)
                out.append(f'<rect class="bar c{run % COLOURS}" x="{x:.1f}" y="{y:.1f}" width="{max(width - 0.5, 0.5):.1f}" '
                           f'height="{foot - y:.1f}"><title>{escape(f"{names[i]}: {format_y(value)}")}</title></rect>')
    return _svg(title, HEIGHT, out)


def stacked_bars(title: str, names: list[str], parts: list[str], rows: list[list[float]], *,
                 format_value: Callable[[float], str] = percent) -> str:
    """One bar for every run, cut into parts.

    Parameters
    ----------
    title : str
    names : list of str
        Of the runs.
    parts : list of str
    rows : list of list of float
        Values of the parts for every run.
    format_value : callable

    Returns
    -------
    str
    """
    high = max(sum(row) for row in rows) or 1.0
    out, each = [], 44
    for k, (name, row) in enumerate(zip(names, rows)):
        top, x = k * each, 0.0
        out.append(_text(0, top + 13, name if len(name) <= 48 else f"…{name[-47:]}", "start", "label"))
        for i, value in enumerate(row):
            width = value / high * WIDTH
            if width > 0:
                out.append(f'<rect class="bar p{i % PARTS}" x="{x:.1f}" y="{top + 18}" width="{width:.1f}" height="18">'
                           f"<title>{escape(f'{parts[i]}: {format_value(value)}')}</title></rect>")
            x += width
    return _svg(title, each * len(rows), out)
