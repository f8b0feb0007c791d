"""Kernels of hashed arrays: where entries lie, gather, scatter and the optimiser step by cell."""
