# %% [markdown]
# # What will a visitor click next?
#
# A session is a list of items. Every prefix is a row, the next item its label. Here sessions are made up: from an item a visitor goes on
# to one of the three that follow it, or, one time in ten, anywhere. So at most every third first guess can be right.

# %%
import numpy as np

from mongoose_nb import Network, data

rng = np.random.default_rng(0)
items, visits = 2_000, 8_000
follow = rng.integers(items, size=(items, 3))
sessions = []
for item in rng.integers(items, size=visits):
    session = [item]
    for step in rng.integers(3, size=rng.integers(2, 10)):
        session.append(follow[session[-1], step] if rng.random() < 0.9 else rng.integers(items))
    sessions.append(np.array(session))

X, Y = data.sessions_to_xc(sessions[:7_000], items)
X_test, Y_test = data.sessions_to_xc(sessions[7_000:], items)
print(f"{X.shape[0]:,} prefixes of {items:,} items")

# %%
network = Network(items, items, seed=0)
report = network.fit_auto(X, Y)
print(report["choice"])
print({name: round(value, 3) for name, value in network.evaluate(X_test, Y_test).items() if name in ("P@1", "P@5")})

# %% [markdown]
# A visitor has seen three items. Items that were seen already can be left out.

# %%
prefix, _ = data.sessions_to_xc([sessions[7_000][:4]], items)
seen = prefix[-1:]
ids, scores = network.predict_topk(seen, 5, exclude=seen)
print("seen", seen.indices, "\nnext", ids[0], "\ntrue followers of the last item", np.sort(follow[sessions[7_000][2]]))

# %% [markdown]
# Scores are only half of it: how many outputs does a question touch? `fit_serving` trains hash tables that name a few candidates, so many
# that the first answer stays within one point of the exact one on rows kept aside.

# %%
served = network.fit_serving(X, Y, target=0.01, L=20)
print({name: round(value, 4) for name, value in served.items() if name in ("exact P@1", "P@1", "share", "label_recall")})
