"""What all tests share: the environment in which compiled kernels run."""

import os

# On busy machines the threads of GNU OpenMP spin for a whole time slice at the end of every parallel loop: 8 ms instead of 10 us.
# Read when the library is loaded, so it has to be set before any kernel runs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
