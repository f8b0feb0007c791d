"""Velocity by depth from seismic traces at random receivers: a set of records beside a padded grid of traces.

Everything is made here. The earth is a stack of flat layers with a velocity each. A shot at the origin is heard by receivers at random
offsets. A trace is the sum of a wavelet at the arrival time of the reflection of every interface (normal moveout: the square of the time at
no offset plus the square of the offset over the root mean square velocity), as strong as the interface reflects, and noise. Traces are
flattened as is usual: stretched as if velocity was the same everywhere, so that reflections of one interface come about together.
"""

import time

import numpy as np

from mongoose_nb import SetRegressor

DEPTHS, SPACING = 64, 0.025  # points of a profile, and kilometres between them
SAMPLES, INTERVAL, FREQUENCY = 96, 0.016, 12.0  # of a trace: seconds between samples; hertz of the wavelet
OFFSET, NOISE, RECEIVERS, GRID = 2.0, 0.02, (4, 24), 16  # kilometres; of a trace; per shot; places of the grid
SPEED, ROWS, TEST_ROWS, SHOWN = 2.2, 40_000, 500, 3  # km/s by which traces are flattened; shots


def make_profiles(rng, n):
    """(n, DEPTHS) velocities in km/s: 3 to 7 layers, faster with depth, but for a slow layer now and then."""
    out = np.empty((n, DEPTHS))
    for profile in out:
        layers = rng.integers(3, 8)
        bounds = np.sort(rng.choice(np.arange(6, DEPTHS - 4), layers - 1, replace=False))
        speeds = 1.6 + np.cumsum(rng.uniform(0.05, 0.6, layers)) - rng.choice([0.0, 0.5], layers, p=[0.8, 0.2])
        profile[:] = np.repeat(np.maximum(speeds, 1.4), np.diff([0, *bounds, DEPTHS]))
    return out


def wavelet(t):
    """Ricker."""
    x = (np.pi * FREQUENCY * t)**2
    return (1 - 2 * x) * np.exp(-x)


def trace(profile, offsets, rng):
    """(offsets, SAMPLES) of one profile."""
    steps = 2 * SPACING / profile  # seconds down and up through a point
    down, squares = np.cumsum(steps), np.cumsum(profile**2 * steps)
    at = np.flatnonzero(np.diff(profile))
    strength = (profile[at + 1] - profile[at]) / (profile[at + 1] + profile[at])
    arrival = np.sqrt(down[at]**2 + offsets[:, None]**2 / (squares / down)[at])
    clock = np.sqrt((INTERVAL * np.arange(SAMPLES))**2 + (offsets[:, None] / SPEED)**2)  # of the flattened trace
    out = (strength[:, None] * wavelet(clock[:, None] - arrival[:, :, None])).sum(axis=1)
    return out + NOISE * rng.standard_normal(out.shape)


def make(seed, n):
    """(sets of records: offset and trace; profiles)."""
    rng = np.random.default_rng(seed)
    profiles, sets = make_profiles(rng, n), []
    for profile in profiles:
        offsets = rng.uniform(0, OFFSET, rng.integers(*RECEIVERS, endpoint=True))
        sets.append(np.concatenate([offsets[:, None], 10 * trace(profile, offsets, rng)], axis=1).astype(np.float32))
    return sets, profiles


def on_grid(sets):
    """One record for each set: traces at the nearest place of a regular grid of offsets, zeros where there is none, and which there are."""
    out = np.zeros((len(sets), 1, GRID, SAMPLES + 1), np.float32)
    for row, records in zip(out[:, 0], sets):
        places = np.minimum((records[:, 0] / OFFSET * GRID).astype(int), GRID - 1)
        for place in np.unique(places):
            row[place, 0], row[place, 1:] = 1, records[places == place, 1:].mean(axis=0)
    return out.reshape(len(sets), 1, -1)


def similarity(a, b, width=11, spread=1.5):
    """Structural similarity (Wang et al., 2004) of profiles (n, DEPTHS) along depth, mean of each; the range is that of all of `b`."""
    weights = np.exp(-0.5 * ((np.arange(width) - width // 2) / spread)**2)
    weights /= weights.sum()

    def mean(x):
        return np.apply_along_axis(np.convolve, 1, x, weights, "valid")

    c1, c2 = (0.01 * np.ptp(b))**2, (0.03 * np.ptp(b))**2
    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    return ((2 * ma * mb + c1) * (2 * both + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean(axis=1)


def measure(args):
    """Train both on the same shots with the same code, and score on shots of new profiles."""
    (X, y), (X_test, y_test) = make(0, ROWS), make(1, TEST_ROWS)
    found = {"rows": ROWS, "systems": {}, "shown": {"true": y_test[:SHOWN].round(3).tolist()}}
    systems = {
        "set of traces": (SetRegressor((192, 128), (256,), epochs=args.epochs, random_state=0), X, X_test),
        "padded grid": (SetRegressor((256, 128), (256,), epochs=args.epochs, random_state=0), on_grid(X), on_grid(X_test))}
    for name, (model, records, test) in systems.items():
        start = time.process_time()
        out = model.fit(records, y).predict(test)
        found["systems"][name] = {"similarity": float(similarity(out, y_test).mean()), "error": float(np.sqrt(np.mean((out - y_test)**2))),
                                  "cpu_seconds": time.process_time() - start}
        found["shown"][name] = out[:SHOWN].round(3).tolist()
    mean = np.broadcast_to(y.mean(axis=0), y_test.shape)
    found["systems"]["mean profile"] = {"similarity": float(similarity(mean, y_test).mean()),
                                        "error": float(np.sqrt(np.mean((mean - y_test)**2))), "cpu_seconds": 0.0}
    return found


def sentence(found):
    """For the guide."""
    ours, grid, mean = (found["systems"][name] for name in ("set of traces", "padded grid", "mean profile"))
    return (f"Structural similarity (SSIM) to the true profiles is {ours['similarity']:.2f} from sets, "
            f"{grid['similarity']:.2f} from the grid and\n{mean['similarity']:.2f} for the mean profile; the error is "
            f"{ours['error']:.2f}, {grid['error']:.2f} and {mean['error']:.2f} km/s "
            "([table](development/attention-second.md#velocity-inversion)).")


def text(found):
    """A table."""
    lines = [f"velocity at {DEPTHS} depths from {RECEIVERS[0]} to {RECEIVERS[1]} traces at random offsets; {found['rows']:,} shots to "
             f"train, {TEST_ROWS} others to test", "", f"{'input':<16}{'SSIM':>8}{'error, km/s':>13}{'CPU seconds':>13}"]
    return "\n".join(lines + [f"{name:<16}{row['similarity']:>8.3f}{row['error']:>13.3f}{row['cpu_seconds']:>13.0f}"
                              for name, row in found["systems"].items()])
