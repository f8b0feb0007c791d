"""Sketches: k-mer hashes, gene indexes, density sketches."""
