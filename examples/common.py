"""What the examples share: train the same network with several samplers and print one table."""

import argparse
import time

import numpy as np

from mongoose_nb import metrics, nn


def arguments(description, **defaults):
    """Command line of an example: where the data is, and how long to train."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument("data", help="folder or file with the data")
    parser.add_argument("--epochs", type=int, default=defaults.get("epochs", 3))
    parser.add_argument("--candidates", type=int, default=defaults.get("candidates", 400), help="outputs beside the labels")
    parser.add_argument("--lr", type=float, default=defaults.get("lr", 2e-3))
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-exact", action="store_true", help="leave out the exact network")
    parser.add_argument("--max-rows", type=int, help="train on so many rows, drawn at random")
    return parser.parse_args()


def compare(args, X, Y, X_test, Y_test):
    """Train with every sampler and print P@1/3/5, nDCG@5, the share of outputs computed, seconds and samples/s."""
    if args.max_rows and args.max_rows < X.shape[0]:
        rows = np.random.default_rng(args.seed).choice(X.shape[0], args.max_rows, replace=False)
        X, Y = X[rows], Y[rows]
    print(f"{X.shape[0]:,} training rows, {X_test.shape[0]:,} test rows, {X.shape[1]:,} features, {Y.shape[1]:,} outputs; "
          f"{args.epochs} epochs, Adam {args.lr:g}")
    samplers = {
        "exact": nn.Full(),
        "uniform, per batch": nn.Uniform(args.candidates, shape="batch"),
        "uniform, per sample": nn.Uniform(args.candidates, shape="sample"),
        "LSH, per sample": nn.LSH(args.candidates),
    }
    if args.no_exact:
        del samplers["exact"]
    print(f"{'sampler':20} {'P@1':>7} {'P@3':>7} {'P@5':>7} {'nDCG@5':>7} {'active':>7} {'seconds':>8} {'samples/s':>10}")
    for name, sampler in samplers.items():
        net = nn.Network(X.shape[1], Y.shape[1], hidden=(args.hidden,), sampler=sampler, optimizer=nn.Adam(args.lr), seed=args.seed)
        # compile first, so that the seconds are those of training
        nn.Network(X.shape[1], Y.shape[1], hidden=(args.hidden,), sampler=sampler).fit(X[:64], Y[:64], epochs=1)
        start = time.perf_counter()
        history = net.fit(X, Y, epochs=args.epochs)
        seconds = time.perf_counter() - start
        ids, _ = net.predict_topk(X_test, 5)
        p, ndcg = metrics.precision_at_k(Y_test, ids, 5), metrics.ndcg_at_k(Y_test, ids, 5)
        print(f"{name:20} {p[0]:7.4f} {p[2]:7.4f} {p[4]:7.4f} {ndcg[4]:7.4f} {history[-1]['active_share']:7.2%} {seconds:8.1f} "
              f"{args.epochs * X.shape[0] / seconds:10,.0f}", flush=True)
