"""Generation by a PyTorch model of the size of ours, with its cache: run by the Python that has PyTorch, prints a line of JSON.

``python torch_generation.py PROMPT NEW WIDTH LAYERS HEADS FF TOKENS THREADS``: layers with normalisation first, one matrix for queries,
keys and values, keys and values in arrays of the final length, and PyTorch's own attention.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """One layer; `size` tokens have room in its cache."""

    def __init__(self, width, heads, ff, size):
        super().__init__()
        self.heads, self.norm, self.norm2 = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, ff), nn.Linear(ff, width)
        self.k, self.v = (torch.zeros(1, heads, size, width // heads) for _ in range(2))

    def forward(self, x, at):
        """Tokens (1, n, width) at the places from `at` on."""
        n, width = x.shape[1:]
        q, k, v = (part.view(1, n, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm(x)).split(width, dim=2))
        self.k[:, :, at:at + n], self.v[:, :, at:at + n] = k, v
        y = F.scaled_dot_product_attention(q, self.k[:, :, :at + n], self.v[:, :, :at + n], is_causal=at == 0 and n > 1)
        x = x + self.out(y.transpose(1, 2).reshape(1, n, width))
        return x + self.outer(F.relu(self.inner(self.norm2(x))))


class Model(nn.Module):
    """Logits behind the last of the given tokens."""

    def __init__(self, size, width, layers, heads, ff, tokens):
        super().__init__()
        self.tokens, self.places = nn.Embedding(tokens, width), nn.Embedding(size, width)
        self.blocks = nn.ModuleList(Block(width, heads, ff, size) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens)

    def forward(self, ids, at):
        """(1, n) tokens -> (tokens,)."""
        x = self.tokens(ids) + self.places(torch.arange(at, at + ids.shape[1]))
        for block in self.blocks:
            x = block(x, at)
        return self.head(self.norm(x[:, -1]))[0]


def main(prompt, new, width, layers, heads, ff, tokens, threads):
    """Seconds of the processor for the prompt, and for the new tokens."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = Model(prompt + new, width, layers, heads, ff, tokens).eval()
    ids = torch.randint(tokens, (1, prompt))
    with torch.inference_mode():
        for run in range(2):  # the first one warms up
            start = time.process_time()
            logits = model(ids, 0)
            middle = time.process_time()
            for i in range(new - 1 if run else 8):
                token = torch.multinomial(torch.softmax(logits, 0), 1)
                logits = model(token[None], prompt + i)
            end = time.process_time()
    print(json.dumps({"prompt": middle - start, "new": end - middle}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
