"""A feed-forward network with sparse input and a wide output layer: build, train, predict, save."""

import time

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.locks import FairLock
from mongoose_nb.core.registry import make
from mongoose_nb.core.threads import compute_threads, kernel_threads
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.nn import saving as io
from mongoose_nb.nn.layers.activations import make_activation
from mongoose_nb.nn.layers.base import Run, named, part_of
from mongoose_nb.nn.layers.build import build_layers
from mongoose_nb.nn.layers.losses import make_loss
from mongoose_nb.nn.sampling.make import make_sampler
from mongoose_nb.nn.training import backprop
from mongoose_nb.nn.training import loop as training
from mongoose_nb.nn.training.batches import Chunks, Whole
from mongoose_nb.nn.training.lr import make_schedule
from mongoose_nb.nn.training.optimizers import make_optimizer
from mongoose_nb.nn.training.progress import Progress
from mongoose_nb.nn.training.timing import PhaseTimer

# Samples whose hidden activations are held at once when predicting.
PREDICT_BLOCK = 8192
# Multiplications for a row that is ranked again, about.
RANKED_WORK = 1 << 17


class Network:
    """Sparse input, hidden layers, and a wide output layer whose training step computes only the outputs that matter.

    Parameters
    ----------
    n_features, n_outputs : int
        Width of the input and of the output.
    hidden : sequence of int or Layer
        Hidden layers. An int is a layer of this width with the activation. A layer is the description of one, such as ``nn.Wide(10_000)``,
        ``nn.Dropout(0.2)`` or one of your own (`nn.Layer`); it may serve several networks, each of which builds a layer of its own. The
        first has to be a width, and so has the one after `nn.Wide`.
    activation : str or Activation
        ``"relu"``, ``"leaky_relu"``, ``"elu"``, ``"gelu"``, ``"tanh"``, ``"sigmoid"``, ``"identity"``, or one of your own
        (`nn.Activation`).
    sampler : str or Sampler
        ``"lsh"``, ``"uniform"``, ``"full"``, ``"adaptive"``, ``"auto"`` (full or adaptive, by the number of outputs), or an
        object such as ``nn.LSH(candidates=400)``, also of a class of your own (`nn.Sampler`).
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

    Notes
    -----
    Threads may share a network. Training holds it for a step, a prediction for a block of 8,192 rows, and they take turns: what is
    predicted while another thread trains is the answer of the network after some whole step. Two trainings at once are not
    refused, and of no use. A process that is forked off while another thread trains has a copy in the middle of a step: start it
    with "spawn", or fork before.
    """

    def __init__(self, n_features, n_outputs, *, hidden=(128,), activation="relu", sampler="lsh", loss="softmax",
                 optimizer="adam", lr=None, lr_schedule="constant", clip_norm=None, init_std=0.1, output_init_std=None, seed=0):
        self.n_features = check_int("n_features", n_features, low=1)
        self.n_outputs = check_int("n_outputs", n_outputs, low=1, high=2**31 - 2)
        self.seed = check_int("seed", seed, low=0, high=2**63 - 1)
        self.hidden = tuple(hidden)
        self.activation, self._activation = activation, make_activation(activation)
        self.loss = loss
        make_loss(loss)  # refuses now what it cannot use
        self.sampler = make_sampler(sampler)
        self.optimizer = make_optimizer(optimizer, lr)
        self.lr_schedule = make_schedule(lr_schedule)
        self.clip_norm = None if clip_norm is None else check_number("clip_norm", clip_norm, low=0.0, open_low=True)
        self.init_std = check_number("init_std", init_std, low=0.0, open_low=True)
        self.output_init_std = (None if output_init_std is None
                                else check_number("output_init_std", output_init_std, low=0.0, open_low=True))
        self.step = 0
        self.epoch = 0
        self._progress = None  # (Progress, callbacks) while `fit` runs
        self._lock = FairLock()  # held by whoever trains for a step, by whoever predicts for a block of rows
        self._build()

    # ------------------------------------------------------------------ construction

    def _build(self):
        self.layers, self.output = build_layers(self, self._activation)
        self.retriever = None
        self.ranking = None
        self._parameters = named([*((f"hidden{i}", layer.parameters()) for i, layer in enumerate(self.layers)),
                                  ("output", self.output.parameters())])
        for parameter in self._parameters.values():
            parameter.attach(self.optimizer)

    def parameters(self):
        """All trained arrays (`core.arrays.Parameter`) by name."""
        return dict(self._parameters)

    def _sampled_layers(self):
        out = {f"hidden{i}": layer for i, layer in enumerate(self.layers) if hasattr(layer, "sampler")}
        return {**out, "output": self.output}

    def samplers(self):
        """The bound samplers of the wide layers by the layer's name, such as ``"output"``."""
        return {name: layer.sampler for name, layer in self._sampled_layers().items()}

    def use_retriever(self, retriever):
        """Have ``predict_topk(exact=False)`` score what a copy of `retriever`, bound to the output layer, gives."""
        self.retriever = make("retriever", retriever).bind(self.output.weights, self.output.bias, self.seed)

    @property
    def lock(self):
        """Held by whoever trains for a step, or predicts for a block of rows."""
        return self._lock

    def _work(self, X, n_rows, active=None):
        """Multiplications for so many rows of X, about; `active` outputs of each, by default what the sampler computes."""
        if active is None:
            active = min(self.n_outputs, getattr(self.sampler, "candidates", self.n_outputs))
        n_rows = min(n_rows, X.shape[0])
        work, width = 0, X.nnz / X.shape[0]
        for layer in self.layers:
            work += width * layer.n_outputs
            width = layer.n_outputs
        return n_rows * (work + width * active)

    def _forward(self, x, timer):
        """Input of the output layer, for prediction."""
        return backprop.forward(self.layers, x, Run(self.step, train=False, timer=timer))[0]

    # ------------------------------------------------------------------ training

    def _check(self, X, Y):
        from mongoose_nb.data.validate import check_same_rows, check_X, check_Y

        X = check_X(X, n_features=self.n_features)
        Y = check_Y(Y, n_outputs=self.n_outputs, n_rows=X.shape[0])
        check_same_rows(X, Y)
        return X, Y

    def fit(self, X, Y=None, *, epochs=10, batch_size=256, validation=None, early_stopping=None, callbacks=(), verbose=0,
            resume=None, nonfinite="stop", steps_per_epoch=None):
        """Train for a number of passes over the data, in an order drawn anew for each.

        Parameters
        ----------
        X : (n, n_features) CSR or dense
        Y : (n, n_outputs) CSR indicator, list of lists of ids, or (n,) class ids
            Rows without a label are allowed; under the softmax they have no loss.
        X : iterable of (X, Y), where Y is left out
            Chunks that fit in memory one at a time, of data that need not: a list, a `data.XCChunks`, or anything whose ``iter`` begins
            anew. Rows are shuffled within a chunk, and batches end with it. CSR matrices over memory-mapped arrays
            (`data.map_arrays`) are used in place and need no chunks. An object with ``mark()``, a checksum of all its chunks, is
            refused by `resume` where that has changed; a list and `data.XCChunks` always are, other iterables are taken on trust.
        epochs, batch_size : int
        validation : (X, Y), optional
            Scored exactly after every epoch: P@1, P@3, P@5.
        early_stopping : int or EarlyStopping, optional
            Epochs without a better validation P@1 to wait before stopping; the best weights are restored.
        callbacks : sequence
            See `nn.callbacks`.
        verbose : int
            1 shows a progress bar (needs tqdm).
        resume : path-like, optional
            A file of `nn.Checkpoint`: where it exists, go on from it, to the last bit as if the call that wrote it had never ended. It
            takes the same network settings, data and batch size; `epochs` counts from where that call began. Where it does not exist
            training begins, so a script can be run again until it gets to its end.
        nonfinite : {"stop", "skip"}
            What to do where a batch has a loss that is not finite: a FloatingPointError that names step, layer and cause, or go on
            without that batch; the history then has the number of samples ``skipped``. Weights that are not finite stop both.
        steps_per_epoch : int, optional
            With chunks, for a learning-rate schedule that has to know the length of the run.

        Returns
        -------
        History
        """
        epochs = check_int("epochs", epochs, low=1)
        batch_size = check_int("batch_size", batch_size, low=1)
        parts = Whole(*self._check(X, Y)) if Y is not None else Chunks(X, self._check, epochs, steps_per_epoch, self.lr_schedule)
        if validation is not None:
            validation = self._check(*validation)
        listeners = training.make_listeners(callbacks, early_stopping, verbose, validated=validation is not None)
        marked = listeners.savers or resume is not None
        progress = Progress(self.epoch, epochs, batch_size, parts.samples or 0, parts.mark() if marked else 0, first_step=self.step)
        progress.skip = check_choice("nonfinite", nonfinite, ("stop", "skip")) == "skip"
        saved, states = (None, {}) if resume is None else io.resume_network(self, resume)
        if saved is not None:
            saved.agree(progress, resume)
            progress = saved
            progress.skip = nonfinite == "skip"
            if epochs > progress.epochs:
                progress.epochs, progress.stopped, progress.done = epochs, progress.stopped and not progress.done, False
        self._progress = (progress, listeners.callbacks)
        try:
            with compute_threads(parts.work(self._work, batch_size)):
                listeners.notify("on_fit_begin", self, {"epochs": epochs, "batches": parts.batches(batch_size), "batch_size": batch_size,
                                                        **parts.logs()})
                io.load_callbacks(listeners.callbacks, states, resume)
                return training.train(self, parts, progress, listeners=listeners, lock=self._lock,
                                      validate=None if validation is None else lambda: self.evaluate(*validation, ranked=False))
        finally:
            self._progress = None

    def partial_fit(self, X, Y, *, batch_size=256):
        """One pass over the given rows, going on from where training stands. Returns self."""
        batch_size = check_int("batch_size", batch_size, low=1)
        X, Y = self._check(X, Y)
        with compute_threads(self._work(X, batch_size)):
            progress = Progress(self.epoch, 1, batch_size, X.shape[0])
            training.train_epoch(self, Whole(X, Y), progress, self.step + -(-X.shape[0] // batch_size), training.Listeners(), self._lock)
        return self

    def loss_and_gradients(self, x, labels, peak=np.inf, *, run=None):
        """Mean loss of a batch and its gradient, as the next training step computes them.

        Parameters
        ----------
        x, labels : Rows
            ``Rows.of(X)`` and ``Rows.of(Y)`` of canonical CSR matrices.
        peak : float
            A bound on the values of `x`, where one is known.
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
        return backprop.loss_and_gradients(self.layers, self.output, x, labels, run, peak)

    def after_update(self, run, gradients):
        """Bring hash tables up to date after a step of the optimiser."""
        for name, layer in (*((f"hidden{i}", layer) for i, layer in enumerate(self.layers)), ("output", self.output)):
            try:
                layer.after_update(run, part_of(gradients, name))
            except FloatingPointError as error:
                raise FloatingPointError(f"{error} (layer {name}, at step {self.step})") from error

    def counts(self):
        """Mean numbers of outputs that the last step computed for a sample, by where they came from."""
        return self.output.sampler.counts()

    def report(self):
        """Figures of the output layer's tables since this was last called."""
        return self.output.sampler.report()

    def fit_serving(self, X, Y, *, candidates=None, K=None, L=None, rows=8192, learn=None):
        """Train hash tables for ``predict_topk(exact=False)`` and ``evaluate(exact=False)``; the weights stay as they are.

        The hash functions are trained so that true labels and the best-scoring outputs are found (`nn.LabelSensitiveRetriever`). They are
        saved with the network. When the weights move on, the tables follow, and the functions stay until this is called again.

        Parameters
        ----------
        X, Y
            As for `fit`: the training data, or others like them.
        candidates : int, optional
            Outputs to score for a row when predicting: by default a hundredth of all, at least 100.
        K, L : int, optional
            Hashes per table and tables: by default buckets of about 300 outputs, and 250.
        rows : int
            Rows of X to learn from, drawn at random.
        learn : hashing.LearnedHash, optional
            By default the contrast with ``labels=True`` in 200 steps.

        Returns
        -------
        dict
            What `hashing.LearnedHash.report` gives, and the ``seconds`` it took.
        """
        from mongoose_nb.nn.retrieval.label_sensitive import LabelSensitiveRetriever
        from mongoose_nb.nn.sampling.activation_buffer import padded

        start = time.perf_counter()
        X, Y = self._check(X, Y)
        rows = check_int("rows", rows, low=1)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, 2])))
        chosen = np.sort(rng.permutation(X.shape[0])[:rows])
        retriever = LabelSensitiveRetriever(candidates, K, L, learn).bind(self.output.weights, self.output.bias, self.seed)
        h = self.hidden_activations(X[chosen])
        with compute_threads(len(h) * self.n_outputs * self.output.n_inputs), self._lock:
            report = retriever.fit(h, padded(Rows.of(Y, chosen)))
        self.retriever = retriever
        return {**report, "seconds": time.perf_counter() - start}

    def fit_ranking(self, X, Y, *, candidates=None, C=0.5, features="tfidf", neighbours=100, held_out=0.1, prune=0.05, seed=None):
        """Train linear rankers, and keep the training rows as neighbours, to rank the network's best outputs again.

        Afterwards `predict_topk` and `evaluate` rank by both (`ranking.Ranking`), unless ``ranked=False``. The network stays as it is.
        The ranking is saved with it, and stays until this is called again. A network trained for a few epochs is enough: it only has to
        bring the right labels among the candidates.

        Parameters
        ----------
        X, Y
            As for `fit`: the training data.
        candidates : int, optional
            Best outputs of the network that are candidates of a row; half as many labels with the most votes join them. By default 100,
            or all labels where rows times labels are at most 4.2 million.
        C : float
            Weight of the rankers' losses beside their regularisation.
        features : str or Features
            The form in which rankers and neighbours see a row: ``"tfidf"``, ``"log"``, ``"unit"``, ``"none"``, or a step of your own
            (`nn.Features`).
        neighbours : int
            Nearest training rows that vote for their labels.
        held_out : float
            Share of the rows, at most 5,000, on which margins and votes are mixed. The rankers are trained on them too, afterwards.
        prune : float
            Weights of rankers up to this size are dropped.
        seed : int, optional
            That of the network by default.

        Returns
        -------
        dict
            ``pairs``, ``weights``, ``mixture``, ``held_out`` (P@1, P@3, P@5 of each source and of the mixture), ``seconds`` by part, and
            ``bytes`` of the rankers and neighbours.
        """
        from mongoose_nb.nn.ranking import Ranking

        X, Y = self._check(X, Y)
        ranking = Ranking(candidates, C, features, neighbours, held_out, prune, self.seed if seed is None else seed)
        report = ranking.fit(X, Y, lambda k: self.predict_topk(X, k, ranked=False)[0])
        self.ranking = ranking
        return {**report, "bytes": ranking.nbytes}

    def rehash(self):
        """Bring the hash tables up to date with the weights now, whatever the schedule says."""
        if self.retriever is not None:
            self.retriever.forget()
        with compute_threads(self.n_outputs * self.output.n_inputs), self._lock:
            for sampler in self.samplers().values():
                sampler.rehash_now()

    # ------------------------------------------------------------------ prediction

    def hidden_activations(self, X):
        """Input of the output layer, (n, width) float32, for rows `X`."""
        from mongoose_nb.data.validate import check_X

        X = check_X(X, n_features=self.n_features)
        with compute_threads(self._work(X, X.shape[0])), self._lock:
            return np.array(self._forward(Rows.of(X), PhaseTimer()))

    def predict_topk(self, X, k=5, *, exact=True, candidates=None, ranked=None):
        """Best `k` outputs of every row.

        Parameters
        ----------
        X : (n, n_features) CSR or dense
        k : int
        exact : bool
            True scores every output. False scores those that hash tables retrieve: the ones that `fit_serving` trained, else those
            of the LSH sampler, made for training, which miss many of the best outputs where there are many outputs.
        candidates : int, optional
            With ``exact=False``, most outputs to score for a row; by default the number of `fit_serving`, else the sampler's.
        ranked : bool, optional
            Whether the best outputs are ranked again by what `fit_ranking` made; by default if there is such a ranking.

        Returns
        -------
        ids : (n, k) int32
            Best first, the lower id first among equals; -1 where fewer than k were scored.
        scores : (n, k) float32
            Logits, or scores of the ranking; -inf where the id is -1.
        """
        from mongoose_nb.data.validate import check_X

        k = check_int("k", k, low=1, high=self.n_outputs)
        X = check_X(X, n_features=self.n_features)
        if ranked and self.ranking is None:
            raise ValueError("ranked=True needs a ranking: call fit_ranking first")
        if self.ranking is not None and ranked is not False:
            return self._ranked(X, k, exact, candidates)
        source = self.retriever or self.output.sampler
        if not exact and not hasattr(source, "retrieve"):
            raise ValueError(f"exact=False needs a network with the LSH sampler; this one has {source!r}: call fit_serving first")
        if not exact:
            candidates = check_int("candidates", source.candidates if candidates is None else candidates, low=1, high=2**31 - 2)
        ids = np.empty((X.shape[0], k), np.int32)
        scores = np.empty((X.shape[0], k), np.float32)
        timer = PhaseTimer()
        if not exact and self.retriever is not None and not self.retriever.built(self.step):
            # before the threads are limited to what a row or two are worth: that would take twice as long
            with compute_threads(self.n_outputs * self.output.n_inputs), self._lock:
                self.retriever.build(self.step)
        work = self._work(X, X.shape[0], self.n_outputs if exact else candidates)
        with compute_threads(work) if exact else kernel_threads(work):
            for lo in range(0, X.shape[0], PREDICT_BLOCK):
                block = slice(lo, min(lo + PREDICT_BLOCK, X.shape[0]))
                with self._lock:
                    ids[block], scores[block] = self._topk(Rows.of(X, block), k, exact, candidates, timer)
        return ids, scores

    def _ranked(self, X, k, exact, candidates):
        """The best of the ranking, block by block."""
        ranking = self.ranking
        parts = []
        for lo in range(0, max(1, X.shape[0]), PREDICT_BLOCK):
            block = X[lo:lo + PREDICT_BLOCK]
            n = min(ranking.n_proposed, self.n_outputs)
            proposed = self.predict_topk(block, n, exact=exact, candidates=candidates, ranked=False)[0] if n else None
            with kernel_threads(block.shape[0] * RANKED_WORK):
                parts.append(ranking.topk(block, k, proposed))
        return tuple(np.concatenate(part) for part in zip(*parts))

    def _topk(self, x, k, exact, candidates, timer):
        h = self._forward(x, timer)
        if exact:
            return self.output.topk(h, k)
        sets = (self.retriever or self.output.sampler).retrieve(h, candidates, timer, self.step)
        return self.output.topk_of(h, k, sets)

    def predict(self, X):
        """The best output of every row, (n,) int32."""
        return self.predict_topk(X, 1)[0][:, 0]

    def evaluate(self, X, Y, *, k=None, exact=True, propensity=None, ranked=None):
        """Scores on labelled rows.

        Parameters
        ----------
        X, Y
            As for `fit`.
        k : int, optional
            Scores at 1, 3, 5, ... and `k`; 5 by default, or the number of outputs if there are fewer.
        exact : bool
            See `predict_topk`.
        propensity : (n_outputs,) array, optional
            Inverse propensities (`metrics.inverse_propensity` of the training labels); adds PSP@k.
        ranked : bool, optional
            See `predict_topk`.

        Returns
        -------
        dict
            P@1, nDCG@1, R@1 (recall), ... and PSP@1, ...
        """
        from mongoose_nb import metrics

        X, Y = self._check(X, Y)
        k = min(5, self.n_outputs) if k is None else check_int("k", k, low=1, high=self.n_outputs)
        predicted, _ = self.predict_topk(X, k, exact=exact, ranked=ranked)
        table = {"P": metrics.precision_at_k(Y, predicted, k), "nDCG": metrics.ndcg_at_k(Y, predicted, k),
                 "R": metrics.recall_at_k(Y, predicted, k)}
        if propensity is not None:
            table["PSP"] = metrics.psp_at_k(Y, predicted, propensity, k)
        places = sorted({*range(1, k + 1, 2), k})
        return {f"{name}@{j}": float(values[j - 1]) for name, values in table.items() for j in places}

    # ------------------------------------------------------------------ saving

    def save(self, path, *, optimizer=True):
        """Write the network to one file, replacing it as a whole.

        Parameters
        ----------
        path : path-like
        optimizer : bool
            With the optimiser's moments and the hash tables, so that training goes on exactly; without, a third of the size.
        """
        with self._lock:
            io.save_network(self, path, optimizer)

    def check_saveable(self):
        """Raise a TypeError, which names the part, where `save` or `checkpoint` would for what a file cannot hold."""
        io.check_saveable(self, () if self._progress is None else self._progress[1])

    def checkpoint(self, path, keep=1):
        """As `save`, with the place of a `fit` that runs; `keep` versions stay (`nn.Checkpoint`)."""
        io.save_network(self, path, True, self._progress, keep)

    def put_back(self, weights):
        """Take trained arrays, by the names of `parameters`, and bring the hash tables up to date with them."""
        with self._lock:
            for name, parameter in self.parameters().items():
                parameter.value[...] = weights[name]
            self.rehash()

    @classmethod
    def load(cls, path):
        """Read a network that `save` wrote."""
        return io.load_network(cls, path)

    def __repr__(self):
        return (f"Network({self.n_features} -> {' -> '.join(str(h) for h in self.hidden)} -> {self.n_outputs}, "
                f"sampler={self.sampler!r}, optimizer={self.optimizer!r}, step={self.step})")
