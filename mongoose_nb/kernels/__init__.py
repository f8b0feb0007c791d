"""Floor 1: Numba kernels. Pure functions over arrays.

A kernel takes typed arrays and preallocated outputs and computes; it validates nothing and allocates no result. The rooms
above own shapes, dtypes, seeds and errors. Every kernel gives the same bits for any number of threads: work is cut into
pieces that do not depend on the thread count, and each piece has one writer.

- `_jit`: the decorators, and where compiled code is cached
- `random`: counter-based random numbers
- `text`: the parser of sparse text files
"""
