"""Entry point of the benchmarks."""

import argparse
import importlib
import json
import pathlib
import pkgutil

from benchmarks.document import write_block


def folders():
    """Benchmarks that are folders: those with a module ``command``, which has HELP, ``add_arguments`` and ``run``."""
    here = pathlib.Path(__file__).parent
    names = [module.name for module in pkgutil.iter_modules([str(here)]) if module.ispkg]
    return {name: importlib.import_module(f"benchmarks.{name}.command") for name in names if (here / name / "command.py").exists()}


def main():
    """Parse the command line and run one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure; nothing here is a test.")
    commands = parser.add_subparsers(dest="command", required=True)
    step = commands.add_parser("train-step", help="samples/s of every sampler and of PyTorch, and the share of the machine's limit")
    step.add_argument("--set", type=pathlib.Path, required=True, help="folder with train.npz and test.npz (CSR: fptr, feat, val, "
                      "lptr, lab, shape)")
    step.add_argument("--torch", help="Python interpreter of an environment with PyTorch")
    step.add_argument("--systems", help="names, separated by ;, all by default")
    step.add_argument("--rounds", type=int, default=5)
    step.add_argument("--batches", type=int, default=40, help="steps of a system in a round")
    step.add_argument("--batches-full", type=int, default=8, help="the same, of systems that compute all outputs")
    step.add_argument("--shared", type=int, default=1000, help="candidates shared by a batch, beside its labels")
    step.add_argument("--candidates", type=int, default=1000, help="candidates of a sample, beside its labels")
    step.add_argument("--capacity", type=int, default=128, help="bound on a bucket")
    step.add_argument("--lr", type=float, default=5e-3)
    step.add_argument("--n-test", type=int, default=1024)
    step.add_argument("--threads", type=int)
    step.add_argument("--json", action="store_true")
    curve = commands.add_parser("curve", help="P@1 against wall time; time to the P@1 of PyTorch's sampled softmax")
    curve.add_argument("--set", type=pathlib.Path, required=True, help="as for train-step")
    curve.add_argument("--torch", required=True, help="Python interpreter of an environment with PyTorch")
    curve.add_argument("--torch-input-std", type=float, default=0.01, help="initial weights of PyTorch's input layer")
    curve.add_argument("--epochs", type=float, default=2, help="epochs of PyTorch that set the goal")
    curve.add_argument("--points", type=int, default=16, help="scores on the way")
    curve.add_argument("--rates", type=float, nargs="+", default=[2e-3, 5e-3], help="our learning rates")
    curve.add_argument("--systems", help="names of ours, separated by ;, all sampled ones by default")
    curve.add_argument("--shared", type=int, default=1000)
    curve.add_argument("--candidates", type=int, default=1000)
    curve.add_argument("--n-test", type=int, default=1024)
    curve.add_argument("--threads", type=int)
    curve.add_argument("--plot", type=pathlib.Path, help="draw the curves into this file (needs matplotlib)")
    curve.add_argument("--json", action="store_true")
    costs = commands.add_parser("costs", help="start-up, threads, width, rehashing, exact prediction")
    costs.add_argument("--set", type=pathlib.Path, required=True, help="as for train-step; read by the part `threads`")
    costs.add_argument("--parts", default="start,threads,width,rehash,predict", help="comma-separated; all by default")
    costs.add_argument("--rounds", type=int, default=5)
    costs.add_argument("--json", action="store_true")
    ann = commands.add_parser("ann", help="nearest neighbours: queries/s at a recall, build and change rates, beside faiss, hnswlib, "
                              "annoy, pynndescent and scikit-learn; duplicates beside datasketch")
    ann.add_argument("--data", type=pathlib.Path, help="rows: .npy, .npz, .fvecs or .hdf5")
    ann.add_argument("--queries", type=pathlib.Path, help="queries, likewise; those that are not measured serve to tune")
    ann.add_argument("--metric", default="l2", choices=("l2", "cosine", "ip", "jaccard"))
    ann.add_argument("--recall", type=float, default=0.9)
    ann.add_argument("--k", type=int, default=10)
    ann.add_argument("--n-queries", type=int, default=1000, help="queries that are measured")
    ann.add_argument("--rounds", type=int, default=3)
    ann.add_argument("--systems", help="comma-separated beginnings of names; all by default")
    ann.add_argument("--changes", action="store_true", help="instead: change single rows, beside hnswlib")
    ann.add_argument("--promise", type=int, metavar="SEEDS", help="instead: what tune promises, and what other queries find")
    ann.add_argument("--documents", type=int, help="instead: find duplicates among so many documents (with --metric jaccard: nearest ones)")
    ann.add_argument("--others-documents", type=int, help="datasketch gets the first so many of them")
    ann.add_argument("--plot", type=pathlib.Path, help="measure more settings of each system, and draw queries a second against recall "
                     "into this file (needs matplotlib)")
    ann.add_argument("--json", action="store_true")
    ablation = commands.add_parser("ablation", help="P@1 of random and learned functions under every schedule, beside uniform and full")
    ablation.add_argument("--set", type=pathlib.Path, help="as for train-step; without, only show what was kept")
    ablation.add_argument("--keep", type=pathlib.Path, required=True, help="JSON file to which this set's figures are added")
    ablation.add_argument("--epochs", type=float, default=2)
    ablation.add_argument("--rows", type=int, help="the first so many rows of the training data only")
    ablation.add_argument("--lr", type=float, default=2e-3)
    ablation.add_argument("--sizes", type=int, nargs="+", default=[100, 400], help="candidates")
    ablation.add_argument("--points", type=int, default=8, help="scores on the way; with one the learning rate falls to zero")
    ablation.add_argument("--seed", type=int, default=0)
    ablation.add_argument("--n-test", type=int, default=6000)
    ablation.add_argument("--full", action="store_true", help="also the full softmax")
    ablation.add_argument("--systems", help="names, separated by ;")
    ablation.add_argument("--plot", type=pathlib.Path, help="draw all kept sets into this file (needs matplotlib)")
    ablation.add_argument("--json", action="store_true")
    equal = commands.add_parser("equal-time", help="P@1 of random and learned functions after the seconds that uniform candidates take")
    equal.add_argument("--set", type=pathlib.Path, required=True, help="as for train-step")
    equal.add_argument("--epochs", type=float, default=1, help="of uniform candidates")
    equal.add_argument("--lrs", type=float, nargs="+", required=True, help="learning rates to begin with")
    equal.add_argument("--sizes", type=int, nargs="+", default=[1000], help="candidates")
    equal.add_argument("--shapes", nargs="+", choices=("batch", "sample"), default=["batch"], help="lists of what")
    equal.add_argument("--seeds", type=int, default=3)
    equal.add_argument("--json", action="store_true")
    serve = commands.add_parser("serve", help="P@1 and latency of answers through trained tables, beside BLAS and FAISS")
    serve.add_argument("--set", type=pathlib.Path, required=True, help="as for train-step")
    serve.add_argument("--epochs", type=float, default=4, help="of training, with shared uniform candidates")
    serve.add_argument("--lr", type=float, default=2e-3)
    serve.add_argument("--candidates", type=int, nargs="+", required=True, help="outputs that are scored for a row")
    serve.add_argument("--probes", type=int, nargs="+", default=[8, 64], help="lists that FAISS visits")
    serve.add_argument("--hnsw", action="store_true", help="also FAISS HNSW32, slow to build")
    serve.add_argument("--n-test", type=int, default=6000)
    serve.add_argument("--n-single", type=int, default=500)
    serve.add_argument("--batches", type=int, default=20)
    serve.add_argument("--weights", type=pathlib.Path, help="also write the output weights and the test rows' activations into this "
                       "folder, rows.npy and queries.npy, for ann")
    serve.add_argument("--json", action="store_true")
    accuracy = commands.add_parser("accuracy", help="accuracy, time and memory of our networks, of baselines, omikuji, PECOS, napkinXC "
                                   "and PyTorch, each in a process of its own")
    accuracy.add_argument("--data", type=pathlib.Path, default=pathlib.Path(), help="folder that has a folder for each set")
    accuracy.add_argument("--sets", nargs="+", default=[], help="names of the folders; without, only show and write what was kept")
    accuracy.add_argument("--systems", help="names, separated by ;, by default all whose environment is given")
    accuracy.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="Python interpreter of an environment with "
                          "omikuji, pecos, napkinxc or torch; once for each")
    accuracy.add_argument("--keep", type=pathlib.Path, help="JSON file to which the figures are added, those of the same set and system "
                          "replaced")
    accuracy.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables and chart are written from all that is "
                          "kept (needs matplotlib)")
    accuracy.add_argument("--epochs", type=int, default=3, help="of the networks")
    accuracy.add_argument("--lr", type=float, default=2e-3)
    accuracy.add_argument("--seed", type=int, default=0)
    accuracy.add_argument("--runs", type=int, default=1, help="of every system, of which that with the median P@1 is kept")
    accuracy.add_argument("--minutes", type=float, help="stop a system after so long")
    accuracy.add_argument("--threads", type=int, help="of every system, all by default")
    accuracy.add_argument("--json", action="store_true")
    words = commands.add_parser("next-word", help="make a set of next words from documents, for the other benchmarks")
    words.add_argument("--train", type=pathlib.Path, required=True, help="documents, a JSON object with a \"text\" a line, .jsonl.xz")
    words.add_argument("--test", type=pathlib.Path, required=True, help="likewise")
    words.add_argument("--out", type=pathlib.Path, required=True, help="folder for train.npz and test.npz")
    words.add_argument("--words", type=int, default=40_000_000, help="words of the documents that are read")
    words.add_argument("--rows", type=int, default=1_000_000, help="rows to train on, drawn from all")
    words.add_argument("--test-rows", type=int, default=20_000)
    words.add_argument("--window", type=int, default=4)
    words.add_argument("--min-count", type=int, default=1)
    words.add_argument("--json", action="store_true")
    attention = commands.add_parser("attention", help="LSH attention by length, beside reformer-pytorch and PyTorch's exact attention")
    attention.add_argument("--torch", help="Python interpreter of an environment with PyTorch and reformer-pytorch")
    attention.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192, 16384])
    attention.add_argument("--hashes", type=int, nargs="+", default=[1, 2, 4], help="rounds of hashing")
    attention.add_argument("--batch", type=int, default=4)
    attention.add_argument("--long", type=int, default=65536, help="also run ours once on so many tokens; 0: don't")
    attention.add_argument("--repeats", type=int, default=3, help="steps at 4,096 tokens; fewer for longer, more for shorter")
    attention.add_argument("--keep", type=pathlib.Path, help="file that holds what was measured: a run that was stopped goes on from it")
    attention.add_argument("--threads", type=int)
    attention.add_argument("--json", action="store_true")
    copy = commands.add_parser("copy-task", help="accuracy of models that copy, trained and scored with exact attention and rounds of "
                               "hashing")
    copy.add_argument("--systems", default="full,lsh 4,lsh 2,lsh 1", help="kinds of attention and rounds, separated by commas; also: "
                      "triplet 1")
    copy.add_argument("--length", type=int, default=128)
    copy.add_argument("--bucket-size", type=int, default=32)
    copy.add_argument("--batch-size", type=int, default=32)
    copy.add_argument("--steps", type=int, default=1500)
    copy.add_argument("--every", type=int, default=100, help="steps between scores")
    copy.add_argument("--enough", type=float, help="stop a run at this accuracy")
    copy.add_argument("--dropout", type=float, default=0.0)
    copy.add_argument("--seed", type=int, default=0)
    copy.add_argument("--eval-batches", type=int, default=40)
    copy.add_argument("--mass", action="store_true", help="show instead how much attention random and learned rotations recover")
    charlm = commands.add_parser("charlm", help="character language model: bits per character with exact attention and with hashing")
    charlm.add_argument("--data", type=pathlib.Path, required=True, help="folder with eurlex57k_train.jsonl.xz and ..._test, or a text "
                        "file")
    charlm.add_argument("--characters", type=int, default=20_000_000, help="of the text")
    charlm.add_argument("--tokens", type=int, default=128, help="size of the alphabet, at most")
    charlm.add_argument("--systems", default="full,lsh 4,lsh 8", help="as for copy")
    charlm.add_argument("--length", type=int, default=1024)
    charlm.add_argument("--width", type=int, default=128)
    charlm.add_argument("--bucket-size", type=int, default=64)
    charlm.add_argument("--batch-size", type=int, default=8)
    charlm.add_argument("--steps", type=int, default=1000)
    charlm.add_argument("--every", type=int, default=50, help="steps between scores")
    charlm.add_argument("--lr", type=float, default=3e-3, help="after 100 steps of warming up")
    charlm.add_argument("--eval-batches", type=int, default=16)
    causality = commands.add_parser("causality", help="how far attention depends on later tokens, with and without strict=True")
    causality.add_argument("--data", type=pathlib.Path, help="as for charlm; by default the text of Python's help")
    causality.add_argument("--characters", type=int, default=2_000_000, help="of the text")
    causality.add_argument("--length", type=int, default=256)
    causality.add_argument("--steps", type=int, default=200)
    causality.add_argument("--places", type=int, default=32, help="characters of a window that are predicted from their prefix alone")
    causality.add_argument("--json", action="store_true")
    for command in (copy, charlm):
        command.add_argument("--work", type=pathlib.Path, required=True, help="folder for models on the way; the same call goes on")
        command.add_argument("--minutes", type=float, default=60.0, help="time for training in this call")
        command.add_argument("--json", action="store_true")
    found = folders()
    parsers = []
    for name, module in found.items():
        parsers.append(commands.add_parser(name.replace("_", "-"), help=module.HELP, description=module.HELP))
        module.add_arguments(parsers[-1])
        parsers[-1].add_argument("--json", action="store_true")
    for command in (step, curve, costs, ann, ablation, equal, serve, accuracy, words, attention, copy, charlm, causality, *parsers):
        command.add_argument("--write", nargs=2, metavar=("FILE", "NAME"), help="also put the table into this document, between "
                             "the markers of this name")
    args = parser.parse_args()
    name = args.command.replace("-", "_")
    result, text = (found[name] if name in found else importlib.import_module("benchmarks." + name)).run(args)
    if args.write:
        write_block(*args.write, text)
    print(json.dumps(result) if args.json else text)


if __name__ == "__main__":
    main()
