"""The next tokens of a language model, with a cache of earlier ones and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.core.streams import stream
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer.cores import Core
from mongoose_nb.reformer.decoding import Decoder, make_caches, read_together
from mongoose_nb.reformer.head import logits, logits_by_rows
from mongoose_nb.reformer.tasks import as_array, as_tokens

# Hashes of generation come from a step that neither training nor evaluation reaches.
GENERATION_STEP = 1 << 41


class Generating:
    """The part of `ReformerLM` that continues sequences."""

    n_tokens: int
    max_length: int
    n_layers: int
    width: int
    dtype: str
    _body: Any
    _head: Any
    _work: Callable[[int, int], int]

    @property
    def cores(self) -> list[Core]:
        """The attention of every layer (`reformer.cores.Core`)."""
        return [block.attention["heads"].core for block in self._body.blocks]

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Logits (batch, n_tokens) of the token that follows each sequence of `tokens` (batch, length).

        Where no layer depends on later tokens, they are those of `generate` and of `decoder`, to the bit.
        """
        tokens = as_array("tokens", tokens)
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.max_length:
            raise ValueError(f"tokens must be integers (batch, 1 to max_length = {self.max_length}), one sequence as [tokens]; got "
                             f"{tokens.dtype} of shape {tokens.shape}")
        tokens = as_tokens("tokens", tokens, self.n_tokens)
        if self._causal():
            return self._behind([self.decoder() for _ in tokens], tokens)
        with compute_threads(self._work(*tokens.shape)):
            h, _ = self._body.forward(tokens, Run(GENERATION_STEP, train=False))
            return logits(np.ascontiguousarray(h[:, -1]), self._head.weights.value, self._head.bias.value)

    def generate(self, prompt: np.ndarray, n: int, *, temperature: float = 1.0, top_k: int | None = None, seed: int = 0, top_p: float = 1.0,
                 cache: Any = None, end: int | None = None, mask: np.ndarray | None = None,
                 callback: Callable[[np.ndarray], Any] | None = None) -> np.ndarray:
        """Continue sequences, token by token.

        Parameters
        ----------
        prompt : (length,) or (batch, length) integer array
        n : int
            Tokens to add.
        temperature : float
            Logits are divided by it; 0 takes the best token.
        top_k : int, optional
            Draw among the best k only.
        seed : int
        top_p : float
            Draw among the fewest best tokens whose probabilities sum up to this.
        cache : True, str, attention.KVCache or a sequence of these, optional
            Keep keys and values of earlier tokens instead of computing them again for every token: all of them (True), or those that a
            policy with a budget keeps, for all layers or for each. Needs layers with ``attention="full"`` or a model with ``strict=True``,
            and no more than `max_length` tokens with the prompt. Where nothing is forgotten, the result is the same to the bit as without
            a cache. Without one, only the last `max_length` tokens are looked at.
        end : int, optional
            A sequence that has drawn this token is finished; the rest of its row is filled with it.
        mask : bool array like prompt, optional
            False for padding, for prompts of different lengths: as if it was not there.
        callback : callable, optional
            Called with the tokens (batch,) of every step.

        Returns
        -------
        (n,) or (batch, n) int32
            The new tokens.
        """
        n = check_int("n", n, low=0)
        temperature = check_number("temperature", temperature, low=0.0)
        top_p = check_number("top_p", top_p, low=0.0, high=1.0, open_low=True)
        top_k = self.n_tokens if top_k is None else check_int("top_k", top_k, low=1, high=self.n_tokens)
        end = None if end is None else check_int("end", end, low=0, high=self.n_tokens - 1)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of the tokens (batch,) of a step, or None; got {callback!r}")
        prompt = as_array("prompt", prompt)
        if prompt.ndim not in (1, 2) or prompt.shape[-1] < 1:
            raise ValueError(f"prompt must be tokens of shape (length,) or (batch, length), one at least, such as [0]; got {prompt.dtype} "
                             f"of shape {prompt.shape}")
        tokens = np.atleast_2d(as_tokens("prompt", prompt, self.n_tokens))
        real = np.ones(tokens.shape, bool) if mask is None else np.atleast_2d(np.asarray(mask))
        if real.shape != tokens.shape or real.dtype != bool or not real.any(axis=1).all():
            raise ValueError(f"mask must be a bool array like prompt, {prompt.shape}, with one token of every sequence at least; got "
                             f"{real.dtype} {np.shape(mask)}")
        rng = stream(check_int("seed", seed, low=0), "generated tokens")
        sequences = [row[keep] for row, keep in zip(tokens, real)]
        longest = max((len(sequence) for sequence in sequences), default=0)
        if cache is not None and cache is not False:
            if longest + n - 1 > self.max_length:
                raise ValueError(f"with a cache, a prompt and the new tokens must fit into max_length={self.max_length}; got {longest} and "
                                 f"n={n}. Shorten the prompt, ask for fewer tokens, or leave cache out, which looks at the last ones")
            decoders = [self.decoder(cache) for _ in sequences]

            def following(new):
                return self._behind(decoders, new)
        else:
            following = self._recompute(len(sequences))
        out, new = np.empty((len(sequences), n), np.int32), sequences
        finished = np.zeros(len(sequences), bool)
        for i in range(n):
            out[:, i] = draw(following(new), temperature, top_k, rng, top_p)
            if end is not None:
                out[finished, i] = end
                finished |= out[:, i] == end
            if callback is not None:
                callback(out[:, i].copy())
            if finished.any() and finished.all():
                out[:, i + 1:] = end
                break
            new = list(out[:, i:i + 1])
        return out.reshape(*prompt.shape[:-1], n)

    def decoder(self, cache: Any = True) -> Decoder:
        """Reads one sequence in parts, with the caches that `generate` takes: ``read(tokens)`` gives the logits behind each token."""
        return Decoder(self, self._body, self._head, make_caches(cache, self.n_layers), GENERATION_STEP)

    def _causal(self):
        """Whether no layer depends on later tokens, so that a decoder can read."""
        return all(core.is_strict(self.max_length) for core in self.cores)

    def _behind(self, decoders, sequences):
        """Logits (sequences, n_tokens) behind the last of the next tokens of every sequence."""
        ends = [rows[-1] for rows in read_together(decoders, sequences)]
        return logits_by_rows(np.array(ends, self.dtype).reshape(-1, self.width), self._head.weights.value, self._head.bias.value)

    def _recompute(self, batch):
        """Logits of the next tokens, given those that were added, by `logits`; sequences of one length at once."""
        sequences = [np.empty(0, np.int32)] * batch

        def following(new):
            out = np.empty((batch, self.n_tokens), self.dtype)
            for b, tokens in enumerate(new):
                sequences[b] = np.concatenate([sequences[b], tokens])[-self.max_length:]
            if self._causal():
                return self._behind([self.decoder() for _ in sequences], sequences)
            lengths = np.array([len(sequence) for sequence in sequences])
            for length in np.unique(lengths):
                rows = np.flatnonzero(lengths == length)
                out[rows] = self.logits(np.stack([sequences[b] for b in rows]))
            return out
        return following


def draw(logits: np.ndarray, temperature: float, top_k: int, rng: np.random.Generator, top_p: float = 1.0) -> np.ndarray:
    """A token for every row of logits (n, n_tokens): the best one at temperature 0, else a draw from the softmax over the best `top_k`, or
    over the fewest of these whose share is `top_p` or more."""
    z = logits.astype(np.float64)
    if temperature > 0:
        with np.errstate(over="ignore"):  # the others of a temperature near 0 are at -inf, and the best one at 0
            z = (z - z.max(axis=1, keepdims=True)) / temperature
        if top_k < z.shape[1]:
            z[z < -np.partition(-z, top_k - 1, axis=1)[:, top_k - 1:top_k]] = -np.inf
        if top_p < 1:
            order = np.argsort(-z, axis=1, kind="stable")
            best = np.take_along_axis(z, order, axis=1)
            p = np.exp(best - best[:, :1])
            before = np.cumsum(p, axis=1) - p
            np.put_along_axis(z, order, np.where(before < top_p * p.sum(axis=1, keepdims=True), best, -np.inf), axis=1)
        z -= np.log(-np.log(rng.random(z.shape)))  # the largest of logits with Gumbel noise is a draw from the softmax
    return z.argmax(axis=1)
