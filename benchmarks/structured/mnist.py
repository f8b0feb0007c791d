"""MNIST with a second hidden layer of 1,024 units: structured layers beside dense, smaller dense and random-mask layers."""

import gzip
import pathlib
import statistics

import numpy as np

from mongoose_nb import nn
from mongoose_nb.structured import pixelfly_mask

WIDTH = 1024


def read(folder):
    """(X, y) to train and (X, y) to test, pixels from 0 to 1."""
    out = []
    for part in ("train", "t10k"):
        parts = []
        for kind, offset in (("images-idx3", 16), ("labels-idx1", 8)):
            with gzip.open(pathlib.Path(folder) / f"{part}-{kind}-ubyte.gz") as file:
                parts.append(np.frombuffer(file.read(), np.uint8, offset=offset))
        out.append((parts[0].reshape(-1, 784).astype(np.float32) / 255, parts[1].astype(int)))
    return out


def random_mask(like, seed):
    """As many blocks as a mask has, at random places, one in each block row and block column at least."""
    rng = np.random.default_rng(seed)
    while True:
        mask = np.zeros(like.size, bool)
        mask[rng.permutation(like.size)[:int(like.sum())]] = True
        mask = mask.reshape(like.shape)
        if mask.any(axis=0).all() and mask.any(axis=1).all():
            return mask


def layers(seed):
    """Name -> the layer in the middle."""
    mask = pixelfly_mask(WIDTH, WIDTH, 32, 16)
    parameters = {"monarch": 2 * WIDTH * 32, "pixelfly": int(mask.sum()) * 32**2 + 24 * 2 * WIDTH}
    return {"dense": nn.Dense(WIDTH), "monarch": nn.Monarch(WIDTH),
            "pixelfly": nn.Pixelfly(WIDTH, block=32, butterfly_size=16, rank=24),
            "random blocks": nn.Pixelfly(WIDTH, block=32, rank=24, mask=random_mask(mask, seed)),
            "narrow dense, as monarch": nn.Dense(parameters["monarch"] // WIDTH),
            "narrow dense, as pixelfly": nn.Dense(parameters["pixelfly"] // WIDTH)}


def train(layer, seed, epochs, args, data):
    """(P@1 on the test set, seconds of training, weights of the middle layer)."""
    (X, y), test = data
    net = nn.Network(784, 10, hidden=(WIDTH, layer), lr=args.mnist_lr, lr_schedule="linear", seed=seed)
    history = net.fit(X, y, epochs=epochs, batch_size=256)
    return (net.evaluate(*test, ranked=False)["P@1"], sum(part["seconds"] for part in history),
            sum(p.value.size for key, p in net.parameters().items() if key.startswith("hidden1") and "bias" not in key))


def measure(args):
    """Accuracy and seconds of each, by seed; also of the dense layer with the epochs for which the time of the fast layers suffices."""
    data = read(args.mnist)
    for layer in layers(0).values():  # compiled before anything is timed
        nn.Network(784, 10, hidden=(WIDTH, layer)).fit(data[0][0][:64], data[0][1][:64], epochs=1)
    out = {}
    for seed in range(args.seeds):
        todo = [(name, layer, args.epochs) for name, layer in layers(seed).items()]
        for name, layer, epochs in todo:
            entry = out.setdefault(name, {"accuracy": [], "seconds": [], "parameters": 0, "epochs": epochs})
            accuracy, seconds, entry["parameters"] = train(layer, seed, epochs, args, data)
            entry["accuracy"].append(accuracy)
            entry["seconds"].append(seconds)
            if name == "pixelfly":
                for fast in ("monarch", "pixelfly"):
                    share = out[fast]["seconds"][0] / out["dense"]["seconds"][0]
                    todo.append((f"dense, time of {fast}", nn.Dense(WIDTH), max(1, min(args.epochs, round(share * args.epochs)))))
    return {"epochs": args.epochs, "lr": args.mnist_lr, "systems": out}


def mean(result, name):
    """Mean accuracy in percent."""
    return 100 * statistics.fmean(result["systems"][name]["accuracy"])


def text(result):
    """A table."""
    lines = [f"MNIST, 784 -> {WIDTH:,} -> middle layer -> 10, {result['epochs']} epochs",
             f"{'middle layer':28}{'weights':>11}{'epochs':>8}{'accuracy %':>12}{'of the seeds':>16}{'seconds':>9}"]
    for name, entry in result["systems"].items():
        spread = f"{100 * min(entry['accuracy']):.2f} - {100 * max(entry['accuracy']):.2f}"
        seconds = statistics.fmean(entry["seconds"])
        lines.append(f"{name:28}{entry['parameters']:11,}{entry['epochs']:8}{mean(result, name):12.2f}{spread:>16}{seconds:9.1f}")
    return "\n".join(lines)
