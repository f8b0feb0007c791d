"""Learning-rate schedules: the factor on the optimiser's rate as a function of training progress."""

import math

from mongoose_nb.errors import check_int, check_number


class Constant:
    """No change."""

    def __call__(self, step, total):
        """Factor at `step` (from 0) of `total`."""
        return 1.0


class Linear:
    """From 1 down to `end` over the whole run, after `warmup` steps up from 0."""

    def __init__(self, end=0.0, warmup=0):
        self.end = check_number("end", end, low=0.0)
        self.warmup = check_int("warmup", warmup, low=0)

    def __call__(self, step, total):
        """Factor at `step` (from 0) of `total`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        return self._shape(done)

    def _shape(self, done):
        return 1.0 + (self.end - 1.0) * done


class Cosine(Linear):
    """As `Linear`, along half a cosine."""

    def _shape(self, done):
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + math.cos(math.pi * done))


class Step:
    """Multiply by `factor` each time another `every` share of the run is over."""

    def __init__(self, every=0.25, factor=0.5):
        self.every = check_number("every", every, low=0.0, open_low=True)
        self.factor = check_number("factor", factor, low=0.0, open_low=True)

    def __call__(self, step, total):
        """Factor at `step` (from 0) of `total`."""
        return self.factor ** math.floor(step / max(1, total) / self.every + 1e-9)


SCHEDULES = {"constant": Constant, "linear": Linear, "cosine": Cosine, "step": Step}


def make_schedule(schedule):
    """A schedule from its name, its saved settings, or itself (any callable of step and total)."""
    if callable(schedule):
        return schedule
    settings = dict(schedule) if isinstance(schedule, dict) else {"name": schedule}
    name = settings.pop("name", None)
    if name not in SCHEDULES:
        raise ValueError(f"lr_schedule={schedule!r} is unknown; give one of {sorted(SCHEDULES)} or "
                         "a callable (step, total) -> factor")
    return SCHEDULES[name](**settings)


def schedule_settings(schedule):
    """What is saved of a schedule: its name and arguments, or None for a callable of the user's own."""
    for name, cls in SCHEDULES.items():
        if type(schedule) is cls:
            return {"name": name, **vars(schedule)}
    return None
