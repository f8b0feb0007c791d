"""The two recipes for registries: wrong classes found within a budget (MNIST), and addresses of two lists that mean the same."""

import statistics

import numpy as np

from benchmarks.family.hardness import _mnist, _rows

IMAGES, WRONG, RECORDS, BOUND = 20_000, 0.05, 10_000, 0.5
STREETS = ("Oak", "Maple", "Cedar", "Elm", "Pine", "Washington", "Lincoln", "Jefferson", "Franklin", "Madison", "Harrison", "Jackson",
           "Park", "Lake", "Hill", "River", "Mill", "Church", "Spring", "Highland", "Forest", "Meadow", "Sunset", "Valley", "Chestnut")
KINDS, TOWNS = ("Street", "Avenue", "Road", "Lane", "Drive", "Court"), ("Houston", "Pasadena", "Katy", "Spring", "Humble", "Bellaire")
SHORT = {"Street": "St", "Avenue": "Ave", "Road": "Rd", "Lane": "Ln", "Drive": "Dr", "Court": "Ct"}


def addresses(n, rng):
    """Different made-up addresses."""
    out = set()
    while len(out) < n:
        number, zip_code = rng.integers(1, 9999), 77000 + rng.integers(0, 100)
        out.add(f"{number} {rng.choice(STREETS)} {rng.choice(KINDS)}, {rng.choice(TOWNS)} TX {zip_code}")
    return sorted(out)


def mistyped(address, rng):
    """The same address as another clerk writes it: short forms, and up to two letters left out, doubled or exchanged."""
    for kind, short in SHORT.items():
        if rng.random() < 0.5:
            address = address.replace(kind, short)
    for _ in range(rng.integers(0, 3)):
        place = int(rng.integers(len(address) - 12, len(address) - 8)) if rng.random() < 0.2 else int(rng.integers(5, len(address) - 1))
        letter, rest = address[place], address[place + 1:]
        change = rng.integers(0, 3)
        address = address[:place] + ("" if change == 0 else letter * 2 if change == 1 else rest[:1] + letter) + (rest[1:] if change == 2
                                                                                                                   else rest)
    return address


def measure(args):
    """Both recipes."""
    return {"registry": [_registry(args, seed) for seed in range(args.seeds)], "linkage": [_linkage(seed) for seed in range(args.seeds)]}


def _registry(args, seed):
    """Share of the reviewed records that are wrong, with as many reviews as there are wrong records."""
    from mongoose_nb import Network

    rng = np.random.default_rng(seed)
    (images, y), _ = _mnist(args.data / "mnist")
    images, y = images[:IMAGES], y[:IMAGES]
    X, registry = _rows(images), y.copy()
    wrong = rng.choice(len(y), round(WRONG * len(y)), replace=False)
    registry[wrong] = (y[wrong] + rng.integers(1, 10, len(wrong))) % 10
    half, believed = rng.permutation(len(y)), np.empty(len(y))
    for train, check in ((half[::2], half[1::2]), (half[1::2], half[::2])):
        model = Network(784, 10, hidden=(128,), lr=1e-3, seed=seed)
        model.fit(X[train], registry[train], epochs=4, batch_size=128)
        ids, p = model.predict_topk(X[check], 10, probabilities=True)
        believed[check] = np.take_along_axis(p, np.argsort(ids, axis=1), axis=1)[np.arange(len(check)), registry[check]]
    return float(np.isin(np.argsort(believed)[:len(wrong)], wrong).mean())


def _linkage(seed):
    """Precision and recall of pairs of an address and its other spelling."""
    from mongoose_nb import find_duplicates, shingles

    rng = np.random.default_rng(seed)
    first = addresses(RECORDS, rng)
    second = [mistyped(address, rng) for address in first[:RECORDS // 2]]
    found = find_duplicates(shingles([*first, *second], size=3, unit="chars"), BOUND)
    n = len(first)
    pairs = [(int(a), int(b) - n) for a, b in found.pairs if a < n <= b]
    best = {}
    for (a, b), similarity in zip(pairs, [s for (a, b), s in zip(found.pairs, found.similarity) if a < n <= b]):
        if similarity > best.get(b, (0.0, -1))[0]:
            best[b] = (float(similarity), a)
    right = sum(a == b for b, (_, a) in best.items())
    return {"precision": right / max(1, len(best)), "recall": right / len(second)}


def text(found):
    """A few lines."""
    link = {key: statistics.median(row[key] for row in found["linkage"]) for key in ("precision", "recall")}
    share = found["registry"]
    return "\n".join([
        f"MNIST, {IMAGES:,} images, {WRONG:.0%} of the classes wrong, as many reviews as wrong classes: "
        f"{statistics.median(share):.4f} of the reviewed are wrong ({min(share):.4f} to {max(share):.4f})",
        f"addresses, {RECORDS:,} and {RECORDS // 2:,} of them typed again, sets of three letters, the most similar of at least {BOUND:g}: "
        f"precision {link['precision']:.4f}, recall {link['recall']:.4f}"])
