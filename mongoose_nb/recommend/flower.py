"""FAIR on Flower (extra `flower`): a strategy for the server, and an app for the devices.

::

    server   FairStrategy --asks--> how many cells do you hold?            once for each device
                          --sends-> cells of the table for that memory, dense layers, shape and seed
    device   client_app   --trains, with a function of yours--> cells, dense layers, weight
    server                --averages what came back: the table by `compress.fair.FairServer`, dense layers plainly

A device that dies, answers too late or answers nonsense is left out of its round. Embeddings of a user stay on the device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mongoose_nb.compress.fair import FairServer, Subspace, weighted_mean
from mongoose_nb.core.validation import check_int, check_number

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp.strategy import Strategy
except ImportError:
    Strategy = None

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
_DENSE = "dense."
_log = logging.getLogger(__name__)


def _pack(cells, dense):
    return ArrayRecord({"cells": Array(np.ascontiguousarray(cells)), **{_DENSE + name: Array(part) for name, part in dense.items()}})


def _unpack(record):
    arrays = {name: array.numpy() for name, array in record.items()}
    return arrays["cells"], {name[len(_DENSE):]: part for name, part in arrays.items() if name.startswith(_DENSE)}


def _need_flower():
    if Strategy is None:
        raise ImportError("mongoose_nb.recommend.flower needs Flower: pip install 'mongoose_nb[flower]'")


class FairStrategy(Strategy or object):
    """A Flower strategy that gives every device what its memory holds of the table.

    Parameters
    ----------
    server : compress.fair.FairServer
        The table, and the capacities that devices are given: each gets the largest one that it can hold.
    dense : dict of str to array, optional
        Parameters that all devices hold whole, such as dense layers; averaged plainly.
    fraction : float
        Share of the devices that take part in a round.
    least : int
        Devices of a round, at least, where there are so many.
    rate : float
        Factor on the change of the table.
    patience : float
        Seconds to wait for a device's answer to how many cells it holds.
    seed : int
        Of the choice of devices.

    Attributes
    ----------
    answered : list of int
        How many devices each round has averaged.
    """

    def __init__(self, server: FairServer, dense: dict[str, np.ndarray] | None = None, *, fraction: float = 1.0, least: int = 1,
                 rate: float = 1.0, patience: float = 60.0, seed: int = 0) -> None:
        _need_flower()
        self.server = server
        self.dense = {name: np.ascontiguousarray(part) for name, part in (dense or {}).items()}
        self.fraction = check_number("fraction", fraction, low=0.0, high=1.0, open_low=True)
        self.least = check_int("least", least, low=1)
        self.rate = check_number("rate", rate, low=0.0, open_low=True)
        self.patience = check_number("patience", patience, low=0.0, open_low=True)
        self.seed = check_int("seed", seed, low=0)
        self.answered: list[int] = []
        self._kinds: dict[int, int | None] = {}

    def arrays(self) -> ArrayRecord:
        """The table and the dense parameters, as Flower's ``start(initial_arrays=...)`` takes them and its result has them."""
        return _pack(self.server.table, self.dense)

    def summary(self) -> None:
        """Write to the log what is trained."""
        _log.info("FAIR: a table of %s, capacities of %s cells", self.server.table.shape, [one.cells for one in self.server.subspaces])

    def _ask(self, nodes, grid):
        """Learn what new devices hold; those that do not answer are asked again in the next round."""
        new = [node for node in nodes if node not in self._kinds]
        if not new:
            return
        asked = [Message(RecordDict({CONFIG: ConfigRecord({"ask": "cells"})}), dst_node_id=node, message_type=MessageType.QUERY)
                 for node in new]
        for reply in grid.send_and_receive(asked, timeout=self.patience):
            if reply.has_error():
                continue
            held = int(reply.content[METRICS]["cells"])
            fitting = [(space.cells, kind) for kind, space in enumerate(self.server.subspaces) if space.cells <= held]
            self._kinds[reply.metadata.src_node_id] = max(fitting)[1] if fitting else None
            if not fitting:
                _log.warning("device %d holds %d cells, fewer than any capacity, and is left out", reply.metadata.src_node_id, held)

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Iterable[Message]:
        """What each device gets in a round. See Flower's ``Strategy``; `arrays` is not used, since the table is the server's."""
        nodes = sorted(grid.get_node_ids())
        self._ask(nodes, grid)
        able = [node for node in nodes if self._kinds.get(node) is not None]
        count = min(len(able), max(self.least, round(self.fraction * len(able))))
        chosen = np.random.default_rng([self.seed, 0xF10, server_round]).permutation(len(able))[:count]
        sent = {kind: self.server.send(kind) for kind in {self._kinds[able[i]] for i in chosen}}
        messages = []
        for i in sorted(chosen.tolist()):
            kind = self._kinds[able[i]]
            space = self.server.subspaces[kind]
            told = ConfigRecord({**config, "server-round": server_round, "rows": space.shape[0], "width": space.shape[1],
                                 "cells": space.cells, "seed": space.seed})
            content = RecordDict({ARRAYS: _pack(sent[kind], self.dense), CONFIG: told})
            messages.append(Message(content, dst_node_id=able[i], message_type=MessageType.TRAIN))
        return messages

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the answers of a round. See Flower's ``Strategy``."""
        answers, dense, left_out = [], [], 0
        for reply in sorted((one for one in replies), key=lambda one: one.metadata.src_node_id):
            node = reply.metadata.src_node_id
            if reply.has_error():
                left_out += 1
                _log.warning("round %d: device %d is left out: %s", server_round, node, reply.error.reason)
                continue
            try:
                cells, parts = _unpack(reply.content[ARRAYS])
                answer = (self._kinds[node], cells, float(reply.content[METRICS]["weight"]))
                self.server.check_answer(*answer)
                self._check_dense(parts)
            except (KeyError, ValueError, TypeError) as error:
                left_out += 1
                _log.warning("round %d: the answer of device %d is left out: %s", server_round, node, error)
                continue
            answers.append(answer)
            dense.append((parts, answer[2]))
        self.answered.append(len(answers))
        if not answers:
            return None, None
        self.server.receive(answers, self.rate)
        self.dense = weighted_mean(dense)
        return self.arrays(), MetricRecord({"answers": len(answers), "left-out": left_out})

    def _check_dense(self, parts):
        for name, own in self.dense.items():
            if name not in parts or parts[name].shape != own.shape or not np.isfinite(parts[name]).all():
                raise ValueError(f"dense parameter {name!r} must be finite and of shape {own.shape}")

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Iterable[Message]:
        """Nothing: devices are not asked to score. Give Flower's ``start`` an ``evaluate_fn`` instead."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing."""
        return None


def client_app(train: Callable[..., tuple[np.ndarray, dict[str, np.ndarray], float]], cells: int | None = None) -> ClientApp:
    """The Flower app of a device.

    Parameters
    ----------
    train : callable
        ``train(cells, space, dense, config, context) -> (cells, dense, weight)``: trains the cells, of which `space`
        (`compress.fair.Subspace`) makes the table, and dense parameters; the weight is the size of the device's data. `config` is a dict
        with ``server-round``. What the device keeps for itself goes into Flower's ``context.state``.
    cells : int, optional
        Memory of the device; by default ``cells`` of the node's settings: ``flower-supernode --node-config 'cells=4096'``.

    Returns
    -------
    flwr.clientapp.ClientApp
    """
    _need_flower()
    app = ClientApp()

    @app.query()
    def capacity(message, context):
        held = cells if cells is not None else context.node_config.get("cells")
        if held is None:
            raise ValueError("the memory of this device is not known: give client_app(cells=...), or start the node with --node-config "
                             "'cells=4096'")
        held = check_int("cells", int(held), low=1)
        return Message(RecordDict({METRICS: MetricRecord({"cells": held})}), reply_to=message)

    @app.train()
    def fit(message, context):
        told = dict(message.content[CONFIG])
        own, dense = _unpack(message.content[ARRAYS])
        space = Subspace((told["rows"], told["width"]), told["cells"], told["seed"])
        own, dense, weight = train(np.array(own), space, dense, told, context)
        return Message(RecordDict({ARRAYS: _pack(own, dense), METRICS: MetricRecord({"weight": float(weight)})}), reply_to=message)

    return app
