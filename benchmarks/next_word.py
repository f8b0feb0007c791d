"""A set of next words: from documents, one JSON object with a "text" a line, to train.npz and test.npz as the benchmarks read them."""

import json
import lzma

import numpy as np

from mongoose_nb.data import Vocabulary, next_word, split_words


def _words(path, most):
    """Words of each document, until there are so many."""
    n = 0
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            words = split_words(json.loads(line)["text"])
            n += len(words)
            yield words
            if n >= most:
                return


def run(args):
    """Write the set. See ``python -m benchmarks next-word --help``."""
    train = list(_words(args.train, args.words))
    vocabulary = Vocabulary.build(train, min_count=args.min_count)
    args.out.mkdir(parents=True, exist_ok=True)
    result = {"vocabulary": len(vocabulary)}
    for name, documents, rows in (("train", train, args.rows), ("test", _words(args.test, args.words // 20), args.test_rows)):
        X, Y = next_word([vocabulary.encode(words) for words in documents], args.window, vocabulary, skip_labels=[vocabulary.unknown_id])
        if X.shape[0] > rows:
            chosen = np.sort(np.random.default_rng(0).choice(X.shape[0], rows, replace=False))
            X, Y = X[chosen], Y[chosen]
        np.savez(args.out / f"{name}.npz", fptr=X.indptr, feat=X.indices, val=X.data, lptr=Y.indptr, lab=Y.indices,
                 shape=[X.shape[0], X.shape[1], Y.shape[1]])
        result[name] = X.shape[0]
    return result, (f"{args.out}: next of {result['vocabulary']:,} words after the {args.window} before it, "
                    f"{result['train']:,} rows to train on, {result['test']:,} to test on")
