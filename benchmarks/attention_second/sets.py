"""Digits from their brightest pixels, as sets of points."""

import gzip
import time

import numpy as np

from mongoose_nb import SetClassifier

POINTS, ROWS, EPOCHS = 100, 20_000, 10


def read(folder, name):
    """(sets, labels): row, column and brightness of the brightest pixels, NaN where a pixel is black."""
    images = np.frombuffer(gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16).reshape(-1, 784)
    labels = np.frombuffer(gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    best = np.argsort(-images.astype(np.int16), axis=1, kind="stable")[:, :POINTS]
    light = np.take_along_axis(images, best, axis=1) / 255
    points = np.stack([best // 28, best % 28, light], axis=2).astype(np.float32)
    points[light == 0] = np.nan
    return points, labels


def measure(args):
    """Train on some of the training images, score on all test images."""
    (X, y), (X_test, y_test) = (read(args.mnist, name) for name in ("train", "t10k"))
    rows = np.random.default_rng(0).permutation(len(X))[:ROWS]
    start = time.process_time()
    model = SetClassifier((64, 64), (64,), pool="max", epochs=EPOCHS, random_state=0).fit(X[rows], y[rows])
    return {"rows": len(rows), "epochs": EPOCHS, "cpu_seconds": time.process_time() - start, "accuracy": model.score(X_test, y_test)}


def sentence(found):
    """For the guide."""
    return (f"With MNIST's digits as sets of their {POINTS} brightest pixels, {100 * found['accuracy']:.1f} % of the test digits are right "
            f"after {found['cpu_seconds']:.0f} CPU seconds on {found['rows']:,} training images.")


def text(found):
    """A line."""
    return (f"MNIST as sets of at most {POINTS} points: {100 * found['accuracy']:.1f} % of test digits right, {found['rows']:,} training "
            f"images, {found['epochs']} epochs, {found['cpu_seconds']:.0f} CPU seconds")
