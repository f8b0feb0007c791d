"""Training that decides by rows kept aside: which sources rank, whether hash tables give hard negatives, how long to train."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.features import StandardColumns, has_dense_columns
from mongoose_nb.nn.labelled import rows_with_labels, warn_of_single_labels
from mongoose_nb.nn.ranking import held_rows
from mongoose_nb.nn.training.batches import DENSE_STEPS, MIN_STEPS
from mongoose_nb.nn.training.callbacks import Callback, EarlyStopping
from mongoose_nb.nn.training.lr import Constant, Linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import scipy.sparse as sp

    from mongoose_nb.nn.training.callbacks import History

# Rows below which nothing is kept aside, and rows to keep aside at least, up to a third of all: fewer cannot tell one choice from another.
FEWEST, LEAST_HELD = 50, 60
# Samples that a network sees by default, about, and the fewest and most passes over the rows.
SAMPLES, LEAST, MOST = 120_000, 3, 10
# Dense rows up to which the network also learns from those that were kept aside, in a second training: of few, each one counts.
TRAINED_AGAIN = 5000
# Step of the first look at the rows kept aside, doubled from look to look, and rows of a look.
FIRST_LOOK, LOOKED_AT = 128, 256


def epochs_of(n: int, batch_size: int, dense: bool = False) -> int:
    """Passes over n rows after which a network brings the right candidates.

    Parameters
    ----------
    n, batch_size : int
    dense : bool
        Whether the rows have dense columns: curved borders between few classes take more steps.
    """
    return max(LEAST, min(MOST, round(SAMPLES / n)), -(-(DENSE_STEPS if dense else MIN_STEPS) // -(-n // batch_size)))


@register("callback", "look at held-out rows")
class HeldOutLook(Callback):
    """Tells a sampler that can use it (`nn.Adaptive`) the P@1 on rows kept aside, at steps 128, 256, 512, ...

    Rows that are trained on are known by heart after a pass, so that their P@1 says nothing.

    Parameters
    ----------
    X, Y
        Rows kept aside, and their labels: CSR matrices.
    """

    def __init__(self, X: sp.csr_matrix, Y: sp.csr_matrix) -> None:
        self.X, self.Y = X, Y

    def config(self) -> dict[str, Any]:
        """None of the rows: a checkpoint does not hold them."""
        return {}

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """From now on the sampler is told."""
        self._sampler = network.output.sampler if hasattr(network.output.sampler, "judge") else None
        if self._sampler is not None:
            self._sampler.told = True

    def on_batch_end(self, network: Any, logs: Any) -> None:
        """Look, if it is time."""
        step = network.step
        if self._sampler is not None and step >= FIRST_LOOK and step & (step - 1) == 0:
            best, _ = network.predict_topk(self.X, 1, ranked=False)
            self._sampler.judge(float(np.mean(self.Y[np.arange(len(best)), best[:, 0]])), step)


@register("callback", "rank at the end")
class Rank(Callback):
    """Trains what ranks the outputs after the last epoch, before the network is saved.

    Parameters
    ----------
    X, Y : CSR
        All rows.
    held : (m,) int64
        Those that the network is not trained on.
    passes, batch_size : int
        Passes over all rows in which the network is trained afterwards, and rows of a batch.
    micro_batch_size : int, optional
        See `Network.fit`.
    """

    def __init__(self, X: sp.csr_matrix, Y: sp.csr_matrix, held: np.ndarray, passes: int = 0, batch_size: int = 256,
                 micro_batch_size: int | None = None) -> None:
        self.X, self.Y, self.held, self.passes, self.batch_size = X, Y, held, passes, batch_size
        self.micro_batch_size = micro_batch_size
        self.report: dict[str, Any] = {}

    def config(self) -> dict[str, Any]:
        """None of the rows: a checkpoint does not hold them."""
        return {}

    def on_fit_end(self, network: Any, logs: Any) -> None:
        """Train it. The rate has fallen to zero, so the optimiser's moments have done their work: their memory goes to the ranking."""
        for parameter in network.parameters().values():
            parameter.forget_moments()
        self.report = rank(network, self.X, self.Y, self.held)
        train_on(network, self.X, self.Y, self.passes, self.batch_size, self.micro_batch_size)


def train_on(network: Any, X: sp.csr_matrix, Y: sp.csr_matrix, passes: int, batch_size: int, micro_batch_size: int | None = None) -> None:
    """Train for more passes, with a learning rate that falls to zero; they are not counted.

    Parameters
    ----------
    network : Network
    X, Y : CSR
    passes, batch_size : int
    micro_batch_size : int, optional
    """
    first, epoch, schedule = network.step, network.epoch, network.lr_schedule
    steps = passes * -(-X.shape[0] // batch_size)
    network.lr_schedule = lambda step, total: 1 - (step - first) / steps
    try:
        for _ in range(passes):
            network.partial_fit(X, Y, batch_size=batch_size, micro_batch_size=micro_batch_size)
    finally:
        network.lr_schedule, network.epoch = schedule, epoch


def fit_auto(network: Any, X: sp.csr_matrix, Y: sp.csr_matrix, *, epochs: int | None = None, batch_size: int = 256,
             held_out: float = 0.1, callbacks: Sequence = (), fit: Callable[..., History] | None = None, **options: Any) -> dict[str, Any]:
    """See `Network.fit_auto`; takes canonical rows.

    Parameters
    ----------
    network : Network
    X, Y : CSR
    epochs, batch_size, held_out, callbacks
        As there.
    fit : callable, optional
        Trains the network in place of `Network.fit`, elsewhere than here. The network has its weights when it returns, and not before.
    **options
        Of `Network.fit`, or of `fit`.

    Returns
    -------
    dict
    """
    held_out = check_number("held_out", held_out, low=0.0, high=1.0, open_low=True, open_high=True)
    n = X.shape[0]
    epochs = epochs_of(n, batch_size, has_dense_columns(X)) if epochs is None else check_int("epochs", epochs, low=1)
    with standardised(network, X):
        return _fit_auto(network, X, Y, epochs, batch_size, held_out, callbacks, fit, options)


@contextlib.contextmanager
def standardised(network: Any, X: sp.csr_matrix) -> Iterator[None]:
    """Give a network that is not trained yet a step that standardises dense columns, where the rows have them; if the block fails, it has
    none as before.

    Parameters
    ----------
    network : Network
    X : CSR
    """
    before = network.features
    if before is None and network.step == 0 and has_dense_columns(X):
        network.features = StandardColumns().fit(X)
    try:
        yield
    except BaseException:
        network.features = before
        raise


def _fit_auto(network, X, Y, epochs, batch_size, held_out, callbacks, fit, options):
    train = network.fit if fit is None else fit
    usable = rows_with_labels(Y)  # the others decide nothing
    n = len(usable)
    reason = None
    if n < FEWEST:
        reason = f"{n} rows with labels are too few to keep some aside (at least {FEWEST})"
    elif options.get("sample_weight") is not None:
        reason = "rows have weights, which only a network takes"
    if reason is not None:
        history = train(X, Y, epochs=epochs, batch_size=batch_size, callbacks=callbacks, **options)
        network.ranking = None
        return {"history": history, "choice": f"the network alone: {reason}"}
    warn_of_single_labels(Y)
    held = held_rows(X.shape[0], max(held_out, min(LEAST_HELD, n // 3) / n), network.seed, usable)
    n = X.shape[0]
    rest = np.setdiff1d(np.arange(n), held)
    looked = held[:: max(1, len(held) // LOOKED_AT)]
    stopping = options.pop("early_stopping", None)
    if stopping is not None and options.get("validation") is None:
        options["validation"] = X[held], Y[held]
    again = network.features is not None and n <= TRAINED_AGAIN and stopping is None
    end = Rank(X, Y, held, -(-epochs // 2) if again else 0, batch_size, options.get("micro_batch_size"))
    callbacks = [HeldOutLook(X[looked], Y[looked]), *callbacks]
    if stopping is not None:
        callbacks.append(stopping if isinstance(stopping, EarlyStopping) else EarlyStopping(patience=stopping))
    schedule = network.lr_schedule
    try:
        if isinstance(schedule, Constant):
            network.lr_schedule = Linear()
        last = [end] if fit is None else []
        history = train(X[rest], Y[rest], epochs=epochs, batch_size=batch_size, callbacks=[*callbacks, *last], **options)
    finally:
        network.lr_schedule = schedule
    if fit is not None:
        end.on_fit_end(network, history)
    return {"history": history, **end.report}


def rank(network: Any, X: sp.csr_matrix, Y: sp.csr_matrix, held: np.ndarray) -> dict[str, Any]:
    """Train what ranks the outputs of a network that is trained, and keep it where it is more than the network.

    Parameters
    ----------
    network : Network
    X, Y : CSR
    held : (m,) int64
        Rows that the network was not trained on.

    Returns
    -------
    dict
        What `Network.fit_ranking` gives, and ``choice``.
    """
    report = network.fit_ranking(X, Y, held_out=held)
    if network.ranking.mixture.sources == ["network"]:
        network.ranking = None
    return {**report, "choice": describe_choice(report, len(held))}


def describe_choice(report: dict[str, Any], rows: int) -> str:
    """One line that says what was chosen and why.

    Parameters
    ----------
    report : dict
        Of `Network.fit_ranking`.
    rows : int
        Rows that were kept aside.
    """
    taken = " + ".join(f"{source} x {weight:g}" for source, _, _, weight in report["mixture"])
    alone = ", ".join(f"{source} {scores['P@1']:.3f}" for source, scores in report["held_out"].items() if source != "mixture")
    return f"{taken} on {report['features']}, by {rows:,} rows kept aside: P@1 {report['held_out']['mixture']['P@1']:.3f} (alone: {alone})"
