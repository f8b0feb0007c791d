"""Layers of a network: each has a constructor, `forward`, `backward`, and its parameters by name."""
