"""Kernels of `mongoose_nb.sketch`."""
