"""Oracles of the k-mer hashes and sketches: short, in plain Python."""

import numpy as np

CODE = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3}
MASK = (1 << 64) - 1


def mix64(x):
    """The finaliser of SplitMix64."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def number(word):
    """Two bits a letter."""
    out = 0
    for letter in word:
        out = out << 2 | CODE[letter]
    return out


def reverse(word):
    """The other strand."""
    return "".join({"A": "T", "C": "G", "G": "C", "T": "A", "U": "A"}[letter] for letter in reversed(word))


def canonical(word):
    """The smaller of both strands."""
    return min(number(word), number(reverse(word)))


def windows(text, k):
    """All k-mers without other letters, upper case."""
    text = text.upper()
    return [text[i:i + k] for i in range(len(text) - k + 1) if set(text[i:i + k]) <= set(CODE)]


def random_addresses(text, k, n, bits, seed):
    """As `RandomHash`."""
    out = []
    for word in windows(text, k):
        h = mix64(canonical(word) ^ seed)
        step = mix64(h) | 1
        out.append([((h + j * step) & MASK) * bits >> 64 for j in range(n)])
    return np.array(out, np.uint64).reshape(-1, n)


def idl_addresses(text, k, t, n, window, bits, seed):
    """As `IDLHash`: the minimum over sub-k-mers chooses a line, the k-mer a bit of the window."""
    window_bits = window.bit_length() - 1
    unit = min(window, 512)
    bases = (bits - window) // unit + 1
    slices = 64 // window_bits
    out = []
    for word in windows(text, k):
        subs = [mix64(canonical(word[i:i + t]) ^ seed) >> 32 for i in range(k - t + 1)]
        offset = mix64(canonical(word) ^ seed)
        row = []
        for j in range(n):
            if j and j % slices == 0:
                offset = mix64(offset)
            least = min((h - (j << 32) // n) % 2**32 for h in subs)
            mixed = (least ^ mix64(seed + j + 1) & 0xFFFFFFFF) * 0x9E3779B1 % 2**32
            row.append((mixed * bases >> 32) * unit + (offset >> j % slices * window_bits) % window)
        out.append(row)
    return np.array(out, np.uint64).reshape(-1, n)
