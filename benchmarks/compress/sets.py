"""Readers of the data sets of this benchmark."""

import csv
import gzip
import struct

import numpy as np


def frappe(folder):
    """(ids, clicks) of train, validation and test."""
    def read(name):
        rows = [line.split() for line in gzip.open(folder / "frappe" / name, "rt", encoding="utf-8")]
        return (np.array([[int(entry.split(":")[0]) for entry in row[1:]] for row in rows]),
                np.array([float(row[0]) > 0 for row in rows], np.int64))

    return [read(f"frappe.{name}.libfm.gz") for name in ("train_rebuilt", "validation", "test")]


def amazon(folder):
    """(X, y) of the employee access challenge: nine columns of ids, and whether access was granted."""
    with gzip.open(folder / "amazon-access" / "train.csv.gz", "rt", encoding="utf-8") as file:
        rows = np.array(list(csv.reader(file))[1:], np.int64)
    return rows[:, 1:], rows[:, 0]


def mnist(folder):
    """(X, y, X_test, y_test), X in [0, 1]."""
    def read(name):
        raw = gzip.open(folder / "mnist" / name).read()
        axes = raw[3]
        shape = struct.unpack(f">{axes}I", raw[4:4 + 4 * axes])
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)

    X, Xt = (read(f"{part}-images-idx3-ubyte.gz").reshape(-1, 784).astype(np.float32) / 255 for part in ("train", "t10k"))
    y, yt = (read(f"{part}-labels-idx1-ubyte.gz").astype(np.int64) for part in ("train", "t10k"))
    return X, y, Xt, yt


def movielens(folder):
    """(users, items, test) of liked movies, as ids from 0, with whether a pair is of the test set."""
    with gzip.open(folder / "ml-1m" / "interactions.csv.gz", "rt", encoding="utf-8") as file:
        rows = np.array([[int(row["user"]), int(row["movie"]), int(row["level"]), int(row["test"])] for row in csv.DictReader(file)])
    users, items = np.unique(rows[:, 0], return_inverse=True)[1], np.unique(rows[:, 1], return_inverse=True)[1]
    return users.reshape(-1), items.reshape(-1), rows[:, 2], rows[:, 3].astype(bool)
