"""Kernels of `mongoose_nb.nn.ranking`: linear rankers, and neighbours by an inverted index."""
