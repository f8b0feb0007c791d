# %% [markdown]
# # What do the rows of a stream look like?
#
# A `DensitySketch` counts rows in grids of random rotations. Sketches of parts add up to the sketch of the whole, so machines can count
# apart. Here are two rings, seen by two machines.

# %%
import matplotlib.pyplot as plt
import numpy as np

from mongoose_nb.sketch import DensitySketch

rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 20_000)
rows = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.choice([1.0, 2.2], (20_000, 1)) + 0.12 * rng.standard_normal((20_000, 2))
here = DensitySketch(0.15).fit(rows[:10_000])
there = here.like().partial_fit(rows[10_000:])
here.merge(there)
print(here.report())

# %% [markdown]
# The sketch knows the density of any place, and can draw new rows.

# %%
side = np.linspace(-3, 3, 120)
places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
density = np.exp(here.score_samples(places)).reshape(120, 120)
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3), sharey=True)
left.imshow(density, origin="lower", extent=(-3, 3, -3, 3), cmap="Reds")
left.set_title("density")
samples = here.sample(3_000)
right.plot(*samples.T, ".", markersize=1, color="#c0392b")
right.set(title="new rows", aspect="equal")
figure.tight_layout()

# %% [markdown]
# Rows of low density are anomalies: on a ring, between the rings, far away.

# %%
print(here.score_samples(np.array([[1.0, 0.0], [1.6, 0.0], [5.0, 5.0]])).round(2))
