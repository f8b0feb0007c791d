"""Where batches come from: the copy task, and windows of a text. A batch is a function of its number, so a run can go on exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.training.batches import Batch, Source
from mongoose_nb.nn.training.progress import Progress


def as_array(name: str, tokens: Any) -> np.ndarray:
    """An array of tokens, whose sequences must have one length."""
    try:
        return np.asarray(tokens)
    except ValueError as error:
        raise ValueError(f"{name} has sequences of different lengths; fill up the shorter ones with any token, and where there is a mask, "
                         "give False there") from error


def as_tokens(name: str, tokens: Any, n_tokens: int) -> np.ndarray:
    """Tokens of any integer dtype as int32, looked at before they are converted.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    tokens : integer array
    n_tokens : int
        Tokens are 0 to n_tokens - 1.
    """
    array = as_array(name, tokens)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be integers from 0 to {n_tokens - 1}; got dtype {array.dtype}")
    if array.size and not 0 <= array.min() <= array.max() < n_tokens:
        raise ValueError(f"{name} must be from 0 to {n_tokens - 1}; got {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, np.int32)


def check_batch(model: Any, tokens: Any, weight: Any) -> tuple[np.ndarray, np.ndarray]:
    """Tokens as int32 and the places (flat) of the predictions that count.

    Parameters
    ----------
    model : ReformerLM
        Its `n_tokens` and `max_length` are read.
    tokens, weight
        See `ReformerLM.loss_and_gradients`.
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or not 2 <= tokens.shape[1] <= model.max_length + 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(f"tokens must be integers (batch, 2 to max_length + 1 = {model.max_length + 1}); got {tokens.dtype} of shape "
                         f"{tokens.shape}")
    tokens = as_tokens("tokens", tokens, model.n_tokens)
    shape = (tokens.shape[0], tokens.shape[1] - 1)
    weight = np.ones(shape, bool) if weight is None else np.broadcast_to(np.asarray(weight, bool), shape)
    counted = np.flatnonzero(weight)
    if not len(counted):
        raise ValueError("no prediction of the batch counts; its weight must be True somewhere")
    return tokens, counted


class Task:
    """Endless training batches and a fixed sequence of evaluation batches.

    Attributes
    ----------
    n_tokens : int
        Tokens are 0 to n_tokens - 1.
    length : int
        Most tokens that a model reads at once.
    """

    def batch(self, index: int, size: int, *, train: bool = True) -> tuple:
        """Batch number `index`: tokens (size, n + 1) int32, and where the next token counts, (n,) bool, or None for everywhere.

        Token t of the input predicts token t + 1.
        """
        raise NotImplementedError  # abstract


class CopyTask(Task):
    """Sequences ``0 w 0 w`` of random w; the second w counts (Kitaev et al., 2020, section 5).

    Parameters
    ----------
    n_tokens : int
        w is made of tokens 1 to n_tokens - 1.
    length : int
        Of the whole sequence, even.
    min_length : int, optional
        Draw the length of every batch between this and `length`.
    seed : int
    """

    def __init__(self, n_tokens: int = 16, length: int = 128, *, min_length: int | None = None, seed: int = 0) -> None:
        self.n_tokens = check_int("n_tokens", n_tokens, low=2)
        self.length = check_int("length", length, low=4)
        self.min_length = self.length if min_length is None else check_int("min_length", min_length, low=4, high=length)
        for name, value in (("length", self.length), ("min_length", self.min_length)):
            if value % 2:
                raise ValueError(f"{name} must be even, since both halves of the sequence are alike; got {value}")
        self.seed = check_int("seed", seed, low=0)

    def batch(self, index: int, size: int, *, train: bool = True) -> tuple:
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, int(train), index])))
        half = int(rng.integers(self.min_length // 2, self.length // 2 + 1))
        tokens = np.zeros((size, 2 * half), np.int32)
        tokens[:, 1:half] = tokens[:, half + 1:] = rng.integers(1, self.n_tokens, (size, half - 1))
        return tokens, np.arange(2 * half - 1) >= half


class TextTask(Task):
    """Windows of a sequence of tokens: at random places for training, side by side for evaluation.

    Parameters
    ----------
    tokens : (n,) integer array
    n_tokens : int
    length : int
        Tokens of a window, beside the one that is predicted last.
    seed : int
    """

    def __init__(self, tokens: np.ndarray, n_tokens: int, length: int, *, seed: int = 0) -> None:
        self.n_tokens = check_int("n_tokens", n_tokens, low=2)
        self.tokens = np.asarray(tokens)
        self.length = check_int("length", length, low=1)
        self.seed = check_int("seed", seed, low=0)
        if self.tokens.ndim != 1 or len(self.tokens) <= self.length:
            raise ValueError(f"tokens must be one sequence of more than length={length}; got shape {self.tokens.shape}")
        self.tokens = as_tokens("tokens", self.tokens, self.n_tokens)

    def batch(self, index: int, size: int, *, train: bool = True) -> tuple:
        places = len(self.tokens) - self.length
        if train:
            start = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, index]))).integers(0, places, size)
        else:
            start = (index * size + np.arange(size)) * self.length % places
        return self.tokens[start[:, None] + np.arange(self.length + 1)], None


def check_task(model: Any, task: Any) -> Task:
    """A task that fits the model; a sequence of tokens becomes a `TextTask`."""
    if not isinstance(task, Task):
        task = TextTask(task, model.n_tokens, model.max_length, seed=model.seed)
    if task.n_tokens > model.n_tokens or task.length > model.max_length:
        raise ValueError(f"the task has {task.n_tokens} tokens and sequences of {task.length}; the model was made for "
                         f"{model.n_tokens} and {model.max_length}")
    return task


class TaskSource(Source):
    """Training batches of a task, numbered by the model's step.

    Parameters
    ----------
    task : Task
    batches, batch_size : int
        Of an epoch.
    """

    def __init__(self, task: Task, batches: int, batch_size: int) -> None:
        self.task, self._batches, self._batch_size = task, batches, batch_size
        self.samples = batches * batch_size

    def epoch(self, model: Any, progress: Progress) -> Iterator[Batch]:
        self._read = 0
        for _ in range(progress.batch, self._batches):
            tokens, weight = self.task.batch(model.step, self._batch_size)
            self._read += tokens.size
            yield Batch((tokens, weight), self._batch_size)

    def batches(self, batch_size: int) -> int:
        return self._batches

    def logs(self) -> dict[str, Any]:
        return {"samples": self.samples, "task": self.task}

    def report(self, progress: Progress) -> dict[str, Any]:
        return {"tokens_per_s": self._read / progress.seconds}
