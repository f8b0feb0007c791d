"""Federated matrix factorisation in one process: every user is a device, with a memory of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.compress.fair import FairServer, Subspace
from mongoose_nb.core.validation import check_int, check_number


def local_training(users: np.ndarray, cells: np.ndarray, space: Subspace, likes: list, seeds: list, *, epochs: int, lr: float,
                   penalty: float = 0.01, frozen: bool = False) -> None:
    """What devices of one capacity do in a round, in place: Bayesian personalised ranking over their own items.

    Parameters
    ----------
    users : (n, d) float64
        The devices' own embeddings, which they never send.
    cells : (n, m) float64
        Of the table of items, one copy a device; (1, m), and unchanged, where `frozen`.
    space : Subspace
    likes : list of (k,) int arrays
        Items that each user likes.
    seeds : list of list of int
        Key the random items of each device.
    epochs : int
    lr : float
    penalty : float
        Pull of embeddings towards zero.
    frozen : bool
        Train the users only.
    """
    from mongoose_nb.kernels.recommend.local import train_devices

    start = np.concatenate([[0], np.cumsum([len(one) for one in likes])]).astype(np.int64)
    items = np.concatenate([*likes, np.zeros(0, np.int64)]).astype(np.int64)
    drawn = [np.random.default_rng(seed).integers(0, space.shape[0], (epochs, len(one))) for one, seed in zip(likes, seeds)]
    others = np.concatenate([*drawn, np.zeros((epochs, 0), np.int64)], axis=1)
    train_devices(users, cells, space.index, space.sign, start, items, others, epochs, lr, penalty, frozen)


class FederatedFactorization:
    """Matrix factorisation by FAIR, for study.

    Parameters
    ----------
    n_items, width : int
    capacities : sequence of int
        Cells of the kinds of devices.
    kinds : (n_users,) array of int
        The kind of each device.
    likes : list of int arrays
        Items that each user likes.
    lr : float
    local_epochs : int
        Steps of a device in a round.
    rate : float
        Factor on the change of the table.
    seed : int
    **options
        Of `compress.fair.FairServer`.
    """

    def __init__(self, n_items: int, width: int, capacities: Any, kinds: np.ndarray, likes: list, *, lr: float = 0.1,
                 local_epochs: int = 5, rate: float = 1.0, seed: int = 0, **options: Any) -> None:
        self.seed, self.lr = check_int("seed", seed, low=0), check_number("lr", lr, low=0, open_low=True)
        self.local_epochs, self.rate = check_int("local_epochs", local_epochs, low=1), check_number("rate", rate, low=0, open_low=True)
        rng = np.random.default_rng([self.seed, 0xFA1])
        self.kinds, self.likes = np.asarray(kinds), likes
        if len(self.kinds) != len(likes) or self.kinds.min() < 0 or self.kinds.max() >= len(capacities):
            raise ValueError(f"kinds must name one of {len(capacities)} capacities for each of {len(likes)} users")
        self.server = FairServer(0.1 * rng.standard_normal((n_items, width)), capacities, seed=self.seed, **options)
        self.users = 0.1 * rng.standard_normal((len(likes), width))
        self.rounds = 0

    def round(self, devices: Any) -> None:
        """One round with these devices (ids of users): send, train, average."""
        devices = np.asarray([device for device in devices if len(self.likes[device])], np.int64)
        answers = []
        for kind in np.unique(self.kinds[devices]).tolist():
            some = devices[self.kinds[devices] == kind]
            likes, users = [self.likes[device] for device in some], self.users[some]
            cells = np.repeat(self.server.send(kind)[None], len(some), axis=0)
            seeds = [[self.seed, self.rounds, int(device)] for device in some]
            local_training(users, cells, self.server.subspaces[kind], likes, seeds, epochs=self.local_epochs, lr=self.lr)
            self.users[some] = users
            answers += [(kind, own, float(len(one))) for own, one in zip(cells, likes)]
        self.server.receive(answers, self.rate)
        self.rounds += 1

    def fit(self, rounds: int, participants: int, among: Any = None) -> FederatedFactorization:
        """Rounds of random devices.

        Parameters
        ----------
        rounds, participants : int
        among : list of int, optional
            Devices that take part; all by default.
        """
        among = np.arange(len(self.likes)) if among is None else np.asarray(among)
        for _ in range(rounds):
            rng = np.random.default_rng([self.seed, 0xDE, self.rounds])
            self.round(rng.choice(among, min(participants, len(among)), replace=False))
        return self

    def scores(self, devices: Any, epochs: int = 20) -> np.ndarray:
        """Scores of all items for some devices: each fits its own embedding to the table that it can hold."""
        devices = np.asarray(devices)
        out = np.empty((len(devices), self.server.table.shape[0]))
        for kind in np.unique(self.kinds[devices]).tolist():
            some = self.kinds[devices] == kind
            space, cells, users = self.server.subspaces[kind], self.server.send(kind), self.users[devices[some]]
            seeds = [[self.seed, 0xE7A, int(device)] for device in devices[some]]
            local_training(users, cells[None], space, [self.likes[device] for device in devices[some]], seeds, epochs=epochs, lr=self.lr,
                           frozen=True)
            out[some] = users @ space.lift(cells).T
        return out
