"""Kernels of the hash tables: filling buckets, looking them up, counting votes, drawing candidates."""
