"""A language model of reversible LSH attention layers: build, train, evaluate, generate, save."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.registry import make
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.nn.forms import converted_maps
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Run, named, part_of
from mongoose_nb.nn.layers.linear_map import check_map, check_pair, pair_of
from mongoose_nb.nn.layers.wide_output import WideOutput
from mongoose_nb.nn.model import Model
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.saving import model_settings
from mongoose_nb.nn.training import loop as training
from mongoose_nb.nn.training.callbacks import EarlyStopping, History
from mongoose_nb.nn.training.optimizers import Optimizer
from mongoose_nb.nn.training.progress import Progress
from mongoose_nb.reformer import saving as io
from mongoose_nb.reformer.body import make_body
from mongoose_nb.reformer.cores import check_layers
from mongoose_nb.reformer.evaluation import Evaluating
from mongoose_nb.reformer.head import SoftmaxHead, one_label
from mongoose_nb.reformer.kinds import AttentionKind
from mongoose_nb.reformer.tasks import Task, TaskSource, check_batch, check_task

# The layer of a block's half that has its linear maps.
_HOLDERS = {"feedforward": "layers", "attention": "heads"}


class ReformerLM(Evaluating, Model):
    """Predicts the next token with LSH attention in reversible layers (Kitaev, Kaiser and Levskaya, 2020).

    Parameters
    ----------
    n_tokens : int
        Size of the vocabulary.
    max_length : int
        Most tokens read at once.
    width : int
        Of the model: of every vector between the layers.
    embedding_width : int, optional
        Of the tokens' vectors, if it differs; a linear map follows then.
    n_layers, n_heads : int
        `n_heads` must divide `width`.
    ff_width : int, optional
        Inner width of the feed-forward layers; `width` by default.
    activation : str
        Of the feed-forward layers; see `nn.Network`.
    ff_chunks : int
        Parts of the positions that a feed-forward layer computes one after the other, to save memory.
    ff, projections : str, dict or pair of these
        Form of the linear maps of the feed-forward layers and of the attention: ``"dense"``, ``"monarch"`` or ``"pixelfly"``, or with
        arguments such as ``{"name": "monarch", "blocks": 8}``; see `nn.Monarch` and `nn.Pixelfly`. `ff` may be a pair, of the layer that
        widens and of the one that narrows, such as ``("dense", "monarch")``.
    attention : str, reformer.AttentionKind, or sequence of these
        ``"lsh"`` (random rotations), ``"triplet"`` or ``"contrast"`` (learned rotations, by their loss), ``"full"`` (exact),
        ``"scatterbrain"`` (random rotations, and random features for what they do not reach) or ``"performer"`` (random features alone),
        or a kind of your own, for all layers or for each.
    n_hashes, bucket_size : int or sequence of int
        Rounds of hashing, and mean size of a bucket, for all layers or for each.
    full_attention_up_to : int
        Sequences no longer than this are attended to exactly.
    strict : bool
        Whether the attention of a token depends on nothing that comes later: not by values, nor by the number of buckets and the bounds
        of chunks. A prefix alone then has the logits that it has in a longer text (to the bit in `logits`, `generate` and `decoder`, up to
        rounding in training), and the perplexity of `evaluate` is that of a strictly causal model. See `attention.LSHAttention`. Needs
        ``full_attention_up_to=0``.
    thresh, scheduler_hashes, lr_rotations, margin
        Of layers with learned rotations: the rotations learn when this share of the bits has changed that watch the query-key
        projection, so many bits for every row of it (rounded up to a multiple of 64), with this learning rate; margin of the triplet loss.
        See `attention.LearnedRotations`.
    positions : str or (int, int)
        ``"sinusoidal"``, ``"axial"``, or the two axes of the latter.
    dropout : float
        Share of the values zeroed behind the embedding and behind every attention and feed-forward layer.
    reversible : bool
        True computes activations again in the backward pass, so that memory does not grow with `n_layers`; False stores them. The
        results are the same to the bit.
    sampler : str or nn.Sampler, optional
        Which tokens a training step computes (``"lsh"``, ``"uniform"``, ...): for large vocabularies. By default all, exactly.
    n_features : int
        Random features of a head, where attention has some; see `attention.ScatterbrainAttention`.
    optimizer, lr, lr_schedule, clip_norm
        As for `nn.Network`.
    seed : int
        Everything random derives from it: same seed, same result, for any number of threads.
    dtype : {"float32", "float64"}
        float64 serves to check gradients.

    Attributes
    ----------
    step : int
        Optimiser steps taken.
    epoch : int
        Epochs taken.
    """

    def __init__(self, n_tokens: int, *, max_length: int = 1024, width: int = 256, embedding_width: int | None = None, n_layers: int = 2,
                 n_heads: int = 4, ff_width: int | None = None, activation: str | Activation = "relu", ff_chunks: int = 1,
                 attention: str | AttentionKind | Sequence[str | AttentionKind] = "lsh", n_hashes: int | Sequence[int] = 4,
                 bucket_size: int | Sequence[int] = 64, full_attention_up_to: int = 0, strict: bool = False, thresh: float = 0.03,
                 scheduler_hashes: int = 64, lr_rotations: float = 0.05, margin: float = 1.0,
                 positions: str | tuple[int, int] = "sinusoidal", dropout: float = 0.0, reversible: bool = True,
                 sampler: str | dict | Sampler | None = None, optimizer: str | Optimizer = "adam", lr: float = 1e-3,
                 lr_schedule: str | Callable[[int, int], float] = "constant", clip_norm: float | None = 0.5, seed: int = 0,
                 dtype: str = "float32", ff: str | dict | tuple = "dense", projections: str | dict = "dense", n_features: int = 64) -> None:
        super().__init__(optimizer, lr if isinstance(optimizer, str) else None, lr_schedule, clip_norm, seed)
        self.n_tokens = check_int("n_tokens", n_tokens, low=2, high=2**31 - 2)
        self.max_length = check_int("max_length", max_length, low=1)
        self.width = check_int("width", width, low=1)
        self.embedding_width = self.width if embedding_width is None else check_int("embedding_width", embedding_width, low=1)
        self.n_layers = check_int("n_layers", n_layers, low=1)
        self.n_heads = check_int("n_heads", n_heads, low=1)
        if self.width % self.n_heads:
            raise ValueError(f"n_heads must divide width={self.width}; got {n_heads}")
        self.ff_width = self.width if ff_width is None else check_int("ff_width", ff_width, low=1)
        self.activation = activation
        self.ff_chunks = check_int("ff_chunks", ff_chunks, low=1)
        self.ff, self.projections = check_pair(ff), check_map(projections)
        self.attention, self.n_hashes, self.bucket_size = check_layers(self.n_layers, attention, n_hashes, bucket_size)
        self.n_features = check_int("n_features", n_features, low=1)
        self.full_attention_up_to = check_int("full_attention_up_to", full_attention_up_to, low=0)
        self.strict = bool(strict)
        if self.strict and self.full_attention_up_to:
            raise ValueError(f"strict=True needs full_attention_up_to=0, as attention must not depend on the length; "
                             f"got {full_attention_up_to}")
        self.thresh = check_number("thresh", thresh, low=0.0, high=1.0)
        self.scheduler_hashes = check_int("scheduler_hashes", scheduler_hashes, low=1)
        self.lr_rotations = check_number("lr_rotations", lr_rotations, low=0.0, open_low=True)
        self.margin = check_number("margin", margin, low=0.0)
        self.positions = positions if isinstance(positions, str) else tuple(positions)
        self.dropout = check_number("dropout", dropout, low=0.0, high=1.0, open_high=True)
        self.reversible = bool(reversible)
        self.sampler = None if sampler is None else make("sampler", sampler)
        self.dtype = check_choice("dtype", dtype, ("float32", "float64"))
        if self.sampler is not None and self.dtype != "float32":
            raise ValueError("a sampler computes in float32; give dtype='float32', or no sampler")
        self.n_outputs = self.n_tokens
        self._build()

    # ------------------------------------------------------------------ construction

    def _build(self):
        streams = iter(np.random.SeedSequence(self.seed).spawn(3 + 4 * self.n_layers))

        def rng():
            return np.random.Generator(np.random.Philox(next(streams)))

        def seed():
            return int(next(streams).generate_state(1, np.uint32)[0])

        self._body = make_body(self, rng, seed)
        first = rng()
        if self.sampler is None:
            self._head = SoftmaxHead(self.n_tokens, self.dtype).build(self.width, first)
        else:
            self._head = WideOutput(self.n_tokens, self.sampler, init_std=0.1 / np.sqrt(3.0)).build(self.width, first)
            self._head.bind_sampler(int(first.integers(2**31)))
        self._take_parameters()

    def _take_parameters(self):
        self._parameters = {**self._body.parameters(), **named([("head", self._head.parameters())])}
        if self.dtype == "float32":
            for parameter in self._parameters.values():
                parameter.attach(self.optimizer)

    def densify(self) -> ReformerLM:
        """Make all structured linear maps dense ones of the same function, in place: see `nn.Network.densify`.

        Returns
        -------
        ReformerLM
            The model itself.
        """
        return self._change("dense", "dense")

    def project(self, ff: str | dict | tuple | None = None, projections: str | dict | None = None) -> ReformerLM:
        """Make the linear maps of the feed-forward layers, of the attention, or both the nearest ones of another form, in place.

        Parameters
        ----------
        ff, projections : str, dict or pair of these, optional
            As for the constructor; None leaves them as they are.

        Returns
        -------
        ReformerLM
            The model itself.
        """
        if ff is None and projections is None:
            raise ValueError('give ff, projections or both, such as project(ff="monarch")')
        return self._change(ff, projections)

    def _change(self, ff, projections):
        forms = {}
        if ff is not None:
            ff = check_pair(ff)
            forms["feedforward"] = dict(zip(("inner", "outer"), pair_of(ff)))
        if projections is not None:
            projections = check_map(projections)
            forms["attention"] = dict.fromkeys(("qk", "v", "out"), projections)
        with self._lock:
            # both are computed before either is put in place
            new = [part for name, kinds in forms.items()
                   for part in converted_maps([getattr(block, name)[_HOLDERS[name]] for block in self._body.blocks], kinds)]
            for holder, name, part in new:
                setattr(holder, name, part)
            self.ff, self.projections = ff or self.ff, projections or self.projections
            self._take_parameters()
        return self

    @property
    def bound_sampler(self) -> Sampler | None:
        """The sampler of the head, which works on its weights; None where all tokens are computed."""
        return None if self.sampler is None else self._head.sampler

    def _work(self, batch, length):
        """Multiplications of a layer for a batch, about."""
        return batch * length * self.width * (4 * self.width + 4 * max(self.n_hashes) * max(self.bucket_size))

    # ------------------------------------------------------------------ one pass

    def loss_and_gradients(self, tokens: np.ndarray, weight: np.ndarray | None = None, *, run: Run | None = None) -> tuple:
        """Mean loss of a batch and its gradient.

        Parameters
        ----------
        tokens : (batch, length + 1) integer array
            Token t predicts token t + 1.
        weight : (length,) or (batch, length) bool, optional
            Which predictions count; all by default.
        run : Run, optional
            Keys what is random: by default as the next training step does.

        Returns
        -------
        loss : float
        gradients : dict of str to gradient
            By the names of `parameters`: arrays, or values of `nn.layers.gradients`.
        """
        run = Run(self.step, clip=self.clip_norm is not None) if run is None else run
        tokens, counted = check_batch(self, tokens, weight)
        with run.timer("forward"):
            h, body = self._body.forward(tokens[:, :-1], run)
            rows = h.reshape(-1, self.width)[counted]
        losses, head = self._head.loss(rows, one_label(tokens[:, 1:].reshape(-1)[counted]), run)
        loss = float(losses.mean(dtype=np.float64))
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is not finite at step {self.step}")
        with run.timer("backward"):
            rows, grads = self._head.backward(1.0, head)
            dh = np.zeros((h.shape[0] * h.shape[1], self.width), h.dtype)
            dh[counted] = rows
            return loss, {**self._body.backward(dh.reshape(h.shape), body)[1], **named([("head", grads)])}

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """After a step of the optimiser: hash tables follow, and rotations learn when it is time to."""
        self._head.after_update(run, part_of(gradients, "head"))
        self._body.after_update(run, gradients)

    def counts(self) -> dict[str, float]:
        """Mean numbers of tokens that the last step computed for a prediction; empty where these are all."""
        return {} if self.sampler is None else self.bound_sampler.counts()

    def report(self) -> dict[str, Any]:
        """``trainings`` of the rotations and the ``changed_share`` of their schedules, means over the layers that have some; figures of the
        sampler's tables."""
        found = [report for report in (core.report() for core in self.cores) if report]
        means = {name: sum(report.get(name, 0.0) for report in found) / len(found) for name in ("trainings", "changed_share") if found}
        return means | ({} if self.sampler is None else self.bound_sampler.report())

    # ------------------------------------------------------------------ training

    def fit(self, task: Task | np.ndarray, *, epochs: int = 1, batches: int = 1000, batch_size: int = 16,
            validation: Task | np.ndarray | None = None, eval_batches: int = 20, early_stopping: int | EarlyStopping | None = None,
            callbacks: Sequence = (), verbose: int = 0) -> History:
        """Train; batches are numbered by the model's step, so a second call goes on where the first ended.

        Parameters
        ----------
        task : Task or (n,) integer array
            `CopyTask`, `TextTask`, an object of a class derived from `Task`, or the tokens of a text.
        epochs, batches, batch_size : int
            Epochs, steps of an epoch, sequences of a step.
        validation : Task or array, optional
            Scored after every epoch on `eval_batches` batches; see `evaluate`.
        early_stopping : int or nn.EarlyStopping, optional
            Epochs without a better validation accuracy to wait before stopping; the best weights are restored.
        callbacks : sequence
            See `nn.callbacks`.
        verbose : int
            1 shows a progress bar (needs tqdm).

        Returns
        -------
        nn.History
        """
        epochs, batches = check_int("epochs", epochs, low=1), check_int("batches", batches, low=1)
        batch_size = check_int("batch_size", batch_size, low=1)
        if self.dtype != "float32":
            raise ValueError("training computes in float32; dtype='float64' serves to check gradients")
        source = TaskSource(check_task(self, task), batches, batch_size)
        validation = None if validation is None else check_task(self, validation)
        listeners = training.make_listeners(callbacks, early_stopping, verbose, validated=validation is not None, monitor="accuracy")
        progress = Progress(self.epoch, epochs, batch_size, source.samples, first_step=self.step)
        return self._train(source, progress, listeners, self._work(batch_size, source.task.length), None if validation is None else
                           lambda: self.evaluate(validation, batches=eval_batches, batch_size=batch_size))

    def rehash(self) -> None:
        """Bring the hash tables of a sampler up to date with the head's weights; the layers hash again at every step."""
        if self.sampler is not None:
            self.bound_sampler.rehash_now()

    # ------------------------------------------------------------------ saving

    def save(self, path: str | os.PathLike, *, optimizer: bool = True, half: bool = False) -> None:
        """Write the model to one file, replacing it as a whole.

        Parameters
        ----------
        path : path-like
        optimizer : bool
            With the optimiser's moments, so that training goes on exactly.
        half : bool
            With parameters at half precision, which halves such a file once more; only without the optimiser's moments. Scores differ
            in the fourth digit.

        Raises
        ------
        ValueError
            For ``half=True`` with ``optimizer=True``, or with parameters beyond 65,504.
        """
        io.save_model(self, path, optimizer, half=half)

    def check_saveable(self) -> None:
        """Raise the error that `save` would, for settings that a file cannot hold."""
        model_settings(self)

    def checkpoint(self, path: str | os.PathLike, keep: int = 1) -> None:
        """As `save`; `keep` versions stay (`nn.Checkpoint`). Batches are numbered by the step, so the file holds the place of a `fit`."""
        io.save_model(self, path, True, keep)

    @classmethod
    def load(cls, path: str | os.PathLike) -> ReformerLM:
        """Read a model that `save` wrote."""
        return io.load_model(cls, path)

    def __repr__(self):
        return (f"ReformerLM({self.n_tokens} tokens, length {self.max_length}, {self.n_layers} x {self.width}, {self.n_heads} heads, "
                f"attention={list(self.attention)}, n_hashes={list(self.n_hashes)}, bucket_size={list(self.bucket_size)}, "
                f"step={self.step})")
