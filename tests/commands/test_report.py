"""The page of `mongoose report`: what is drawn, for runs of every sampler; what is refused."""

import json
import math
import re
from html.parser import HTMLParser
from xml.dom import minidom

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st
from nn_problem import planted

from mongoose_nb import data
from mongoose_nb.commands import charts, page, runs
from mongoose_nb.commands.cli import main
from mongoose_nb.commands.report import Run, name_runs

FLAGS = {
    "drift": ["--rehash", "drift", "--candidates", "30"],
    "fixed": ["--rehash", "3", "--candidates", "30"],
    "batch": ["--shape", "batch", "--candidates", "30"],
    "uniform": ["--sampler", "uniform", "--candidates", "30"],
    "full": ["--sampler", "full"],
}
VOID = {"meta", "link", "br", "img", "hr", "input"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of two epochs with every sampler."""
    path = tmp_path_factory.mktemp("report")
    X, label = planted(n=500, n_outputs=150)
    Y = sp.csr_matrix((np.ones(500, np.float32), label, np.arange(501)), shape=(500, 150))
    data.write_xc(path / "train.txt", X[:400], Y[:400])
    data.write_xc(path / "test.txt", X[400:], Y[400:])
    for name, flags in FLAGS.items():
        given = ["--epochs", "2", "--hidden", "16", "--batch-size", "32", "--lr", "0.01", *flags]
        scored = [] if name == "full" else ["--test", str(path / "test.txt")]
        assert main(["train", str(path / "train.txt"), "--out", str(path / name), *scored, *given]) == 0
    return path


class Page(HTMLParser):
    """Tags in balance, and what the page loads."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, text):
        self.words.append(text)


def report(folder, names, out, *flags):
    """(text of the page, its `Page`)."""
    assert main(["report", *(str(folder / name) for name in names), "-o", str(out), *flags]) == 0
    text = out.read_text(encoding="utf-8")
    drawings = re.findall("<svg.*?</svg>", text, re.S)
    for drawing in drawings:
        minidom.parseString(drawing)
    assert "nan" not in "".join(drawings) and "inf" not in "".join(drawings)
    return text, Page(text)


@pytest.mark.parametrize("name", FLAGS)
def test_a_run_of_every_sampler(folder, tmp_path, name, capsys):
    text, page = report(folder, [name], tmp_path / "r.html")
    assert f"written: {tmp_path / 'r.html'}" in capsys.readouterr().out
    assert not page.links and "script" not in page.tags and "@import" not in text and "url(" not in text
    titles = set(re.findall("<h2>(.*?)</h2>", text))
    hashed, drift, scored = name not in ("uniform", "full"), name == "drift", name != "full"
    want = {"Training loss": True, "P@1 after each epoch": scored, "Recall of the candidates": True, "Drift": drift,
            "Buckets at the end": hashed, "Where the time goes": True, "Outputs computed": True, "Settings": True}
    assert titles == {title for title, there in want.items() if there}
    assert ("No P@1" in text) == (not scored) and ("No drift curve" in text) == (not drift)
    assert "network.sampler.name" in text and "versions.numba" in text
    assert {p.name for p in tmp_path.iterdir()} == {"r.html"}


def test_comparing(folder, tmp_path):
    text, page = report(folder, FLAGS, tmp_path / "r.html")
    assert "5 training runs" in text and "Settings that differ" in text and "Settings in common" in text
    head, same = text.split("<summary>Settings in common")
    assert "network.sampler.name" in head.split("Settings that differ")[1] and "network.hidden" in same
    loss = next(d for d in re.findall("<svg.*?</svg>", text, re.S) if "Loss against training time" in d)
    assert [f'class="line c{i}"' in loss for i in range(5)] == [True] * 5


def test_firings_are_marked(folder, tmp_path):
    """One stroke for each; every third step is one."""
    text, _ = report(folder, ["fixed"], tmp_path / "r.html")
    loss = next(d for d in re.findall("<svg.*?</svg>", text, re.S) if "Loss against training time" in d)
    strokes = re.search('class="mark c0" d="([^"]*)"', loss).group(1).count("M")
    entries = [json.loads(line) for line in (folder / "fixed" / runs.METRICS).read_text().splitlines()]
    assert strokes == sum(e["firings"] for e in entries) == entries[-1]["step"] // 3 > 5


def test_the_loss_is_a_mean_of_the_last_points(folder):
    """The first point is itself, the tenth the mean of five, whatever epoch they are from; firings and drift are as they were."""
    run = Run(folder / "drift")
    raw = [v for e in run.epochs for v in e["trace"]["loss"]]
    line, drift = (page._trace(run, 0, column, 1.0, n) for column, n in (("loss", page.SMOOTH), ("changed_share", 1)))
    assert len(line.points) == len(raw) and line.points[0][1] == raw[0]
    per_epoch = len(run.epochs[0]["trace"]["loss"])
    for j in (per_epoch - 1, per_epoch, len(raw) - 1):
        assert line.points[j][1] == pytest.approx(sum(raw[j - 4:j + 1]) / 5)
    assert [v for _, v in drift.points] == [v for e in run.epochs for v in e["trace"]["changed_share"] if v is not None]


def test_phases_that_never_ran_are_left_out(folder, tmp_path):
    text, _ = report(folder, ["full", "fixed"], tmp_path / "r.html")
    table = text.split("Where the time goes")[1].split("</section>")[0]
    assert "<td>learn</td>" not in table and "<td>rehash</td>" in table and "0.0 %, 0.0 s" in table


def test_runs_from_before_diagnostics(folder, tmp_path):
    """Lines without a trace, and one half written."""
    old = tmp_path / "old"
    old.mkdir()
    (old / runs.SETTINGS).write_text((folder / "fixed" / runs.SETTINGS).read_text())
    kept = ("epoch", "loss", "seconds", "samples_per_s", "active_share", "time_split", "P@1")
    entries = [json.loads(line) for line in (folder / "fixed" / runs.METRICS).read_text().splitlines()]
    (old / runs.METRICS).write_text("".join(json.dumps({k: e[k] for k in kept}) + "\n" for e in entries) + '{"epoch": 3, "lo')
    text, _ = report(tmp_path, ["old"], tmp_path / "r.html")
    assert "one point an epoch and no buckets or recall: old" in text and "Recall of the candidates" not in text


def test_names(folder, tmp_path):
    other = tmp_path / "a<b>&\"c" / "fixed"
    other.mkdir(parents=True)
    for name in (runs.SETTINGS, runs.METRICS):
        (other / name).write_text((folder / "fixed" / name).read_text())
    named = name_runs([Run(folder / "fixed"), Run(other), Run(folder / "full")])
    assert [r.name for r in named] == [str(folder / "fixed"), str(other), "full"]
    assert main(["report", str(folder / "fixed"), str(other), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    Page(text)
    assert "<b>" not in text and "a&lt;b&gt;&amp;" in text


def test_json(folder, tmp_path, capsys):
    report(folder, ["fixed", "full"], tmp_path / "r.html", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"event": "report", "written": str(tmp_path / "r.html"), "runs": [str(folder / "fixed"), str(folder / "full")]}


@pytest.mark.parametrize("make, words", [
    (lambda p: p / "nothing", "is not there; give directories that mongoose train wrote"),
    (lambda p: p, "has no settings.json; is it a directory that mongoose train wrote?"),
    (lambda p: p / "file", "is a file; give directories"),
    (lambda p: p / "early", "has no finished epoch to show"),
    (lambda p: p / "damaged", "is damaged: '{\"epoch\": 1}' is no entry of a history"),
])
def test_folders_that_are_no_runs(folder, tmp_path, capsys, make, words):
    (tmp_path / "file").write_text("")
    for name, lines in (("early", ""), ("damaged", '{"epoch": 1}\n')):
        (tmp_path / name).mkdir()
        (tmp_path / name / runs.SETTINGS).write_text((folder / "full" / runs.SETTINGS).read_text())
        (tmp_path / name / runs.METRICS).write_text(lines)
    capsys.readouterr()
    code = main(["report", str(folder / "full"), str(make(tmp_path)), "-o", str(tmp_path / "r.html")])
    out, err = capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (2, "", 1) and words in err
    assert not (tmp_path / "r.html").exists()


def test_output_that_cannot_be(folder, tmp_path, capsys):
    assert main(["report", str(folder / "full"), "-o", str(tmp_path)]) == 2
    assert "is a directory; give the file to write" in capsys.readouterr().err
    assert main(["report", str(folder / "full"), "-o", str(tmp_path / "r.png")]) == 2 and not (tmp_path / "r.png").exists()
    assert "what is written is an HTML page" in capsys.readouterr().err
    assert main(["report", str(folder / "full"), "-o", str(tmp_path / "no" / "r.html")]) == 2


class TestCharts:
    @given(low=st.floats(-1e6, 1e6), span=st.floats(0, 1e6))
    @example(low=0.0, span=5e-324)
    @example(low=5e-324, span=0.0)
    @example(low=1e6, span=2e-10)
    def test_ticks(self, low, span):
        high = low + span
        got = charts.ticks(low, high)
        if high - low <= max(1e-12 * max(abs(low), abs(high)), 1e-300):
            high = low + (abs(low) if abs(low) > 1e-300 else 1.0)
        slack = 1e-6 * (high - low) + 1e-9 * abs(low)
        assert 1 <= len(got) <= 7 and all(low - slack <= t <= high + slack for t in got)
        steps = np.diff(got)
        assert np.allclose(steps, steps[:1], rtol=1e-6)

    def test_round_ticks(self):
        assert charts.ticks(0, 10) == [0, 2, 4, 6, 8, 10]
        np.testing.assert_allclose(charts.ticks(0.61, 0.84), [0.65, 0.7, 0.75, 0.8])

    @pytest.mark.parametrize("value, text", [(0.0, "0"), (0.25, "0.25"), (1234567.0, "1,234,567"), (12, "12"), (1e-7, "1.0e-07"),
                                             (None, "–"), (3.14159, "3.142")])
    def test_number(self, value, text):
        assert charts.number(value) == text

    @staticmethod
    def path(drawing, cls):
        d = re.search(f'class="{cls}" d="([^"]*)"', drawing).group(1)
        return [tuple(map(float, p.split())) for p in re.split("[ML]", d)[1:]]

    def test_lines_keep_order_and_proportion(self):
        drawing = charts.line_chart("t", [charts.Line(0, [(0, 1.0), (5, 3.0), (10, 2.0)])], "x")
        (x0, y0), (x1, y1), (x2, y2) = self.path(drawing, "line c0")
        assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(2 * (y2 - y1), abs=0.3) and y1 < y2 < y0
        assert x0 == charts.LEFT and x2 == charts.WIDTH - charts.RIGHT

    @pytest.mark.parametrize("points", [[(0, 2.0)], [(0, 0.0)], [(0, 1.0), (1, 1.0)], [(0, 0.0), (3, 0.0)], [(0, -5.0), (1, -5.0)],
                                        [(1, 1.0), (2, math.nan), (3, 2.0)]])
    @pytest.mark.parametrize("zero", [False, True])
    def test_degenerate_lines(self, points, zero):
        drawing = charts.line_chart("t", [charts.Line(0, points, ["p"] * len(points))], "x", zero=zero)
        minidom.parseString(drawing)
        assert "nan" not in drawing and "inf" not in drawing
        places = [float(y) for y in re.findall('cy="([^"]*)"', drawing)]
        assert len(places) == sum(math.isfinite(y) for _, y in points)
        assert all(0 <= y <= charts.HEIGHT - charts.BOTTOM for y in places)

    def test_columns_and_bars_have_the_right_sizes(self):
        drawing = charts.column_chart("t", ["a", "b"], [(0, [0.2, 0.4]), (1, [0.1])], "x")
        tall = [float(h) for h in re.findall('height="([^"]*)"', drawing)]
        assert tall[1] == pytest.approx(2 * tall[0], abs=0.2) and tall[2] == pytest.approx(tall[0] / 2, abs=0.2)
        drawing = charts.stacked_bars("t", ["r", "s"], ["a", "b"], [[1.0, 3.0], [2.0, 0.0]])
        assert [float(w) for w in re.findall('width="([^"]*)"', drawing)] == [100, 300, 200]
        minidom.parseString(charts.stacked_bars("t", ["r"], ["a"], [[0.0]]))
