"""The command `mongoose reformer`: every flag reaches the model, runs go on exactly, what cannot be is refused."""

import json

import pytest

from mongoose_nb.commands import runs
from mongoose_nb.commands.cli import main
from mongoose_nb.commands.reformer_options import DEFAULTS, SWITCHES
from mongoose_nb.core.registry import describe
from mongoose_nb.reformer import ReformerLM

SMALL = ["--seq_len", "16", "--emsize", "8", "--nhid", "8", "--nhead", "2", "--bucket_size_list", "4", "--attn_type_list", "lsh",
         "--train_batches", "3", "--eval_batches", "2", "--batch_size", "4"]


@pytest.fixture
def call(capsys):
    """call(argument, ...) -> (exit code, stdout, stderr)."""
    def invoke(*argv):
        capsys.readouterr()
        code = main(["reformer", *(str(a) for a in argv)])
        return code, *capsys.readouterr()

    return invoke


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("the cat sat on the mat, and the dog lay by the door. " * 20, encoding="utf-8")
    return path


def test_copy_task(call, tmp_path):
    code, out, err = call(*SMALL, "--epochs", 2, "--out", tmp_path / "run", "--sample", 5, "--json")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["event"] for e in events] == ["epoch", "epoch", "end"]
    assert events[2]["step"] == 6 and 0 <= events[2]["accuracy"] <= 1 and len(events[2]["sample"].split()) == 5
    lines = [json.loads(line) for line in (tmp_path / "run" / runs.METRICS).read_text().splitlines()]
    assert [line["loss"] for line in lines] == [e["loss"] for e in events[:2]]
    assert ReformerLM.load(tmp_path / "run" / runs.MODEL).step == 6
    assert "copy task" in err and "epoch 2/2" in err
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "page.html")]) == 0


def test_text(call, text, tmp_path):
    code, out, err = call(text, *SMALL, "--epochs", 1, "--out", tmp_path / "run", "--sample", 4)
    assert code == 0, err
    prompt, dots, sample, result, written = out.splitlines()
    assert prompt in text.read_text() and dots == "..." and len(sample) == 4
    assert "bits a token" in result and written == f"written: {tmp_path / 'run'}"
    n = len(set(text.read_text())) + 1
    assert f"954 characters of text, 106 to score, {n} tokens" in err
    code, _, err = call(text, *SMALL, "--ntokens", 5, "--test", text, "--epochs", 1, "--out", tmp_path / "few")
    assert code == 0 and "1,060 characters of text, 1,060 to score, 5 tokens" in err


def test_every_flag_reaches_the_model(call, tmp_path):
    flags = {"seq_len": 20, "ntokens": 9, "emsize": 6, "nhid": 12, "ff_mult": 3, "nlayers": 3, "nhead": 6, "dropout": 0.2,
             "positions": "axial", "ff_chunks": 2, "sampler": "uniform", "seed": 5, "attn_type_list": ["lsh", "full", "lsh"],
             "bucket_size_list": [4, 5, 6], "n_hashes_list": [1, 2, 3], "full_attn_thres": 3, "thresh": 0.2, "scheduler_hashes": 128,
             "tri_alpha": 0.5, "optimizer": "sgd", "lr_main": 0.01, "lr_schedule": "cosine", "lr_tri": 0.02, "clip_norm": 0.7,
             "epochs": 1, "train_batches": 2, "eval_batches": 1, "batch_size": 3, "print_loss": 1, "min_seq_len": 8, "ff": "monarch:2",
             "n_features": 24, "projections": "pixelfly:0.9:2"}
    assert set(flags) | {"test"} == set(DEFAULTS) and all(flags[name] != DEFAULTS[name] for name in flags)
    words = [word for name, value in flags.items()
             for word in (f"--{name.replace('_', '-')}", *(value if isinstance(value, list) else [value]))]
    code, _, err = call(*words, "--store-activations", "--out", tmp_path / "run")
    assert code == 0, err
    assert err.count("step ") == 2
    settings = runs.read_settings(tmp_path / "run")["settings"]
    assert {name: settings[name] for name in flags} == flags and settings["store_activations"] and not settings["use_full_attn"]
    m = ReformerLM.load(tmp_path / "run" / runs.MODEL)
    want = {"max_length": 20, "n_tokens": 9, "embedding_width": 6, "width": 12, "ff_width": 36, "n_layers": 3, "n_heads": 6, "dropout": 0.2,
            "positions": "axial", "ff_chunks": 2, "seed": 5, "attention": ("lsh", "full", "lsh"), "bucket_size": (4, 5, 6),
            "n_hashes": (1, 2, 3), "full_attention_up_to": 3, "thresh": 0.2, "scheduler_hashes": 128, "margin": 0.5, "lr_rotations": 0.02,
            "clip_norm": 0.7, "reversible": False}
    assert {name: getattr(m, name) for name in want} == want
    assert describe(m.optimizer)["name"] == "sgd" and m.optimizer.lr == 0.01 and m.step == 2
    assert type(m.lr_schedule).__name__ == "Cosine" and describe(m.sampler)["name"] == "uniform"
    code, _, err = call(*SMALL, "--use_full_attn", "--epochs", 1, "--out", tmp_path / "full")
    assert code == 0 and ReformerLM.load(tmp_path / "full" / runs.MODEL).attention == ("full", "full")
    code, _, err = call(*SMALL, "--strict", "--epochs", 1, "--out", tmp_path / "strict")
    assert code == 0 and ReformerLM.load(tmp_path / "strict" / runs.MODEL).strict
    assert set(SWITCHES) == {"use_full_attn", "strict", "store_activations"}


def test_resume_equals_uninterrupted(call, text, tmp_path):
    assert call(text, *SMALL, "--epochs", 3, "--out", tmp_path / "whole")[0] == 0
    assert call(text, *SMALL, "--epochs", 1, "--out", tmp_path / "parts")[0] == 0
    code, _, err = call("--resume", tmp_path / "parts", "--epochs", 3)
    assert code == 0 and "going on after epoch 1, step 3" in err
    a, b = (ReformerLM.load(tmp_path / name / runs.MODEL) for name in ("whole", "parts"))
    assert a.step == b.step == 9
    assert all(p.value.tobytes() == b.parameters()[name].value.tobytes() for name, p in a.parameters().items())
    entries = [[json.loads(line)["loss"] for line in (tmp_path / name / runs.METRICS).read_text().splitlines()]
               for name in ("whole", "parts")]
    assert entries[0] == entries[1]
    assert call("--resume", tmp_path / "parts", "--epochs", 3)[0] == 2
    code, _, err = call("--resume", tmp_path / "parts", "--epochs", 4, "--nhid", 9)
    assert code == 2 and "--nhid does not go with --resume" in err
    other = tmp_path / "other.txt"
    other.write_text(text.read_text() + "x", encoding="utf-8")
    code, _, err = call(other, "--resume", tmp_path / "parts", "--epochs", 4)
    assert code == 2 and "the text is not the one" in err


@pytest.mark.parametrize("flags, words", [
    ((), "needs --out RUN"),
    (("--out", "{}", "--n_hashes_list", 1, 2, 3), "--n_hashes_list takes one value, or one for each of --nlayers 2; got 3"),
    (("--out", "{}", "--attn_type_list", "some"), "attention 'some' is unknown; give one of ['contrast', 'full', 'lsh', 'performer', "
     "'scatterbrain', 'triplet']"),
    (("--out", "{}", "--seq_len", 15), "length must be even"),
    (("--out", "{}", "--epochs", 0), "--epochs must be at least 1"),
    (("--out", "{}", "--test", "x"), "--test FILE goes with TEXT"),
    (("nothing.txt", "--out", "{}"), "nothing.txt: No such file"),
    (("--resume", "{}"), "has no settings.json"),
])
def test_refused(call, tmp_path, flags, words):
    code, out, err = call(*(tmp_path / "run" if f == "{}" else f for f in flags))
    assert code == 2 and out == "" and words in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_short_texts_are_refused(call, tmp_path):
    (tmp_path / "short.txt").write_text("short")
    code, _, err = call(tmp_path / "short.txt", "--out", tmp_path / "run")
    assert code == 2 and "the training text has 4 characters; --seq_len 1024 needs more" in err
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    code, _, err = call(tmp_path / "bytes.txt", "--out", tmp_path / "run")
    assert code == 2 and "is not a UTF-8 text file" in err
