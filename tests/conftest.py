"""What all tests share: the environment in which compiled kernels run."""

import os

import hypothesis

# On busy machines the threads of GNU OpenMP spin for a whole time slice at the end of every parallel loop: 8 ms instead of 10 us.
# Read when the library is loaded, so it has to be set before any kernel runs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# An example may take as long as a busy machine needs: a deadline would be a timing, which is never a test.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


def pytest_sessionstart(session):
    """Print how long the run takes (a report header would not be shown with -q)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not session.config.args_source.name == "ARGS":
        fast = "not slow" in session.config.getoption("markexpr", "")
        reporter.write_line("fast tests: about five minutes on two cores with -n 2" if fast else
                            "all tests: about eight minutes on two cores with -n 2; fast ones: -m 'not slow'")
