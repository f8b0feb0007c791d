"""Compilation is announced once, where a person can read it, when it takes long."""

import io
import logging
import time
import types

import pytest

from mongoose_nb.core import compiling


def event(module="mongoose_nb.kernels.data.csr"):
    function = types.SimpleNamespace(__module__=module)
    return types.SimpleNamespace(data={"dispatcher": types.SimpleNamespace(py_func=function)})


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def stderr(monkeypatch):
    monkeypatch.setattr(compiling, "AFTER", 0.05)
    before = compiling.LOGGER.level
    compiling.LOGGER.setLevel(logging.WARNING)  # pytest has handlers
    stream = Terminal()
    monkeypatch.setattr(compiling, "sys", types.SimpleNamespace(stderr=stream))  # pytest has the real one
    yield stream
    compiling.LOGGER.setLevel(before)


def compile_for(announcer, seconds, **settings):
    announcer.on_start(event(**settings))
    time.sleep(seconds)
    announcer.on_end(event(**settings))


def test_said_once_while_it_compiles(stderr):
    announcer = compiling.Announcer(True)
    announcer.on_start(event())
    deadline = time.monotonic() + 10
    while not stderr.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stderr.getvalue() == "mongoose_nb: compiling kernels, once per machine: up to a minute\n"
    announcer.on_end(event())
    compile_for(announcer, 0.2)
    assert stderr.getvalue().count("\n") == 1


def test_short_compilations_add_up(stderr):
    announcer = compiling.Announcer(False)
    compile_for(announcer, 0)
    assert stderr.getvalue() == ""
    for _ in range(20):
        compile_for(announcer, 0.02)
    assert "in every run" in stderr.getvalue() and stderr.getvalue().count("\n") == 1


def test_others_are_none_of_our_business(stderr):
    compile_for(compiling.Announcer(True), 0.2, module="some_library.kernels")
    announcer = compiling.Announcer(True)
    with announcer.silenced():  # the command line says it itself
        compile_for(announcer, 0.2)
    assert stderr.getvalue() == ""


def test_a_program_that_logs_gets_it_there_alone(stderr, caplog):
    with caplog.at_level(logging.INFO, "mongoose_nb"):
        compile_for(compiling.Announcer(True), 0.3)
    assert [record.getMessage() for record in caplog.records] == ["compiling kernels, once per machine: up to a minute"]
    assert stderr.getvalue() == ""


def test_nothing_where_nobody_reads(monkeypatch, stderr):
    monkeypatch.setattr(compiling.sys, "stderr", io.StringIO())
    compiling.tell("x")
    assert compiling.sys.stderr.getvalue() == ""
    monkeypatch.setattr(compiling.sys, "stderr", None)
    compiling.tell("x")
