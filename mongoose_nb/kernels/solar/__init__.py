"""Kernels of sparse codes of labels."""
