# %% [markdown]
# # Label texts: EU laws and 4,271 subjects
#
# Each law has a few of 4,271 EuroVoc subjects. Rows are tf-idf words of a law, labels its subjects. The sample comes with the package.

# %%
import matplotlib.pyplot as plt
import numpy as np

from mongoose_nb import Network, data

X, Y, X_test, Y_test = data.load_demo()
subjects, titles = data.load_demo_names()
print(f"{X.shape[0]:,} laws to train on, {X.shape[1]:,} words, {Y.shape[1]:,} subjects, {Y.nnz / X.shape[0]:.1f} for each law")

# %% [markdown]
# `fit_auto` trains a network on nine tenths of the rows. On the last tenth it weighs what can rank labels: a linear model for each, a
# vote of similar laws, counts of subjects by word, and the network itself. It says what it chose.

# %%
network = Network(X.shape[1], Y.shape[1], seed=0)
report = network.fit_auto(X, Y)
print(report["choice"])

# %% [markdown]
# How often is the first of the proposed subjects right, alone and together?

# %%
held_out = report["held_out"]
plt.figure(figsize=(6, 2.4))
plt.barh(list(held_out), [score["P@1"] for score in held_out.values()],
         color=["#c0392b" if name == "mixture" else "#b8b8b8" for name in held_out])
plt.xlabel("P@1 on rows kept aside")
plt.tight_layout()

# %%
found = network.evaluate(X_test, Y_test)
print({name: round(found[name], 3) for name in ("P@1", "P@3", "P@5")})

# %% [markdown]
# One law, its subjects, and what the model says, with probabilities that a subject is right.

# %%
law = 3
ids, scores = network.predict_topk(X_test[law], 5)
probabilities = network.ranking.mixture.probabilities(scores)
print(titles[law])
print("given:   ", ", ".join(subjects[j] for j in Y_test[law].indices))
for j, p in zip(ids[0], probabilities[0]):
    print(f"{p:8.2f}  {subjects[j]}")

# %% [markdown]
# Do the probabilities mean what they say? In each bin, the share of proposed subjects that are right should be near the mean probability.

# %%
ids, scores = network.predict_topk(X_test, 5)
probabilities = network.ranking.mixture.probabilities(scores)
right = np.array([np.isin(row, Y_test[i].indices) for i, row in enumerate(ids)])
edges = np.linspace(0, 1, 11)
of_bin = np.digitize(probabilities.ravel(), edges[1:-1])
plt.figure(figsize=(3.2, 3))
plt.plot([0, 1], [0, 1], color="#b8b8b8")
plt.plot([probabilities.ravel()[of_bin == b].mean() for b in np.unique(of_bin)],
         [right.ravel()[of_bin == b].mean() for b in np.unique(of_bin)], "o-", color="#c0392b")
plt.xlabel("probability")
plt.ylabel("share that is right")
plt.tight_layout()
