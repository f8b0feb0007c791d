# %% [markdown]
# # A language model with hashed attention
#
# `ReformerLM` attends only within buckets of similar tokens. The task: copy a sequence that was seen 16 tokens before. No window of a few
# tokens can do it; hashing has to find the one place that matters.

# %%
import matplotlib.pyplot as plt

from mongoose_nb.reformer import CopyTask, ReformerLM

task = CopyTask(n_tokens=16, length=32)
model = ReformerLM(16, max_length=32, width=128, n_layers=2, n_heads=4, attention="lsh", n_hashes=4, bucket_size=8, clip_norm=1.0, seed=0)
curve = []


def keep(model, logs):
    """Called after every epoch; true ends the training."""
    curve.append(logs["accuracy"])
    return logs["accuracy"] > 0.999


model.fit(task, epochs=10, batches=100, batch_size=32, validation=task, callbacks=[keep])
plt.figure(figsize=(4.5, 2.4))
plt.plot(range(1, len(curve) + 1), curve, "o-", color="#c0392b")
plt.xlabel("epoch of 100 steps")
plt.ylabel("tokens copied right")
plt.tight_layout()

# %% [markdown]
# More rounds of hashing at evaluation find the place more surely. Exact attention is the limit.

# %%
for name, how in {"exact": {"attention": "full"}, **{f"{n} rounds": {"attention": "lsh", "n_hashes": n} for n in (8, 4, 2, 1)}}.items():
    print(f"{name:9} accuracy {model.evaluate(task, **how)['accuracy']:.4f}")

# %%
tokens, _ = task.batch(0, 1, train=False)
print("to copy", tokens[0, 1:16])
print("copied ", model.generate(tokens[0, :17], 15, temperature=0))
