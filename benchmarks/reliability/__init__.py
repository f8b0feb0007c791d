"""Trials of what must not break, each with a figure: ``python -m benchmarks.reliability TRIAL``. They may take minutes or hours; the
suite has a small version of each."""
