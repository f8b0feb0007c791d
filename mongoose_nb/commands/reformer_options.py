"""Flags of `mongoose reformer`: those of the published program, under their names (``_`` or ``-``), and all of them work.

This module is read by ``mongoose --help``: it imports nothing that takes time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mongoose_nb.commands.values import INTEGER, NUMBER

if TYPE_CHECKING:
    import argparse

# name, type, default, metavar, help; a type in a list takes one value, or one for every layer
FLAGS = {
    "task": (
        ("seq_len", int, 1024, "N", "tokens of a sequence, at most"),
        ("min_seq_len", int, None, "N", "copy task: draw the length of every batch from here to --seq_len (default: always --seq_len)"),
        ("ntokens", int, None, "N", "size of the vocabulary (default: 16, or all characters of the text); rarer characters become one"),
        ("test", str, None, "FILE", "text to score (default: the last tenth of TEXT)"),
    ),
    "model": (
        ("emsize", int, 256, "N", "width of the tokens' vectors"),
        ("nhid", int, 256, "N", "width of the model"),
        ("ff_mult", int, 1, "N", "inner width of the feed-forward layers over --nhid"),
        ("nlayers", int, 2, "N", "layers"),
        ("nhead", int, 4, "N", "heads"),
        ("dropout", float, 0.05, "SHARE", "dropout behind the embedding and behind every attention and feed-forward layer"),
        ("positions", str, "sinusoidal", "NAME", "sinusoidal | axial"),
        ("ff", str, "dense", "FORM", "dense | monarch | pixelfly: form of the feed-forward layers' matrices; monarch:8 has 8 blocks, "
         "pixelfly:0.1 a tenth of the weights; dense,monarch:4 are those of the layer that widens and of the one that narrows"),
        ("projections", str, "dense", "FORM", "the same, of the attention"),
        ("ff_chunks", int, 1, "N", "parts in which a feed-forward layer is computed"),
        ("sampler", str, None, "NAME", "full | uniform | lsh: tokens whose logits a step computes (default: all, exactly)"),
        ("seed", int, 0, "N", "same seed, same model, for any number of threads"),
    ),
    "attention": (
        ("attn_type_list", [str], ["triplet"], "TYPE", "lsh: random rotations; triplet, contrast: learned ones, by their loss; full: exact "
         "attention; scatterbrain: random rotations and random features; performer: random features; MODULE:CLASS: a kind of "
         "your own"),
        ("bucket_size_list", [int], [64], "N", "mean size of a bucket"),
        ("n_hashes_list", [int], [1], "N", "rounds of hashing"),
        ("n_features", int, 64, "N", "scatterbrain, performer: random features of a head"),
        ("full_attn_thres", int, 0, "N", "exact attention for sequences no longer than this"),
        ("thresh", float, 0.03, "SHARE", "learned rotations learn when this share of the bits has changed that watch the query-key "
         "projection"),
        ("scheduler_hashes", int, 64, "N", "bits that watch every row of that projection, rounded up to a multiple of 64"),
        ("tri_alpha", float, 1.0, "MARGIN", "triplet: margin of the loss"),
    ),
    "training": (
        ("epochs", int, 30, "N", "epochs in all"),
        ("train_batches", int, 5000, "N", "steps of an epoch"),
        ("eval_batches", int, 500, "N", "batches that are scored after an epoch"),
        ("batch_size", int, 16, "N", "sequences of a batch"),
        ("optimizer", str, "adam", "NAME", "adam | rowadam | adagrad | sgd"),
        ("lr_main", float, 1e-3, "RATE", "learning rate"),
        ("lr_schedule", str, "constant", "NAME", "constant | linear | cosine | step"),
        ("lr_tri", float, 0.05, "RATE", "learning rate of the rotations"),
        ("clip_norm", float, 0.5, "NORM", "scale the gradient down to at most this norm"),
        ("print_loss", int, 500, "STEPS", "steps between two lines of progress"),
    ),
}
DEFAULTS = {name: default for group in FLAGS.values() for name, _, default, _, _ in group}
SWITCHES = {"use_full_attn": "exact attention in all layers", "strict": "attention that does not depend on later tokens in any way",
            "store_activations": "keep activations instead of computing them again"}
_TYPES = {int: INTEGER, float: NUMBER}
# What may change when a run goes on.
RESUMABLE = ("epochs", "print_loss", "eval_batches")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("text", nargs="?", metavar="TEXT", help="UTF-8 text file whose characters to model; without one the copy task")
    parser.add_argument("--out", metavar="RUN", help="directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in a directory that is not empty")
    parser.add_argument("--resume", metavar="RUN", help="go on from RUN/model.mongoose until --epochs in all")
    parser.add_argument("--sample", type=INTEGER, metavar="N", help="at the end, let the model write N tokens")
    for title, flags in FLAGS.items():
        group = parser.add_argument_group(title)
        kind: Any
        default: Any
        for name, kind, default, metavar, text in flags:
            several = isinstance(kind, list)
            one = kind[0] if several else kind
            shown = "" if default is None else f" (default {default[0] if several else default})"
            group.add_argument(*_spellings(name), dest=name, type=_TYPES.get(one, one), nargs="+" if several else None,
                               metavar=metavar, help=text + shown)
        for name in {"model": ("store_activations",), "attention": ("use_full_attn", "strict")}.get(title, ()):
            group.add_argument(*_spellings(name), dest=name, action="store_const", const=True, help=SWITCHES[name])


def _spellings(name):
    return dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
