# %% [markdown]
# # Which genome does a read come from?
#
# A Bloom filter of k-mers answers "is this piece of 31 letters in the genome?". The IDL hash puts neighbouring k-mers into one cache
# line, so that a read touches few of them, with the same share of false positives. Genomes here are made up.

# %%
import matplotlib.pyplot as plt
import numpy as np

from mongoose_nb.sketch import BloomFilter, COBSIndex, IDLHash, RandomHash

rng = np.random.default_rng(0)
letters = np.frombuffer(b"ACGT", np.uint8)
genomes = {f"genome{i}": rng.choice(letters, 200_000) for i in range(8)}
text = genomes["genome0"]
for hasher in (RandomHash(bits=2**22), IDLHash(bits=2**22)):
    lines = hasher.addresses(text[:256 + 30]) // np.uint64(512)
    kmers = BloomFilter(hasher)
    kmers.insert(text)
    strange = kmers.contains(rng.choice(letters, 100_000)).mean()
    print(f"{type(hasher).__name__:10} {len(np.unique(lines)) / lines.size:.3f} cache lines for each bit, false positives {strange:.4f}")

# %% [markdown]
# `COBSIndex` keeps a filter for each genome, side by side, and says which share of a read's k-mers each may have. Reads have 1 % wrong
# letters, and every wrong letter spoils up to 31 k-mers.

# %%
index = COBSIndex(IDLHash())
index.add_many(genomes)
reads, names = [], []
for _ in range(400):
    name = rng.choice(list(genomes))
    start = rng.integers(len(genomes[name]) - 150)
    read = genomes[name][start:start + 150].copy()
    wrong = rng.random(150) < 0.01
    read[wrong] = rng.choice(letters, wrong.sum())
    reads.append(read)
    names.append(name)
shares = index.shares(reads)
own = np.array([index.names.index(name) for name in names])
right, others = shares[np.arange(len(reads)), own], np.delete(shares.ravel(), np.arange(len(reads)) * len(genomes) + own)

plt.figure(figsize=(5, 2.4))
plt.hist([right, others], np.linspace(0, 1, 41), density=True, color=["#c0392b", "#b8b8b8"], label=["own genome", "other genomes"])
plt.xlabel("share of the k-mers of a read")
plt.legend(frameon=False)
plt.tight_layout()

# %%
answers = index.search_many(reads, threshold=0.2)
first = sum(bool(matches) and matches[0].name == name for matches, name in zip(answers, names))
print(f"{first} of {len(reads)} reads have their genome in the first place")
