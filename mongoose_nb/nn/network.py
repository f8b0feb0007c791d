"""A feed-forward network with sparse input and a wide output layer: build, train, predict, save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.compress import make_compression
from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import make
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_choice, check_int, check_number, check_pair
from mongoose_nb.nn import auto, forms
from mongoose_nb.nn import saving as io
from mongoose_nb.nn.label_names import check_names
from mongoose_nb.nn.labelled import check_labelled, labelled
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run, part_of
from mongoose_nb.nn.layers.build import build_layers
from mongoose_nb.nn.layers.hashed_output import check_matrix
from mongoose_nb.nn.layers.losses import Loss
from mongoose_nb.nn.layers.regularizers import Regularizer
from mongoose_nb.nn.prediction import Predictor
from mongoose_nb.nn.training import backprop
from mongoose_nb.nn.training import gradient_rows as _gradient_rows  # noqa: F401  (registers it)
from mongoose_nb.nn.training import loop as training
from mongoose_nb.nn.training.batches import Chunks, Whole
from mongoose_nb.nn.training.finite import largest
from mongoose_nb.nn.training.optimizers import Optimizer
from mongoose_nb.nn.training.progress import Progress

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import scipy.sparse

    from mongoose_nb.nn.sampling.base import Sampler
    from mongoose_nb.nn.training.callbacks import EarlyStopping, History
    from mongoose_nb.nn.training.row_sampling import BatchSampler


class Network(Predictor):
    """Sparse input, hidden layers, and a wide output layer whose training step computes only the outputs that matter.

    Parameters
    ----------
    n_features, n_outputs : int
        Width of the input and of the output.
    hidden : sequence of int or Layer
        Hidden layers. An int is a layer of this width with the activation. A layer is the description of one, such as ``nn.Wide(10_000)``,
        ``nn.Monarch(1024)``, ``nn.Dropout(0.2)`` or one of your own (`nn.Layer`); it may serve several networks, each of which builds a
        layer of its own. The first has to be a width or ``nn.InputDropout(0.2)``, and a width has to come after that and after `nn.Wide`.
    activation : str or Activation
        ``"relu"``, ``"leaky_relu"``, ``"elu"``, ``"gelu"``, ``"tanh"``, ``"sigmoid"``, ``"identity"``, or one of your own
        (`nn.Activation`).
    sampler : str or Sampler
        Which outputs a step computes: ``"auto"`` (all, or beyond 8,192 outputs those of ``"adaptive"``), ``"full"``, ``"adaptive"``,
        ``"lsh"``, ``"uniform"``, or an object such as ``nn.LSH(candidates=400)``, also of a class of your own (`nn.Sampler`).
    loss : {"softmax", "logistic"} or Loss
        Cross-entropy against the uniform distribution over a sample's labels, or one-vs-all.
    optimizer : str or Optimizer
        ``"adam"``, ``"rowadam"``, ``"adagrad"``, ``"sgd"``, or an object such as ``nn.Adam(2e-3)``.
    lr : float, optional
        Learning rate, where the optimiser is given by name.
    lr_schedule : str or callable
        ``"constant"``, ``"linear"``, ``"cosine"``, ``"step"``, an object of `nn.lr`, or ``f(step, total) -> factor``.
    clip_norm : float, optional
        Scale the gradient of all layers together to at most this norm.
    init_std : float
        Standard deviation of the input layer's initial weights.
    output_init_std : float, optional
        Of the output layer's; 1 / sqrt(width) by default.
    regularizer : str or Regularizer, optional
        Changes output rows after each step: ``"spread-out"`` (`nn.SpreadOut`), which lets a network generalise better, or an object, also
        of a class of your own (`nn.Regularizer`).
    compress : float, str or compress.Compress, optional
        Keep the weights of the layers that are widths, and of the output layer, in one small hashed array: a ratio such as 10, the name of
        an index map, or both. Rows are made where a batch needs them: candidates that the batch shares are the fastest.
    seed : int
        Everything random derives from it: same seed, same result, for any number of threads.

    Attributes
    ----------
    step : int
        Optimiser steps taken.
    epoch : int
        Passes over training data taken.
    retriever : Retriever or None
        What `fit_serving` made: gives the outputs that ``predict_topk(exact=False)`` scores.
    ranking : ranking.Ranking or None
        What `fit_ranking` made: ranks the best outputs again.
    features : Features or None
        A fitted step that rows go through before the first layer, such as `nn.StandardColumns`; `fit_auto` sets it where most columns are
        dense. It is saved with the network.
    text : TextFeatures or None
        A fitted step that turns texts into rows. Where it is set, texts may be given in place of X; it is saved with the network.

    Notes
    -----
    Threads may share a network. Training holds it for a step, a prediction for a block of 8,192 rows, and they take turns: what is
    predicted while another thread trains is the answer of the network after some whole step. Two trainings at once are not
    refused, and of no use. A process that is forked off while another thread trains has a copy in the middle of a step: start it
    with "spawn", or fork before.
    """

    def __init__(self, n_features: int, n_outputs: int, *, hidden: Sequence[int | Layer] = (128,), activation: str | Activation = "relu",
                 sampler: str | dict | Sampler = "auto", loss: str | Loss = "softmax", optimizer: str | Optimizer = "adam",
                 lr: float | None = None, lr_schedule: str | Callable[[int, int], float] = "constant", clip_norm: float | None = None,
                 init_std: float = 0.1, output_init_std: float | None = None, regularizer: str | dict | Regularizer | None = None,
                 compress: Any = None, seed: int = 0) -> None:
        super().__init__(optimizer, lr, lr_schedule, clip_norm, seed)
        self.n_features = check_int("n_features", n_features, low=1)
        self.n_outputs = check_int("n_outputs", n_outputs, low=1, high=2**31 - 2)
        if not isinstance(hidden, list | tuple):
            raise TypeError(f"hidden must be a list or tuple of widths and layers, such as (128,); got {hidden!r}")
        self.hidden = tuple(hidden)
        self.activation, self._activation = activation, make("activation", activation)
        self.loss = loss
        make("loss", loss)  # refuses now what it cannot use
        self.sampler = make("sampler", sampler)
        self.init_std = check_number("init_std", init_std, low=0.0, open_low=True)
        self.output_init_std = (None if output_init_std is None
                                else check_number("output_init_std", output_init_std, low=0.0, open_low=True))
        self.compress = make_compression(compress)
        self.layers, self.output = build_layers(self, self._activation)
        self.regularizer = regularizer
        self.retriever = None
        self.ranking = None
        self.features = None
        self.text = None
        self._label_names = None
        self.take_layers(self.layers, self.hidden)

    def take_layers(self, layers: list[Layer], hidden: tuple) -> None:
        """Take built hidden layers, and the descriptions of them; moments of the optimiser are made where there are none."""
        self.layers, self.hidden = layers, hidden
        self._named = {**{f"hidden{i}": layer for i, layer in enumerate(layers)}, "output": self.output}
        self._parameters = forms.parameters_of(self._named, self.optimizer)

    def samplers(self) -> dict[str, Sampler]:
        """The bound samplers of the wide layers by the layer's name, such as ``"output"``."""
        return {name: layer.sampler for name, layer in self._named.items() if hasattr(layer, "sampler")}

    @property
    def regularizer(self) -> Regularizer | None:
        """What changes the output rows after each step; it may be set between two trainings."""
        return self.output.regularizer

    @regularizer.setter
    def regularizer(self, regularizer: str | dict | Regularizer | None) -> None:
        """Set it by name or as an object, or None."""
        made = None if regularizer is None else make("regularizer", regularizer)
        if made is not None:
            check_matrix(self.output, "whose rows share cells, and a regularizer changes each by itself: leave it out")
        self.output.regularizer = made

    @property
    def label_names(self) -> np.ndarray | None:
        """Names of the outputs (n_outputs,), saved with the network: strings, numbers or booleans; None where there are none."""
        return self._label_names

    @label_names.setter
    def label_names(self, names: Any) -> None:
        """Set one name for each output, or None."""
        self._label_names = None if names is None else check_names(names, self.n_outputs)

    # ------------------------------------------------------------------ training

    def fit(self, X: Any, Y: Any = None, *, epochs: int = 10, batch_size: int = 256, validation: tuple | None = None,
            early_stopping: int | EarlyStopping | None = None, callbacks: Sequence = (), verbose: int = 0,
            resume: str | os.PathLike | None = None, nonfinite: str = "stop", steps_per_epoch: int | None = None,
            sample_weight: Any = None, batches: str | dict | BatchSampler = "uniform",
            micro_batch_size: int | None = None) -> History:
        """Train for a number of passes over the data, by default in a new random order for each.

        Parameters
        ----------
        X : (n, n_features) CSR or dense
        Y : (n, n_outputs) CSR indicator, list of lists of ids, or (n,) class ids
            Rows without a label are allowed, where others have one; under the softmax they do not count in the mean loss of a batch.
        X : iterable of (X, Y) or (X, Y, sample_weight), where Y is left out
            Chunks that fit in memory one at a time, of data that need not: a list, a `data.XCChunks`, or anything that can be
            iterated again. Rows are shuffled within a chunk, and batches end with it. CSR matrices over memory-mapped arrays
            (`data.map_arrays`) are used in place and need no chunks. An object with ``mark()``, a checksum of all its chunks, is
            refused by `resume` where that has changed; a list and `data.XCChunks` always are, other iterables are taken on trust.
        epochs, batch_size : int
        sample_weight : (n,) array, optional
            How much each row counts in the mean loss of its batch, relative to the others; rows of weight 0 are left out.
        validation : (X, Y), optional
            Scored exactly after every epoch: P@1, P@3, P@5. Rows without a label are left out.
        early_stopping : int or EarlyStopping, optional
            Epochs without a better validation P@1 to wait before stopping; the best weights are restored.
        callbacks : sequence
            See `nn.callbacks`.
        verbose : int
            1 shows a progress bar (needs tqdm).
        resume : path-like, optional
            A file of `nn.Checkpoint`: where it exists, go on from it, to the last bit as if the call that wrote it had never ended. It
            takes the same network settings, data and sizes of batches. `epochs` counts from where that call began; it may be larger or
            smaller than it was, but not smaller than what the file has reached. A schedule of the learning rate that has to know the
            length of the run then follows the new one. Where the file does not exist training begins, so a script can be run again
            until it gets to its end.
        nonfinite : {"stop", "skip"}
            What to do where a batch has a loss that is not finite: a FloatingPointError that names step, layer and cause, or go on
            without that batch; the history then has the number of samples ``skipped``. Weights that are not finite stop both.
        steps_per_epoch : int, optional
            With chunks, for a learning-rate schedule that has to know the length of the run.
        batches : str or BatchSampler
            How the rows of a step are chosen: ``"uniform"``, all in turn; ``"lgd"``, drawn by the gradients of the output layer, about;
            ``"hardness"``, drawn by their angular hardness; or an object, also of a class of your own (`nn.BatchSampler`). Drawn rows
            are weighted so that the gradient has no bias; an epoch is as many draws as there are rows.
        micro_batch_size : int, optional
            Gradient accumulation, for a large `batch_size`: rows whose logits the output layer holds at once. The gradients of these parts
            are summed, and one step is taken for the batch. Candidates, loss and learning rate are those of the whole batch, so the result
            is that of one large batch, but for rounding. It takes memory for a gradient of the rows, beside ``micro_batch_size`` logits of
            each output in place of `batch_size`; hidden layers hold activations of the whole batch. Without effect where each sample
            has candidates of its own.

        Returns
        -------
        History
        """
        epochs = check_int("epochs", epochs, low=1)
        batch_size = check_int("batch_size", batch_size, low=1)
        micro = 0 if micro_batch_size is None else check_int("micro_batch_size", micro_batch_size, low=1)
        if Y is None and sample_weight is not None:
            raise ValueError("sample_weight goes with X and Y; chunks have their own: (X, Y, sample_weight)")
        if Y is None:
            parts: Whole | Chunks = Chunks(X, self._weighted, epochs, steps_per_epoch, self.lr_schedule)
        else:
            parts = Whole(*self._weighted(X, Y, sample_weight))
            check_labelled(parts.Y)
        parts.sampler = make("batch sampler", batches).bind(self.seed)
        if validation is not None:
            validation = labelled(*self._check(*check_pair("validation", validation)), name="validation")
        listeners = training.make_listeners(callbacks, early_stopping, verbose, validated=validation is not None)
        marked = listeners.savers or resume is not None
        progress = Progress(self.epoch, epochs, batch_size, parts.samples or 0, parts.mark() if marked else 0, first_step=self.step,
                            micro_batch_size=micro)
        skip = check_choice("nonfinite", nonfinite, ("stop", "skip")) == "skip"
        saved, states = (None, {}) if resume is None else io.resume_network(self, resume, lambda saved: saved.agree(progress, resume),
                                                                             parts.sampler)
        if saved is not None:
            progress = saved
            if epochs > progress.epochs:
                progress.stopped, progress.done = progress.stopped and not progress.done, False
            progress.epochs = epochs
        progress.skip = skip
        return self._train(parts, progress, listeners, parts.work(self._work, batch_size),
                           None if validation is None else lambda: self.evaluate(*validation, ranked=False),
                           lambda: io.load_callbacks(listeners.callbacks, states, resume))

    def fit_auto(self, X: Any, Y: Any, *, epochs: int | None = None, batch_size: int = 256, held_out: float = 0.1, callbacks: Sequence = (),
                 **options: Any) -> dict[str, Any]:
        """Train, and choose by rows kept aside what ranks the best outputs again: for the best accuracy, without settings.

        A share of the rows is kept from the network. On these, `fit_ranking` weighs the network's probabilities, linear rankers, votes of
        the nearest training rows, and counts of labels by feature; all but the network learn from all rows. Whether hash tables give hard
        negatives (``sampler="auto"``) is decided by them too. A constant learning rate falls to zero instead.
        Dense columns, such as those of measurements in different units, are standardised (`features`) by a network that is not trained
        yet.

        Parameters
        ----------
        X, Y
            As for `fit`; not chunks.
        epochs : int, optional
            Passes of the network; by default 3 to 10, so that it sees 120,000 samples, and more where these would be fewer than 200 steps.
        batch_size : int
        held_out : float
            Share of the rows, at most 5,000, that are kept aside; at least 60 of them, or a third of all. Fewer than 50 rows are too few:
            then, and where rows have weights, the network alone is trained.
        callbacks : sequence
            See `nn.callbacks`.
        **options
            Of `fit`, such as ``verbose``. With ``early_stopping`` the rows kept aside are scored after each epoch.

        Returns
        -------
        dict
            ``history``, ``choice`` (one line: what was chosen, and why), and what `fit_ranking` gives.
        """
        X, Y = self._check(X, Y)
        check_labelled(Y)
        return auto.fit_auto(self, X, Y, epochs=epochs, batch_size=batch_size, held_out=held_out, callbacks=callbacks,
                             **options)

    def _weighted(self, X, Y, weight):
        """X, Y and the weights of the rows in canonical form, without rows of weight 0."""
        from mongoose_nb.data.validate import check_weights

        X, Y = self._check(X, Y)
        weight = None if weight is None else check_weights(weight, X.shape[0])
        if weight is None or weight.all():
            return X, Y, weight
        kept = np.flatnonzero(weight)
        return X[kept], Y[kept], weight[kept]

    def partial_fit(self, X: np.ndarray | scipy.sparse.csr_matrix, Y: Any, *, batch_size: int = 256, sample_weight: Any = None,
                    micro_batch_size: int | None = None) -> Network:
        """Train for one pass over the given rows, from the present state.

        Parameters
        ----------
        X, Y
            As for `fit`.
        batch_size : int
        sample_weight : (n,) array, optional
            As for `fit`.
        micro_batch_size : int, optional
            As for `fit`.

        Returns
        -------
        Network
            The network itself.
        """
        batch_size = check_int("batch_size", batch_size, low=1)
        micro = 0 if micro_batch_size is None else check_int("micro_batch_size", micro_batch_size, low=1)
        X, Y, weight = self._weighted(X, Y, sample_weight)
        with compute_threads(self._work(X, batch_size)):
            progress = Progress(self.epoch, 1, batch_size, X.shape[0], micro_batch_size=micro)
            last = self.step + -(-X.shape[0] // batch_size)
            training.train_epoch(self, Whole(X, Y, weight), progress, last, training.Listeners(), self._lock)
        return self

    def weight_of(self, x: Rows, labels: Rows, peak: float = np.inf, weight: np.ndarray | None = None, total: float | None = None) -> float:
        """The sum of `Loss.weights` over a batch, or `total`; arguments are those of `loss_and_gradients`."""
        return float(self.output.loss_kind.weights(labels, weight).sum()) if total is None else total

    def grown(self, more: int, names: Sequence | None = None) -> Network:
        """A copy with more outputs, to be trained on labels that came later; this network stays as it is.

        What was learned is kept. New outputs start as in a new network, the sampler of the outputs as for a new training. Tables for
        serving and a ranking know the old outputs only: the copy has none.

        Parameters
        ----------
        more : int
            Outputs to add, behind the others.
        names : sequence, optional
            Names of the new outputs, where the others have names.

        Returns
        -------
        Network

        Raises
        ------
        TypeError
            For a network whose output layer is compressed. Hidden layers may be.
        """
        from mongoose_nb.nn.growth import grown

        return grown(self, more, names)

    def densify(self) -> Network:
        """Make every structured hidden layer (`nn.Monarch`, `nn.Pixelfly`) a `nn.Dense` layer of the same function, in place.

        In the middle of training this is reverse sparsification: most steps are those of the fast layer, the last ones have all weights.
        The optimiser's moments of the new weights start at zero. Between steps a callback may call it, but `early_stopping` can not go
        back to weights from before. A network without structured layers stays as it is.

        Returns
        -------
        Network
            The network itself.

        Raises
        ------
        ValueError
            If there is no such layer, but one whose weights have no dense form, such as those of a compressed network.

        References
        ----------
        Dao et al., "Monarch: Expressive structured matrices for efficient and accurate training", ICML 2022, section 4.
        """
        forms.change_network(self, "dense")
        return self

    def project(self, kind: str | dict, **options: Any) -> Network:
        """Make every dense hidden layer the nearest structured one, in place, to be trained further.

        The first hidden layer, which takes sparse rows, and the output layer stay as they are.

        Parameters
        ----------
        kind : str
            ``"monarch"`` or ``"pixelfly"``.
        **options
            Arguments of this layer, such as ``blocks`` and ``rank``.

        Returns
        -------
        Network
            The network itself.

        Raises
        ------
        ValueError
            If there is no hidden layer to project, or an option does not fit; the network is as it was.
        """
        description = {**(kind if isinstance(kind, dict) else {"name": kind}), **options}
        if not forms.change_network(self, description):
            raise ValueError(f"no hidden layer of {self.hidden!r} can be projected to {kind!r}: give the network a second dense layer, "
                             "such as hidden=(1024, 1024); the first one takes sparse rows")
        return self

    def loss_and_gradients(self, x: Rows, labels: Rows, peak: float = np.inf, weight: np.ndarray | None = None,
                           total: float | None = None, *, run: Run | None = None) -> tuple[float, dict]:
        """Mean loss of a batch and its gradient, as the next training step computes them.

        Parameters
        ----------
        x, labels : Rows
            ``Rows.of(X)`` and ``Rows.of(Y)`` of canonical CSR matrices.
        peak : float
            A bound on the values of `x`, where one is known.
        weight : (n,) array, optional
            Of the samples; 1 each by default. Under the softmax samples without labels do not count.
        total : float, optional
            What the weighted sum of the losses is divided by: by default the sum of the weights.
        run : Run, optional
            The state of the pass.

        Returns
        -------
        loss : float
        gradients : dict of str to gradient
            By the names of `parameters`: arrays, or values of `nn.layers.gradients`.

        Raises
        ------
        FloatingPointError
            If they are not finite; the message says where.
        """
        run = Run(self.step, clip=self.clip_norm is not None) if run is None else run
        given, x = x, self.transformed(x)
        peak = peak if x is given else largest(x.values)
        return backprop.loss_and_gradients(self.layers, self.output, x, labels, run, peak, weight, total)

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """Bring hash tables up to date after a step of the optimiser."""
        for name, layer in self._named.items():
            try:
                layer.after_update(run, part_of(gradients, name))
            except FloatingPointError as error:
                raise FloatingPointError(f"{error} (layer {name}, at step {self.step})") from error

    def counts(self) -> dict[str, float]:
        """Mean numbers of outputs that the last step computed for a sample, by where they came from."""
        return self.output.sampler.counts()

    def report(self) -> dict[str, Any]:
        """Figures of the output layer's tables since this was last called."""
        return self.output.sampler.report()

    # ------------------------------------------------------------------ saving

    def save(self, path: str | os.PathLike, *, optimizer: bool = True, half: bool = False) -> None:
        """Write the network to one file, replacing it as a whole.

        Parameters
        ----------
        path : path-like
        optimizer : bool
            With the optimiser's moments and the hash tables, so that training goes on exactly; without, a third of the size.
        half : bool
            With parameters at half precision, which halves such a file once more; only without the optimiser's moments. Scores differ
            in the fourth digit.

        Raises
        ------
        ValueError
            For ``half=True`` with ``optimizer=True``, or with parameters beyond 65,504.
        """
        with self._lock:
            io.save_network(self, path, optimizer, half=half)

    def check_saveable(self) -> None:
        """Raise a TypeError, which names the part, where `save` or `checkpoint` would for what a file cannot hold."""
        io.check_saveable(self, *(() if self._progress is None else self._progress[1:]))

    def checkpoint(self, path: str | os.PathLike, keep: int = 1) -> None:
        """As `save`, with the place of a `fit` that runs; `keep` versions stay (`nn.Checkpoint`)."""
        io.save_network(self, path, True, self._progress, keep)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Network:
        """Read a network that `save` wrote."""
        return io.load_network(cls, path)

    # ------------------------------------------------------------------ for other programs

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Copies of all trained arrays by the names of `parameters`.

        For hidden layers that are widths, ``h = activation(h @ hidden0.weights + hidden0.bias)`` and so on, from ``h = X``; the logits are
        ``h @ output.weights.T + output.bias``. Matrices of compressed layers are there in full, under the same names, beside the cells.
        """
        from mongoose_nb.nn.export import to_arrays

        with self._lock:
            return to_arrays(self)

    def to_onnx(self, path: str | os.PathLike, *, k: int | None = None) -> None:
        """Write the network as an ONNX file, for other programs to predict with. Needs the extra ``onnx``.

        Its input ``X`` is (n, n_features) float32, dense. Text features, names, tables for serving and a ranking are not part of it.
        Structured and compressed layers are written as the dense matrices that they stand for.

        Parameters
        ----------
        path : path-like
        k : int, optional
            Give the best k outputs, ``ids`` and ``scores``; by default ``logits`` (n, n_outputs).

        Raises
        ------
        ValueError
            For a layer or an activation that has no translation, such as `nn.Wide`.
        """
        from mongoose_nb.nn.export import write_onnx

        with self._lock:
            write_onnx(self, path, k)

    def summary(self) -> str:
        """Layers with their widths and numbers of parameters, sampler, loss, optimiser, and memory, as text to print."""
        from mongoose_nb.nn.export import summary

        return summary(self)

    def __repr__(self):
        from mongoose_nb.nn.export import brief

        return (f"Network({self.n_features} -> {' -> '.join(brief(h) for h in self.hidden)} -> {self.n_outputs}, "
                f"sampler={brief(self.sampler)}, optimizer={brief(self.optimizer)}, step={self.step})")
