"""Kernels of nearest-neighbour search: distances, sketches, k nearest rows."""
