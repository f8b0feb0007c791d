"""What do the rows of a stream look like? Densities, anomalies and new rows from sketches that merge.

    python examples/density.py
"""

import numpy as np

from mongoose_nb.sketch import DensitySketch

# two rings, seen by two machines
rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 20_000)
rows = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.choice([1.0, 2.2], (20_000, 1)) + 0.12 * rng.standard_normal((20_000, 2))
here = DensitySketch(0.15).fit(rows[:10_000])
there = here.like().partial_fit(rows[10_000:])
here.merge(there)
print(here.report())

# on a ring, between the rings, far away
places = np.array([[1.0, 0.0], [1.6, 0.0], [5.0, 5.0]])
print("log densities:", here.score_samples(places).round(2))

# new rows: their distance from the centre has the same distribution
for name, some in (("rows", rows), ("samples", here.sample(20_000))):
    print(f"{name:8}", np.quantile(np.linalg.norm(some, axis=1), [0.1, 0.3, 0.5, 0.7, 0.9]).round(2))
