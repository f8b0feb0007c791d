"""COBS and RAMBO: recall, false-positive rates against the formulas, independence of repetitions, strains in order."""

import numpy as np

from benchmarks.sketch.genomes import ONE, STRAINS, genomes, random_text, reads
from mongoose_nb.sketch import COBSIndex, IDLHash, RAMBOIndex, RandomHash

B, R = 5, 4
TRUE_GENOME = "NC_007779.1"


def owners(texts):
    """k-mers (sorted) and in how many genomes each is, and a k-mer's last owner."""
    kmers, owner = [], []
    for i, text in enumerate(texts.values()):
        some = np.unique(RandomHash().kmers(text))
        kmers.append(some)
        owner.append(np.full(len(some), i))
    kmers, owner = np.concatenate(kmers), np.concatenate(owner)
    order = np.argsort(kmers, kind="stable")
    return kmers[order], owner[order]


def independence():
    """Pairs of names that share a bucket in both of two repetitions, as a multiple of what independence gives."""
    index = RAMBOIndex(IDLHash(bits=2048), 16, 3)
    buckets = np.array([index.buckets_of(f"document {i}") for i in range(3000)])
    same = [buckets[:, None, r] == buckets[None, :, r] for r in range(3)]
    upper = np.triu(np.ones(same[0].shape, bool), 1)
    pairs = int(upper.sum())
    return {"pairs": pairs, "in one": float((same[0] & upper).sum() / pairs * 16),
            "in two": float((same[0] & same[1] & upper).sum() / pairs * 16**2),
            "in three": float((same[0] & same[1] & same[2] & upper).sum() / pairs * 16**3)}


def measure(args, peers):
    """Both indexes with both hashes."""
    texts = genomes(args.data)
    names = list(texts)
    kmers, owner = owners(texts)
    single = np.concatenate(([True], kmers[1:] != kmers[:-1])) & np.concatenate((kmers[1:] != kmers[:-1], [True]))
    # k-mers that one genome alone has, as sequences
    rng = np.random.default_rng(0)
    some = rng.choice(np.flatnonzero(single), 5_000, replace=False)
    letters = np.frombuffer(b"ACGT", np.uint8)
    places = 2 * np.arange(30, -1, -1).astype(np.uint64)
    alone = [letters[((kmer >> places) & np.uint64(3)).astype(int)].tobytes() for kmer in kmers[some]]
    strange = random_text(50_000, 5).tobytes()
    strains = {name: np.unique(RandomHash().kmers(texts[name])) for name in STRAINS}
    out = {"kinds": {}, "independence": independence(), "B": B, "R": R}
    for hash_name, make in (("random", RandomHash), ("IDL 512", IDLHash)):
        cobs = COBSIndex(make())
        cobs.add_many(texts.items())
        rambo = RAMBOIndex(make(bits=2**28), B, R)
        rambo.add_many(texts.items())
        fills = rambo.fills()
        p = float((fills**rambo.hasher.n_hashes).mean())
        groups = cobs.groups()
        formula = sum(group["documents"] * group["fill"] ** cobs.hasher.n_hashes for group in groups) / len(texts)
        for name, index in (("COBS", cobs), ("RAMBO", rambo)):
            column = {document: i for i, document in enumerate(index.names)}
            whole = index.shares([text.tobytes() if name == ONE else text[:50_000].tobytes() for name, text in texts.items()])
            recall = float(min(whole[i, column[document]] for i, document in enumerate(names)))
            shares = index.shares(alone)
            own = np.array([column[names[o]] for o in owner[some]])
            found = shares[np.arange(len(own)), own]
            other = (shares.sum() - found.sum()) / (len(own) * (len(names) - 1))
            expected = formula if name == "COBS" else (p + (1 - p) / B) ** R
            ours = [document for document in index.names if document in STRAINS]
            jaccard, mine = {}, strains[ONE]
            for document in ours:
                its = strains[document]
                both = len(np.intersect1d(mine, its))
                jaccard[document] = both / (len(mine) + len(its) - both)
            # Jaccard estimated from the share of MG1655's k-mers that a genome has
            row = whole[names.index(ONE)]
            estimated = {}
            for document in ours:
                both = row[column[document]] * len(mine)
                estimated[document] = both / (len(mine) + len(strains[document]) - both)
            true_reads = reads(args.data, "reads_k12_sim_R1.fq.gz")
            first = [{match.name for match in matches if match.rank == 1} for matches in index.search_many(true_reads, 0.5)]
            out["kinds"][f"{name}, {hash_name}"] = {
                "recall": min(recall, float(found.min())), "rate": float(other), "formula": float(expected), "bytes": index.nbytes,
                "rate of k-mers that no genome has": float(index.shares([strange]).mean()),
                "order of strains is right": sorted(ours, key=lambda d: -jaccard[d]) == sorted(ours, key=lambda d: -estimated[d]),
                "reads that find their strain": sum(TRUE_GENOME in one for one in first) / sum(map(bool, first)),
                "reads found": sum(map(bool, first)) / len(true_reads), "jaccard": jaccard, "estimated": estimated}
            print(name, hash_name, out["kinds"][f"{name}, {hash_name}"], flush=True)
    return out
