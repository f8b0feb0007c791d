"""Kernels of click models and factorisations."""
