"""Tables."""


def tables(kept):
    """Tables by name."""
    return {}
