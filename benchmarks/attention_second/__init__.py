"""Scatterbrain beside its parents, generation with a cache, and caches that forget."""
