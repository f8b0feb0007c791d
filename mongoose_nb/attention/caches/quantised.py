"""Rows of numbers in 8 or 4 bits, each row with a smallest value and a step of its own."""

from __future__ import annotations

import numpy as np

#: of rows of larger numbers, the smallest value or the difference to the largest may overflow float32
LARGEST = 8e37


def quantise(x: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """(codes (..., bytes) uint8, scales (..., 2) float32: smallest value and step) of rows x (..., d)."""
    low = x.min(axis=-1, keepdims=True)
    step = (x.max(axis=-1, keepdims=True) - low) / (2**bits - 1)
    codes = np.rint((x - low) / np.where(step > 0, step, 1)).astype(np.uint8)
    if bits == 4:
        if codes.shape[-1] % 2:
            codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], axis=-1)
        codes = codes[..., 0::2] | codes[..., 1::2] << 4
    return codes, np.concatenate([low, step], axis=-1).astype(np.float32)


def restore(codes: np.ndarray, scales: np.ndarray, bits: int, width: int) -> np.ndarray:
    """Rows (..., width) float32 again: no value is further off than half a step."""
    if bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:-1], -1)[..., :width]
    return scales[..., :1] + codes * scales[..., 1:]
