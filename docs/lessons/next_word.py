# %% [markdown]
# # Which word comes next?
#
# A wide softmax over all words of a text: the manual of Python, which comes with Python. A row is the last four words, its label the
# next.

# %%
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np

from mongoose_nb import Network, data, nn

texts = list(topics.values())[:40]
vocabulary = data.Vocabulary.build(texts, min_count=2)
pairs = [data.next_word([vocabulary.encode(text) for text in part], 4, len(vocabulary), skip_labels=[vocabulary.unknown_id])
         for part in (texts[5:], texts[:5])]
(X, Y), (X_test, Y_test) = pairs
print(f"{X.shape[0]:,} words to learn from, {len(vocabulary):,} different ones")

# %% [markdown]
# The same network with three ways to choose the outputs of a step: all, 200 uniform ones for a batch, and 200 for a sample of which half
# come out of hash tables.

# %%
samplers = {"all outputs": "full", "uniform": nn.Uniform(200), "hash tables": nn.LSH(200, tables=nn.Tables(learn="contrast"))}
plt.figure(figsize=(5, 2.8))
for name, sampler in samplers.items():
    network = Network(X.shape[1], len(vocabulary), sampler=sampler, seed=0)
    history = network.fit(X, Y, epochs=4, validation=(X_test, Y_test))
    plt.plot([0, *np.cumsum([entry["seconds"] for entry in history])], [0, *(entry["P@1"] for entry in history)], "o-", label=name)
    print(f"{name:12} {history[-1]['active_share']:7.2%} of the outputs, P@1 {history[-1]['P@1']:.3f}")
plt.xlabel("seconds of training")
plt.ylabel("P@1")
plt.legend(frameon=False)
plt.tight_layout()

# %% [markdown]
# With so few words computing all of them is quick. From about ten thousand outputs on sampling pays; `sampler="auto"` decides.
#
# `fit_auto` adds what a network alone does not know: similar places in the text, and counts.

# %%
best = Network(X.shape[1], len(vocabulary), seed=0)
print(best.fit_auto(X, Y)["choice"])
print("P@1", round(best.evaluate(X_test, Y_test)["P@1"], 3))
