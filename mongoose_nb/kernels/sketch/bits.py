"""Bloom filters as bytes, for k-mers of a text and for single keys: set bits, test bits.

A. The same kernel fills a Bloom filter and a column of bit-sliced rows, by `Place`: bit `a` is bit ``a & 7`` of byte ``a >> 3`` of a
   filter, and bit ``column & 7`` of byte ``a * stride + (column >> 3)`` of rows of `stride` bytes.
B. Several threads set bits by an atomic instruction, and only where they are not set: their order plays no part. A thread that is `alone`
   does without, which halves the time.
C. The addresses of a block are known before its first access, so memory is asked for `AHEAD` k-mers early. Random addresses profit most.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.common.prefetch import prefetch_line
from mongoose_nb.kernels.common.random import mix64
from mongoose_nb.kernels.sketch.kmers import BLOCK, block_addresses, make_room
from mongoose_nb.kernels.sketch.words import high_product, set_bits

#: k-mers that one thread takes at a time
CHUNK = 16 * BLOCK
#: k-mers whose bytes are asked for ahead, with random addresses and with IDL, which has fewer lines to ask for
AHEAD, AHEAD_IDL = 16, 128

_THREE = np.uint64(3)
_SEVEN = np.uint64(7)
_ONE = np.uint64(1)


class Place(NamedTuple):
    """Where an address is: byte ``(address >> shift) * stride + offset``, and there ``fixed | floating << (address & 7)``."""

    shift: np.uint64
    stride: np.uint64
    offset: np.uint64
    fixed: np.uint8
    floating: np.uint8


#: of a Bloom filter
FILTER = Place(np.uint64(3), np.uint64(1), np.uint64(0), np.uint8(0), np.uint8(1))


@inline
def _byte(address, place):
    return (address >> place.shift) * place.stride + place.offset


@inline
def _mask(address, place):
    return np.uint8(np.uint64(place.fixed) | (np.uint64(place.floating) << (address & _SEVEN)))


@inline
def _set(out, byte, mask, alone):
    if alone:
        out[byte] |= mask
    elif out[byte] & mask == 0:
        set_bits(out, np.int64(byte), mask)


@inline
def _ask(line, addresses, i, n, place):
    for j in range(n):
        prefetch_line(line, 0, np.int64(_byte(addresses[j, i], place)))


@parallel
def insert_kmers(text, count, hasher, place, alone, out):
    """Set the bits of the k-mers that begin at 0 to `count` - 1; how many of them are k-mers."""
    chunks = (count + CHUNK - 1) // CHUNK
    found = 0
    line = out.reshape(1, -1)
    for chunk in prange(chunks):
        room = make_room(hasher.n)
        for start in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK), BLOCK):
            size = min(BLOCK, count - start)
            block_addresses(text, start, size, hasher, room)
            good, addresses = room.good, room.addresses
            ahead = AHEAD if hasher.t == 0 else AHEAD_IDL
            for i in range(min(ahead, size)):
                _ask(line, addresses, i, hasher.n, place)
            for i in range(size):
                if i + ahead < size:
                    _ask(line, addresses, i + ahead, hasher.n, place)
                if good[i]:
                    found += 1
                    for j in range(hasher.n):
                        address = addresses[j, i]
                        _set(out, _byte(address, place), _mask(address, place), alone)
    return found


@parallel
def test_kmers(text, count, hasher, filled, out):
    """``out[i]``: 1 if all bits of the k-mer that begins at i are set, 0 if not, 2 if there is none."""
    chunks = (count + CHUNK - 1) // CHUNK
    line = filled.reshape(1, -1)
    for chunk in prange(chunks):
        room = make_room(hasher.n)
        for start in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK), BLOCK):
            size = min(BLOCK, count - start)
            block_addresses(text, start, size, hasher, room)
            good, addresses = room.good, room.addresses
            ahead = AHEAD if hasher.t == 0 else AHEAD_IDL
            for i in range(min(ahead, size)):
                _ask(line, addresses, i, hasher.n, FILTER)
            for i in range(size):
                if i + ahead < size:
                    _ask(line, addresses, i + ahead, hasher.n, FILTER)
                answer = 1
                for j in range(hasher.n):
                    address = addresses[j, i]
                    if filled[address >> _THREE] & np.uint8(_ONE << (address & _SEVEN)) == 0:
                        answer = 0
                        break
                out[start + i] = answer if good[i] else 2


@parallel
def list_addresses(text, count, hasher, good, out):
    """Addresses (count, n) of the k-mers that begin at 0 to `count` - 1, and which of them are k-mers."""
    chunks = (count + CHUNK - 1) // CHUNK
    for chunk in prange(chunks):
        room = make_room(hasher.n)
        for start in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK), BLOCK):
            size = min(BLOCK, count - start)
            block_addresses(text, start, size, hasher, room)
            good[start:start + size] = room.good[:size]
            out[start:start + size] = room.addresses[:, :size].T


@parallel
def list_kmers(text, count, hasher, good, out):
    """The canonical k-mers that begin at 0 to `count` - 1, two bits a base, and which of them are any."""
    chunks = (count + CHUNK - 1) // CHUNK
    for chunk in prange(chunks):
        room = make_room(hasher.n)
        for start in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK), BLOCK):
            size = min(BLOCK, count - start)
            block_addresses(text, start, size, hasher, room)
            good[start:start + size] = room.good[:size]
            out[start:start + size] = room.kmers[:size]


@inline
def key_address(key, seed, j, bits):
    """Address j of a key of 64 bits."""
    h = mix64(key ^ seed)
    return high_product(h + np.uint64(j) * (mix64(h) | _ONE), bits)


@inline
def _insert_key(key, seed, n, bits, alone, out):
    for j in range(n):
        address = key_address(key, seed, j, bits)
        _set(out, address >> _THREE, np.uint8(_ONE << (address & _SEVEN)), alone)


@inline
def _has_key(key, seed, n, bits, filled):
    for j in range(n):
        address = key_address(key, seed, j, bits)
        if filled[address >> _THREE] & np.uint8(_ONE << (address & _SEVEN)) == 0:
            return False
    return True


@inline
def _ask_key(line, key, seed, n, bits):
    for j in range(n):
        prefetch_line(line, 0, np.int64(key_address(key, seed, j, bits) >> _THREE))


@parallel
def insert_keys(keys, seed, n, bits, alone, out):
    """Set the bits of single keys (uint64)."""
    line = out.reshape(1, -1)
    chunks = (keys.shape[0] + CHUNK - 1) // CHUNK
    for chunk in prange(chunks):
        last = min(keys.shape[0], (chunk + 1) * CHUNK)
        for i in range(chunk * CHUNK, last):
            if i + AHEAD < last:
                _ask_key(line, keys[i + AHEAD], seed, n, bits)
            _insert_key(keys[i], seed, n, bits, alone, out)


@serial
def insert_few_keys(keys, seed, n, bits, out):
    """As `insert_keys`, on the thread that calls it: to wake others for one key would take a hundred times as long."""
    for i in range(keys.shape[0]):
        _insert_key(keys[i], seed, n, bits, True, out)


@parallel
def test_keys(keys, seed, n, bits, filled, out):
    """``out[i]``: whether all bits of key i are set."""
    line = filled.reshape(1, -1)
    chunks = (keys.shape[0] + CHUNK - 1) // CHUNK
    for chunk in prange(chunks):
        last = min(keys.shape[0], (chunk + 1) * CHUNK)
        for i in range(chunk * CHUNK, last):
            if i + AHEAD < last:
                _ask_key(line, keys[i + AHEAD], seed, n, bits)
            out[i] = _has_key(keys[i], seed, n, bits, filled)


@serial
def test_few_keys(keys, seed, n, bits, filled, out):
    """As `test_keys`, on the thread that calls it."""
    for i in range(keys.shape[0]):
        out[i] = _has_key(keys[i], seed, n, bits, filled)


@parallel
def count_bits(filled, out):
    """Number of bits that are set, in each of ``len(out)`` equal parts of the bytes."""
    part = (filled.shape[0] + out.shape[0] - 1) // out.shape[0]
    for p in prange(out.shape[0]):
        total = 0
        for i in range(p * part, min(filled.shape[0], (p + 1) * part)):
            v = filled[i]
            v = v - ((v >> np.uint8(1)) & np.uint8(0x55))
            v = (v & np.uint8(0x33)) + ((v >> np.uint8(2)) & np.uint8(0x33))
            total += (v + (v >> np.uint8(4))) & np.uint8(0x0F)
        out[p] = total


@inline
def _hash_bytes(text, lo, hi, seed):
    h = mix64(seed ^ np.uint64(hi - lo))
    word = np.uint64(0)
    shift = np.uint64(0)
    for p in range(lo, hi):
        word |= np.uint64(text[p]) << shift
        shift += np.uint64(8)
        if shift == np.uint64(64):
            h = mix64(h ^ word)
            word = np.uint64(0)
            shift = np.uint64(0)
    return mix64(h ^ word)


@parallel
def hash_bytes(text, starts, seed, out):
    """A word of 64 bits for each string ``text[starts[i]:starts[i + 1]]``, eight bytes at a time."""
    for i in prange(out.shape[0]):
        out[i] = _hash_bytes(text, starts[i], starts[i + 1], seed)


@serial
def hash_few_bytes(text, starts, seed, out):
    """As `hash_bytes`, on the thread that calls it."""
    for i in range(out.shape[0]):
        out[i] = _hash_bytes(text, starts[i], starts[i + 1], seed)
