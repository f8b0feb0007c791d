"""Kernels of attention: exact, and over sorted buckets."""
