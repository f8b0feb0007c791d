"""Addresses of the k-mers of a text in a filter of bits: random ones, or ones that keep locality (IDL).

A. A text is bytes. `CODES` gives A, C, G and T (or U) two bits each, in either case; everything else ends the k-mers before it, so records
   are separated by any other byte. A k-mer and its reverse complement are one: the smaller of the two numbers stands for both. The
   sub-k-mers are treated likewise, so the two strands have the same set of sub-k-mers and the same minima.
B. IDL (Desai et al. 2024, arXiv 2406.14901): hash j has a base from ``min over sub-k-mers of (h - j 2^32 / n) mod 2^32`` and an offset
   below `window` from the exact k-mer. One hash h of a sub-k-mer serves all n repetitions, which see its values shifted cyclically; the
   offsets are slices of one word. h has 32 bits, so that one instruction compares 8 or 16 of them.
C. Bases are multiples of a cache line (512 bits), or of a smaller window. A window of 512 bits is then one line instead of parts of two.
   A random query reads bits of n independent windows, so its false-positive rate is the mean fill to the power of n all the same.
D. The minimum over w sub-k-mers is taken by quadrupling and doubling: minima over 4, 16, ... in few passes over a block that lies in the
   first-level cache, each of them vector instructions. A monotone queue has fewer operations, and branches that are mispredicted.
E. The minimum of w values is far from uniform in its high bits, but not in its low ones: an odd factor brings those to the top.
F. Addresses lie hash by hash, so that all passes but the packing of letters are vectorised.
"""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.jit import inline
from mongoose_nb.kernels.common.random import mix64
from mongoose_nb.kernels.sketch.words import high_product

#: k-mers that are hashed at once
BLOCK = 2048
#: longest k-mer: two bits a base in a word
LONGEST = 32
#: what is no base
OTHER = np.uint8(4)

CODES = np.full(256, OTHER, np.uint8)
for _letters, _code in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("TtUu", 3)):
    for _letter in _letters:
        CODES[ord(_letter)] = _code

_ONE = np.uint64(1)
_TWO = np.uint64(2)
_THREE = np.uint64(3)
_HALF = np.uint64(32)
_FACTOR = np.uint32(0x9E3779B1)


class Hash(NamedTuple):
    """What a kernel has to know of a k-mer hash. `t` = 0: random addresses; otherwise the length of a sub-k-mer."""

    k: int
    t: int
    n: int  # hashes
    window_bits: int  # log2 of the window
    unit_bits: int  # log2 of what bases are multiples of
    bits: np.uint64  # of the filter
    key: np.uint64


class Room(NamedTuple):
    """Working memory of a block."""

    kmers: np.ndarray  # (BLOCK,) uint64: the canonical k-mer
    good: np.ndarray  # (BLOCK,) uint8: whether it is one
    words: np.ndarray  # (BLOCK + LONGEST,) uint64: sub-k-mers, then hashes of k-mers
    subs: np.ndarray  # (BLOCK + LONGEST,) uint32: hashes of sub-k-mers
    minima: np.ndarray  # (3, BLOCK + LONGEST) uint32: the minima, and two buffers
    addresses: np.ndarray  # (n, BLOCK) uint64


@inline
def make_room(n):
    """Working memory for n hashes."""
    return Room(np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint8), np.zeros(BLOCK + LONGEST, np.uint64),
                np.zeros(BLOCK + LONGEST, np.uint32), np.zeros((3, BLOCK + LONGEST), np.uint32), np.empty((n, BLOCK), np.uint64))


@inline
def roll(text, start, count, hasher, room):
    """Pack the `count` k-mers that begin at `start`, and hash their sub-k-mers: that which ends at ``start + i`` into ``subs[i]``."""
    k, t = hasher.k, hasher.t
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 2 * k)
    top = np.uint64(2 * (k - 1))
    sub_mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 2 * max(t, 1))
    beyond = np.uint64(2 * (k - max(t, 1)))
    forward = np.uint64(0)
    backward = np.uint64(0)
    run = 0
    codes, kmers, good, words, subs = CODES, room.kmers, room.good, room.words, room.subs
    last = count + k - 1
    here = text[start:start + last]
    for i in range(last):
        code = codes[here[i]]
        run = run + 1 if code < OTHER else 0
        base = np.uint64(code) & _THREE
        forward = ((forward << _TWO) | base) & mask
        backward = (backward >> _TWO) | ((base ^ _THREE) << top)
        words[i] = min(forward & sub_mask, backward >> beyond)
        if i >= k - 1:
            kmers[i - k + 1] = min(forward, backward)
            good[i - k + 1] = run >= k
    if t > 0:
        for i in range(last):
            subs[i] = np.uint32(mix64(words[i] ^ hasher.key) >> _HALF)


@inline
def _least_of_four(a, step, count, out):
    b, c, d = a[step:], a[2 * step:], a[3 * step:]
    for i in range(count):
        out[i] = min(min(a[i], b[i]), min(c[i], d[i]))


@inline
def _least_of_two(a, step, count, out):
    b = a[step:]
    for i in range(count):
        out[i] = min(a[i], b[i])


@inline
def _shift_down(a, shift, count, out):
    for i in range(count):
        out[i] = np.uint32(a[i] - shift)


@inline
def window_minima(subs, count, width, shift, minima):
    """``minima[0][i]`` becomes the least of ``subs[i : i + width] - shift`` (modulo 2^32), for i < count."""
    total = count + width - 1
    now = 1  # the buffer with minima of `done`
    _shift_down(subs, shift, total, minima[1])
    done = 1
    while 4 * done <= width:
        total -= 3 * done
        _least_of_four(minima[now], done, total, minima[3 - now])
        now = 3 - now
        done *= 4
    if 2 * done <= width:
        total -= done
        _least_of_two(minima[now], done, total, minima[3 - now])
        now = 3 - now
        done *= 2
    _least_of_two(minima[now], width - done, count, minima[0])


@inline
def _mix_all(kmers, key, count, out):
    for i in range(count):
        out[i] = mix64(kmers[i] ^ key)


@inline
def _scale(least, key, bases, unit_bits, words, at, inside, count, out):
    """Base and offset of one hash."""
    for i in range(count):
        base = (np.uint64(np.uint32((least[i] ^ key) * _FACTOR)) * bases) >> _HALF
        out[i] = (base << unit_bits) + ((words[i] >> at) & inside)


@inline
def _random_addresses(count, hasher, room):
    kmers, words, out = room.kmers, room.words, room.addresses
    _mix_all(kmers, hasher.key, count, words)
    for i in range(count):
        h = words[i]
        step = mix64(h) | _ONE
        for j in range(hasher.n):
            out[j, i] = high_product(h, hasher.bits)
            h += step


@inline
def block_addresses(text, start, count, hasher, room):
    """Addresses of the `count` k-mers that begin at `start`, at most `BLOCK`, into ``room.addresses``; ``room.good`` says which are any."""
    roll(text, start, count, hasher, room)
    if hasher.t == 0:
        _random_addresses(count, hasher, room)
        return
    kmers, words = room.kmers, room.words
    _mix_all(kmers, hasher.key, count, words)
    window_bits, unit_bits = np.uint64(hasher.window_bits), np.uint64(hasher.unit_bits)
    inside = (_ONE << window_bits) - _ONE
    bases = ((hasher.bits - inside - _ONE) >> unit_bits) + _ONE
    slices = 64 // hasher.window_bits
    subs = room.subs[hasher.t - 1:]
    for j in range(hasher.n):
        if j > 0 and j % slices == 0:
            _mix_all(words, np.uint64(0), count, words)
        shift = np.uint32((np.uint64(j) << _HALF) // np.uint64(hasher.n))
        window_minima(subs, count, hasher.k - hasher.t + 1, shift, room.minima)
        key = np.uint32(mix64(hasher.key + np.uint64(j + 1)))
        _scale(room.minima[0], key, bases, unit_bits, words, np.uint64(j % slices) * window_bits, inside, count, room.addresses[j])
