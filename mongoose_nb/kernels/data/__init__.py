"""Kernels of data sets: text files, checks of CSR matrices."""
