"""Which genome does a read come from? Gene search with hashes that keep neighbouring k-mers together.

    python examples/genes.py               made-up genomes
    python examples/genes.py FOLDER        genomes in FASTA, one a file; reads are cut from them
"""

import argparse

import numpy as np

from mongoose_nb.sketch import BloomFilter, COBSIndex, IDLHash, RandomHash
from mongoose_nb.sketch.reading import document_name, read_document, sequence_files

parser = argparse.ArgumentParser(description="Gene search with IDL and with random addresses.")
parser.add_argument("folder", nargs="?")
args = parser.parse_args()
rng = np.random.default_rng(0)
letters = np.frombuffer(b"ACGT", np.uint8)
if args.folder:
    genomes = {document_name(file): read_document(file)[0] for file in sequence_files(args.folder)}
else:
    genomes = {f"genome{i}": rng.choice(letters, 200_000) for i in range(8)}

# cache lines that 256 neighbouring k-mers read, as a share of their probes
text = next(iter(genomes.values()))
for hasher in (RandomHash(bits=2**22), IDLHash(bits=2**22)):
    lines = hasher.addresses(text[:256 + 30]) // np.uint64(512)
    filter_ = BloomFilter(hasher)
    filter_.insert(text)
    strange = filter_.contains(rng.choice(letters, 100_000))
    print(f"{type(hasher).__name__:12} {len(np.unique(lines)) / lines.size:.3f} lines per probe, "
          f"false-positive rate {strange.mean():.5f}")

# an index of all genomes, and reads with 1 % errors
index = COBSIndex(IDLHash())
index.add_many(genomes.items())
print(index)
reads, names = [], []
for _ in range(200):
    name = rng.choice(list(genomes))
    start = rng.integers(len(genomes[name]) - 150)
    read = genomes[name][start:start + 150].copy()
    wrong = rng.random(150) < 0.01
    read[wrong] = rng.choice(letters, wrong.sum())
    reads.append(read)
    names.append(name)
answers = index.search_many(reads, threshold=0.2)
first = sum(bool(matches) and matches[0].name == name for matches, name in zip(answers, names))
print(f"{first} of {len(reads)} reads have their genome in the first place")
