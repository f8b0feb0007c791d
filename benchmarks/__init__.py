"""Benchmarks: competitor and ours in one run, medians and ratios, quality beside speed. ``python -m benchmarks --help``."""
