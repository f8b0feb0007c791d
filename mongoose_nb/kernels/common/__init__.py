"""Kernels that other kernels use."""
