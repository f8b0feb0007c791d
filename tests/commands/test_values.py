"""Values of flags: one kind of number for every command."""

import argparse

import pytest

from mongoose_nb.commands import options, values
from mongoose_nb.commands.cli import build_parser, main


def flags(parser, path=()):
    """(command, flag, action) of every option of every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from flags(sub, (*path, name))
        elif action.option_strings and action.nargs != 0:
            yield " ".join(path), action.option_strings[0], action


FLAGS = list(flags(build_parser()))


def test_no_flag_of_any_command_takes_a_slip_for_a_number():
    """Python's int takes 1_0 for 10, and its float takes nan."""
    numbers = 0
    for command, flag, action in FLAGS:
        assert action.type not in (int, float), f"{command} {flag} takes what Python takes"
        if action.type is None:
            continue
        try:
            numbers += isinstance(action.type("10"), int | float)
        except argparse.ArgumentTypeError:
            continue
        for text in ("1_0", "1_0.5", "nan", "inf", "-inf", "١", "", "1e999"):
            try:
                value = action.type(text)
            except argparse.ArgumentTypeError as error:
                assert "invalid value" in str(error) and "expected " in str(error)
            else:  # a word
                assert not isinstance(value, int | float), f"{command} {flag} takes {text!r} for {value!r}"
    assert numbers > 80


@pytest.mark.parametrize("argv, words", [
    (["predict", "m", "d", "--k", "1_0"], "argument --k: invalid value '1_0': expected an integer"),
    (["evaluate", "m", "d", "--A", "nan"], "argument --A: invalid value 'nan': expected a finite number"),
    (["index", "build", "d", "--out", "o", "--memory", "inf"], "expected a finite number"),
    (["reformer", "--seq_len", "1_024", "--out", "o"], "expected an integer"),
    (["clicks", "d", "--hidden", "6_4"], "expected an integer")])
def test_the_error_says_what_is_expected(argv, words, capsys):
    assert main(argv) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("text", ["lr = nan", "lr = inf", 'lr = "0.1_0"', 'epochs = "1_0"', 'hidden = "12_8"', 'rehash = "1_0:0.05"'])
def test_a_configuration_takes_no_slips_either(text, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="invalid value .*: expected"):
        options.read_config(path, ("data", "out"))
    path.write_text('hidden = "128, wide: 1000 ,64"\nrehash = "100: 0.05"\nlr = 1\nepochs = 1_0\n')  # TOML's own way to write 10
    assert options.read_config(path, ()) == {"hidden": [128, "wide:1000", 64], "rehash": "100:0.05", "lr": 1.0, "epochs": 10}


def test_ratios():
    assert values.ratio("16x", "--to") == 16 == values.ratio("16", "--to")
    for text in ("1_6x", "0.5x", "nan", "x", "1e9"):
        with pytest.raises(ValueError, match="--to must be a ratio of 1 or more"):
            values.ratio(text, "--to")
