"""Kernels of the hash families: rows in, table codes out."""
