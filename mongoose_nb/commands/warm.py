"""Before the work: how many threads, and kernels compiled, so that the times reported later are those of the work."""

import contextlib
import pathlib
import time

from mongoose_nb.commands.console import note

# Rows of the throwaway training, and the width of its hidden layers.
ROWS, WIDTH = 32, 16


@contextlib.contextmanager
def threads(count):
    """Run the block on so many Numba threads; None leaves their number alone."""
    if count is None:
        yield
        return
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    if not 1 <= count <= most:
        raise ValueError(f"--threads must be from 1 to {most}, what this machine offers; got {count} "
                         "(set NUMBA_NUM_THREADS in the environment for more)")
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def is_cold():
    """Whether no kernel of this version was ever compiled on this machine, or none can be kept."""
    from mongoose_nb.kernels._jit import CACHE_DIR

    return CACHE_DIR is None or next(pathlib.Path(CACHE_DIR).rglob("*.nbi"), None) is None


def announce():
    """Say that kernels are about to be compiled, if that will take a while."""
    from mongoose_nb.kernels._jit import CACHE_DIR

    if not is_cold():
        return
    if CACHE_DIR is None:
        note("compiling kernels, half a minute; no directory to keep them in can be written, so every run does that "
             "(mongoose info)")
    else:
        note("compiling kernels, once per machine: half a minute")


def warm_up(make_network, X, Y, *, hashed):
    """Train a throwaway network on a few rows and predict with it; returns the seconds.

    Kernels are compiled for types, not for sizes: few rows do.

    Parameters
    ----------
    make_network : callable
        Returns the throwaway network.
    X, Y
        Training data, of which the first rows are used.
    hashed : bool
        Whether prediction through the hash tables is wanted too.
    """
    start = time.perf_counter()
    network = make_network()
    network.fit(X[:ROWS], Y[:ROWS], epochs=1)
    network.predict_topk(X[:2], 1)
    if hashed:
        network.predict_topk(X[:2], 1, exact=False)
    return time.perf_counter() - start
