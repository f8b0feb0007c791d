# %% [markdown]
# # Nearest neighbours with hash tables
#
# `LSHIndex` keeps rows in hash tables and looks only at those in the buckets of a query. Here are 20,000 handwritten-digit-like rows:
# noisy copies of 300 centres in 64 dimensions.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

from mongoose_nb import LSHIndex

rng = np.random.default_rng(0)
centres = rng.standard_normal((300, 64))
rows = (centres[rng.integers(300, size=20_000)] + 0.4 * rng.standard_normal((20_000, 64))).astype(np.float32)
queries = (centres[rng.integers(300, size=500)] + 0.4 * rng.standard_normal((500, 64))).astype(np.float32)

index = LSHIndex("l2", 64)
ids = index.add(rows)
found, distances = index.query(queries, k=10)
exact, _ = index.query(queries, k=10, exact=True)


def recall(found):
    """Share of the true ten that were found."""
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, exact)])


print(f"recall of the ten nearest: {recall(found):.3f}")

# %% [markdown]
# More probes, buckets near that of the query, find more and take longer.

# %%
probes, recalls, micros = [1, 2, 4, 8, 16, 32], [], []
for n in probes:
    start = time.perf_counter()
    some, _ = index.query(queries, k=10, probes=n)
    micros.append((time.perf_counter() - start) / len(queries) * 1e6)
    recalls.append(recall(some))
plt.figure(figsize=(5, 2.6))
plt.plot(micros, recalls, "o-", color="#c0392b")
for x, y, n in zip(micros, recalls, probes):
    plt.annotate(n, (x, y), textcoords="offset points", xytext=(4, -10))
plt.xlabel("microseconds a query, by number of probes")
plt.ylabel("recall of ten")
plt.tight_layout()

# %% [markdown]
# Rows change. `update` replaces them, `remove` takes them out, and the index learns its hash functions again where the data have moved
# too far.

# %%
index.update(ids[:5_000], rows[:5_000] + 3)
index.remove(ids[-100:])
moved = rows[:200] + 3
nearest, _ = index.query(moved, k=1)
print(f"{(nearest[:, 0] == ids[:200]).mean():.3f} of the moved rows find themselves; {len(index):,} rows")

# %% [markdown]
# A filter keeps answers to some rows, and a file keeps the index.

# %%
even = ids[::2]
some, _ = index.query(queries[:3], k=5, allowed=even)
print(some, np.isin(some, even).all())
