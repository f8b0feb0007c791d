"""FAIR on Flower: what goes over the wire, and which devices a round leaves out. The loopback run takes minutes and is run on demand."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("flwr.serverapp")

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict  # noqa: E402

from mongoose_nb.compress.fair import FairServer, weighted_mean  # noqa: E402
from mongoose_nb.recommend.flower import FairStrategy, client_app  # noqa: E402

SHAPE, CAPACITIES, HELD = (60, 8), [480, 128, 64], {0: 500, 1: 128, 2: 70, 3: 64}
HERE = pathlib.Path(__file__).parent


@pytest.fixture(autouse=True)
def running(monkeypatch):
    """Flower refuses to make messages where no app runs."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def target(node):
    return np.random.default_rng(node).standard_normal(SHAPE)


def train(node, cells, space, dense):
    """Halfway to the device's own table."""
    return 0.5 * cells + 0.5 * space.lower(target(node)), {"bias": dense["bias"] + node}, 1.0 + node


def expected(rounds):
    """The table and the dense parameters after rounds of these devices, without Flower."""
    server, dense = FairServer(np.zeros(SHAPE), CAPACITIES, seed=3), {"bias": np.zeros(2)}
    kinds = {0: 0, 1: 1, 2: 2, 3: 2}
    for nodes in rounds:
        trained = [(node, *train(node, server.send(kinds[node]), server.subspaces[kinds[node]], dense)) for node in nodes]
        server.receive([(kinds[node], cells, weight) for node, cells, _, weight in trained])
        dense = weighted_mean([(parts, weight) for _, _, parts, weight in trained])
    return server.table, dense["bias"]


class Network:
    """Flower's `Grid`, as far as a strategy uses it: devices in this process, of which some fail in some rounds."""

    def __init__(self, broken=None, held=HELD):
        self.broken, self.held = broken or (lambda node, number, answer: answer), held
        self.apps = {node: client_app(self._train_of(node)) for node in held}
        self.seen = []

    def _train_of(self, node):
        def call(cells, space, dense, config, context):
            self.seen.append((node, len(cells), config["server-round"], config["lr"]))
            return self.broken(node, config["server-round"], train(node, cells, space, dense))
        return call

    def get_node_ids(self):
        return list(self.held)

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            context = Context(1, node, {"cells": self.held[node]}, RecordDict(), {})
            try:
                reply = self.apps[node](message, context)
            except TimeoutError:
                continue
            except Exception as error:
                reply = Message(Error(code=0, reason=str(error)), reply_to=message)
            replies.append(reply)
        return replies


def run(network, rounds=3, **given):
    strategy = FairStrategy(FairServer(np.zeros(SHAPE), CAPACITIES, seed=3), {"bias": np.zeros(2)}, **given)
    result = strategy.start(network, strategy.arrays(), num_rounds=rounds, timeout=5, train_config=ConfigRecord({"lr": 0.25}))
    return strategy, result


def test_devices_of_three_capacities_train_what_they_hold():
    network = Network()
    strategy, result = run(network)
    table, bias = expected([range(4)] * 3)
    assert np.allclose(strategy.server.table, table, atol=1e-12) and np.allclose(strategy.dense["bias"], bias)
    assert np.array_equal(result.arrays["cells"].numpy(), strategy.server.table)
    assert sorted(network.seen[:4]) == [(0, 480, 1, 0.25), (1, 128, 1, 0.25), (2, 64, 1, 0.25), (3, 64, 1, 0.25)]
    assert strategy.answered == [4, 4, 4]


@pytest.mark.parametrize("kind", ["dead", "error", "shape", "nan", "weight", "dense"])
def test_a_device_that_fails_in_the_middle_is_left_out_of_its_round(kind):
    def broken(node, number, answer):
        cells, dense, weight = answer
        if (node, number) != (1, 2):
            return answer
        if kind == "dead":
            raise TimeoutError
        if kind == "error":
            raise RuntimeError("no power")
        return {"shape": (cells[:-1], dense, weight), "nan": (cells * np.nan, dense, weight), "weight": (cells, dense, 0.0),
                "dense": (cells, {}, weight)}[kind]

    strategy, _ = run(Network(broken))
    table, bias = expected([range(4), [0, 2, 3], range(4)])
    assert np.allclose(strategy.server.table, table, atol=1e-12) and np.allclose(strategy.dense["bias"], bias)
    assert strategy.answered == [4, 3, 4]


def test_rounds_without_answers_and_devices_too_small():
    def nobody(node, number, answer):
        raise TimeoutError

    strategy, _ = run(Network(nobody))
    assert not strategy.server.table.any() and strategy.answered == [0, 0, 0]
    network = Network(held={0: 480, 1: 3})
    assert run(network)[0].answered == [1, 1, 1] and {node for node, *_ in network.seen} == {0}


def test_a_share_of_the_devices():
    network = Network()
    assert run(network, fraction=0.5)[0].answered == [2, 2, 2]
    again = Network()
    run(again, fraction=0.5)
    assert network.seen == again.seen and len({node for node, *_ in network.seen}) > 2
    for name in ("fraction", "least", "rate", "patience"):
        with pytest.raises(ValueError, match=name):
            run(network, **{name: 0})


# ------------------------------------------------------------------ the real thing

PROJECT = """[project]
name = "fair"
version = "1.0.0"
license = "MIT"
dependencies = []
[tool.flwr.app]
publisher = "nobody"
[tool.flwr.app.components]
serverapp = "fair_app:server"
clientapp = "fair_app:client"
[tool.flwr.app.config]
out = "out.npz"
"""
SETTINGS = '[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'


def free_ports(n):
    found = [socket.socket() for _ in range(n)]
    for one in found:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


@pytest.mark.slow
@pytest.mark.skipif("MONGOOSE_NB_FLOWER" not in os.environ, reason="starts six processes for a minute: set MONGOOSE_NB_FLOWER=1")
def test_loopback(tmp_path):
    """A SuperLink and four SuperNodes on this machine; one of them is killed in the second round."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(PROJECT)
    shutil.copy(HERE / "flower_app.py", app / "fair_app.py")
    home = tmp_path / "home"
    home.mkdir()
    ports = free_ports(5)
    (home / "config.toml").write_text(SETTINGS.format(port=ports[0]))
    tools = pathlib.Path(sys.executable).parent
    env = {**os.environ, "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "NUMBA_NUM_THREADS": "1",
           "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": f"{HERE.parents[1]}:{HERE.parent}"}
    started = []

    def start(name, *command):
        with open(tmp_path / f"{name}.log", "w") as log:
            started.append(subprocess.Popen([tools / command[0], *command[1:]], env=env, stdout=log, stderr=log, start_new_session=True))

    try:
        start("link", "flower-superlink", "--insecure", "--port", str(ports[0]), "--disable-runtime-dependency-installation")
        time.sleep(3)
        for node, held in HELD.items():
            start(f"node{node}", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{ports[0]}", "--port", str(ports[1 + node]),
                  "--node-config", f"cells={held} node={node}")
        out = tmp_path / "out.npz"
        start("run", "flwr", "run", str(app), "here", "--stream", "--run-config", f'out="{out}"')
        until = time.monotonic() + 240
        while not out.exists() and time.monotonic() < until:
            time.sleep(0.5)
        assert out.exists(), (tmp_path / "run.log").read_text()
        time.sleep(0.5)
        with np.load(out) as found:
            table, bias = expected([range(4), [0, 1, 2]])
            assert found["answered"].tolist() == [4, 3]
            assert np.allclose(found["table"], table, atol=1e-12) and np.allclose(found["bias"], bias)
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            process.wait(timeout=20)
