"""To come."""


def add_arguments(parser):
    """Flags of this trial."""
