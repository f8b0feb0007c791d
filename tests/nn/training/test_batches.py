"""Training on chunks and on mapped arrays."""

import functools
import gzip
import os

import numpy as np
import pytest
import scipy.sparse as sp
from nn_problem import FEATURES, OUTPUTS, assert_same_arrays, problem

from mongoose_nb import data
from mongoose_nb.nn import LSH, Callback, Checkpoint, Diagnostics, Network, Tables


def network(**settings):
    return Network(FEATURES, OUTPUTS, **{"hidden": (7,), "sampler": LSH(30, tables=Tables(K=3, L=4, rehash=4)), "seed": 3, **settings})


def chunks(sizes=(10, 9, 5)):
    X, Y = problem()
    ends = np.cumsum(sizes)
    return [(X[e - n:e], Y[e - n:e]) for n, e in zip(sizes, ends)]


def test_one_chunk_is_the_whole():
    one, other = network(), network()
    a = one.fit(*problem(), epochs=3, batch_size=5)
    b = other.fit([problem()], epochs=3, batch_size=5)
    assert_same_arrays(one, other)
    assert a.column("loss") == b.column("loss")


def test_every_row_is_seen_once_an_epoch():
    seen = []

    class Sizes(Callback):
        def on_batch_end(self, net, logs):
            seen.append(logs["samples"])

    history = network().fit(chunks(), epochs=2, batch_size=4, callbacks=[Sizes()])
    assert seen == [4, 4, 2, 4, 4, 1, 4, 1] * 2 and len(history) == 2


def test_mapped_arrays_are_the_same_as_those_in_memory(tmp_path):
    X, Y = problem()
    data.save_arrays(tmp_path / "f", X, Y)
    one, other = network(), network()
    one.fit(X, Y, epochs=2, batch_size=5)
    other.fit(*data.map_arrays(tmp_path / "f"), epochs=2, batch_size=5)
    assert_same_arrays(one, other)


def test_a_text_chunk_by_chunk(tmp_path):
    X, Y = problem()
    data.write_xc(tmp_path / "f", X, Y)
    parts = data.XCChunks(tmp_path / "f", chunk_bytes=400)
    one, other = network(), network()
    one.fit(parts, epochs=2, batch_size=4)
    other.fit(list(parts), epochs=2, batch_size=4)
    assert len(list(parts)) > 3
    assert_same_arrays(one, other)


@pytest.mark.parametrize("every", [1, 3])
def test_killed_in_a_chunk(tmp_path, every):
    """A position is a chunk and a batch in it."""
    class Killed(BaseException):
        pass

    whole = network(lr_schedule="linear")
    settings = {"epochs": 2, "batch_size": 4, "steps_per_epoch": 8}
    history = whole.fit(chunks(), **settings)
    for step in (2, 4, 7, 10, 15, None):
        def die(self, net, logs, step=step):
            if net.step == step:
                raise Killed

        net = network(lr_schedule="linear")
        try:
            again = net.fit(chunks(), **settings, resume=tmp_path / "f",
                            callbacks=[Checkpoint(tmp_path / "f", every=every), type("Die", (), {"on_batch_end": die})()])
        except Killed:
            continue
    assert_same_arrays(whole, net)
    assert again.column("loss") == history.column("loss")


class TestOtherDataAreNotGoneOnWith:
    """Whatever was changed while nobody trained: a chunk that was read already or one that is still to come."""

    @staticmethod
    def begin(parts, path):
        """Killed in the second chunk."""
        def die(self, net, logs):
            if net.step == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            network().fit(parts, epochs=2, batch_size=4, callbacks=[Checkpoint(path, every=1), type("Die", (), {"on_batch_end": die})()])

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("line", [1, 3, -1])
    def test_a_text(self, tmp_path, packed, line):
        data.write_xc(tmp_path / "f", *problem())
        text = (tmp_path / "f").read_bytes()
        write = functools.partial(gzip.compress, mtime=0) if packed else bytes
        (tmp_path / "f").write_bytes(write(text))
        before = os.stat(tmp_path / "f")
        self.begin(data.XCChunks(tmp_path / "f", chunk_bytes=400), tmp_path / "run")

        lines = text.splitlines(keepends=True)
        last = lines[line].rstrip(b"\n")
        lines[line] = last[:-1] + (b"1" if last[-1:] != b"1" else b"2") + b"\n"  # the last digit of a value, and no other length
        (tmp_path / "f").write_bytes(write(b"".join(lines)))
        os.utime(tmp_path / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(ValueError, match="on other data, or other chunks of them: .* give the same data to go on, or remove"):
            network().fit(data.XCChunks(tmp_path / "f", chunk_bytes=400), epochs=2, batch_size=4, resume=tmp_path / "run")

        (tmp_path / "f").write_bytes(write(text))
        with pytest.raises(ValueError, match="other chunks"):
            network().fit(data.XCChunks(tmp_path / "f", chunk_bytes=401), epochs=2, batch_size=4, resume=tmp_path / "run")
        assert len(network().fit(data.XCChunks(tmp_path / "f", chunk_bytes=400), epochs=2, batch_size=4, resume=tmp_path / "run")) == 2

    def test_a_list(self, tmp_path):
        self.begin(chunks(), tmp_path / "run")
        for other in (chunks((10, 5, 9)), [*chunks()[:2], (chunks()[2][0] * 2, chunks()[2][1])]):
            with pytest.raises(ValueError, match="other data"):
                network().fit(other, epochs=2, batch_size=4, resume=tmp_path / "run")
        assert len(network().fit(tuple(chunks()), epochs=2, batch_size=4, resume=tmp_path / "run")) == 2

    def test_a_mark_of_ones_own(self, tmp_path):
        class Marked(list):
            value = 7

            def mark(self):
                return self.value

        self.begin(Marked(chunks()), tmp_path / "run")
        network().fit(Marked(chunks()), epochs=3, batch_size=4, resume=tmp_path / "run")
        Marked.value = 8
        with pytest.raises(ValueError, match="was 00000007 and is 00000008 now"):
            network().fit(Marked(chunks()), epochs=3, batch_size=4, resume=tmp_path / "run")
        Marked.value = "8"
        with pytest.raises(TypeError, match=r"mark\(\) of the chunks"):
            network().fit(Marked(chunks()), epochs=3, batch_size=4, resume=tmp_path / "run")


def test_a_stop_ends_the_epoch():
    read = []

    class Counted:
        def __iter__(self):
            for pair in chunks():
                read.append(1)
                yield pair

    net = network()
    net.fit(Counted(), epochs=5, batch_size=4, callbacks=[type("Stop", (), {"on_batch_end": lambda s, n, logs: n.step == 2})()])
    assert (net.step, net.epoch, len(read)) == (2, 1, 1)


def test_refusals():
    with pytest.raises(ValueError, match="only once"):
        network().fit(iter(chunks()), epochs=2)
    network().fit(iter(chunks()), epochs=1)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        network(lr_schedule="cosine").fit(chunks())
    with pytest.raises(TypeError, match="must be a pair"):
        network().fit([problem()[0]])
    with pytest.raises(TypeError, match=r"iterable of \(X, Y\) chunks as X, which is a csr_matrix"):
        network().fit(problem()[0])
    with pytest.raises(ValueError, match="no chunks"):
        network().fit([])
    with pytest.raises(ValueError, match="Diagnostics"):
        network().fit(chunks(), callbacks=[Diagnostics()])
    with pytest.raises(ValueError, match="30"):
        network().fit([(sp.csr_matrix((3, 4), dtype=np.float32), [0, 1, 2])])
