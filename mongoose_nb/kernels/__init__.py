"""Numba kernels: pure functions over arrays, in one folder for each package that calls them.

A kernel takes typed arrays and preallocated outputs and computes; it validates nothing and allocates no result. The callers own
shapes, dtypes, seeds and errors. Every kernel gives the same bits for any number of threads: the work is cut into pieces that do not
depend on the number of threads, and each piece has one writer. `mongoose_nb.core.jit` has the decorators.

- `common`: random numbers, fast exponentials, prefetching, selection
- `hashing`: rows to table codes, one file per family
- `tables`: filling buckets, looking them up, counting votes
- `search`: distances, sketches, k nearest rows
- `layers`: dense and sparse products, losses, optimiser steps
- `attention`: exact and LSH attention
- `data`: text files, checks of CSR matrices
"""
