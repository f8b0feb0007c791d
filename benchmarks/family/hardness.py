"""Angular hardness: its course while the loss falls, and pseudo-labels on shifted images by it and by the softmax."""

import gzip

import numpy as np


def _mnist(folder):
    out = []
    for part in ("train", "t10k"):
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
            images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
            labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(int)
        order = np.random.default_rng(0).permutation(len(labels))  # files may be sorted by label
        out.append((images[order], labels[order]))
    return out


def _rows(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255


def measure(args):
    """MNIST: 6,000 images to train on; the shifted ones are moved by three pixels."""
    from scipy.stats import spearmanr

    from mongoose_nb import Network, SimHash, nn
    from mongoose_nb.metrics import angular_pseudo_labels, angular_visual_hardness, hardness_from_codes

    (images, y), (test_images, y_test) = _mnist(args.data / "mnist")
    X, y, X_test = _rows(images[:6000]), y[:6000], _rows(test_images)
    net, tracker = Network(784, 10, hidden=(128,), lr=1e-3), nn.HardnessTracker(X[:2000], y[:2000])
    history = net.fit(X, y, epochs=60, batch_size=64, callbacks=[tracker])
    h, W = net.hidden_activations(X_test), net.output.weights.value
    hard = angular_visual_hardness(h, W, y_test)
    wrong = net.predict(X_test) != y_test
    family = SimHash(h.shape[1], 16, 64)
    estimate = hardness_from_codes(family.hash(h), family.hash(W), 16, y_test)
    shifted = _rows(np.roll(test_images, 3, axis=2))
    own, target = slice(0, 5000), slice(5000, 10000)
    before = float(np.mean(net.predict(shifted[target]) == y_test[target]))
    after = {}
    for name in ("angular confidence", "softmax confidence"):
        student = Network(784, 10, hidden=(128,), lr=5e-4, seed=1)
        student.put_back({key: parameter.value for key, parameter in net.parameters().items()})
        for _ in range(5):
            features = student.hidden_activations(shifted[own])
            if name.startswith("angular"):
                rows, labels = angular_pseudo_labels(features, student.output.weights.value, 0.5)
            else:
                logits = features @ student.output.weights.value.T + student.output.bias.value
                p = np.exp(logits - logits.max(axis=1, keepdims=True))
                sure, best = (p / p.sum(axis=1, keepdims=True)).max(axis=1), logits.argmax(axis=1)
                rows = np.sort(np.concatenate([np.flatnonzero(best == c)[np.argsort(-sure[best == c])[:max(1, (best == c).sum() // 2)]]
                                               for c in np.unique(best)]))
                labels = best[rows]
            student.fit(shifted[own][rows], labels, epochs=3, batch_size=64)
        after[name] = float(np.mean(student.predict(shifted[target]) == y_test[target]))
    values = [entry["hardness"] for entry in tracker.history]
    return {"hardness": [values[i] for i in (0, 19, 59)], "loss": [history[i]["loss"] for i in (0, 19, 59)], "plateau": tracker.plateau,
            "length": [tracker.history[i]["length"] for i in (0, 19, 59)], "wrong": float(hard[wrong].mean()),
            "right": float(hard[~wrong].mean()), "estimate": float(np.abs(estimate - hard).max()),
            "estimate rank": float(spearmanr(estimate, hard)[0]), "before": before, "after": after}


def text(found):
    """A few lines."""
    lines = ["MNIST, 6,000 images to train on, hidden layer of 128, one seed", f"{'epoch':24} {'1':>9} {'20':>9} {'60':>9}"]
    lines += [f"{name:24} " + " ".join(f"{value:9.4f}" for value in found[name]) for name in ("hardness", "loss", "length")]
    lines += [f"plateau from epoch {found['plateau']}; mean hardness of wrong answers {found['wrong']:.4f}, of right ones "
              f"{found['right']:.4f}",
              f"estimate from 1,024 SimHash bits: largest error {found['estimate']:.4f}, rank correlation {found['estimate rank']:.3f}",
              f"images shifted by 3 pixels: {found['before']:.4f} right; after self-training "
              + ", ".join(f"{value:.4f} by {name}" for name, value in found["after"].items())]
    return "\n".join(lines)
