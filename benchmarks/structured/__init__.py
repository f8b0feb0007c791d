"""Structured layers: projection errors, speed beside dense products, accuracy on MNIST, language models."""
