"""The first signal waits for the step that is done; a second Ctrl-C waits for nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from oomctl.signals import signals_blocked, signals_unblocked

PROGRAM = """
import os, signal, sys, time
import typer
from oomctl.cli.guard import guarded
from oomctl.signals import signals_blocked, signals_unblocked

@guarded
def command():
    with signals_blocked():
        try:
            print("waits", flush=True)
            with signals_blocked(), signals_unblocked():
                time.sleep(20)
        finally:
            print("cleans", flush=True)
            time.sleep(float(sys.argv.pop()))
            with signals_unblocked():
                pass
            print("is clean", flush=True)

app = typer.Typer()
app.command()(command)
app()
"""


@pytest.fixture
def program():
    def start(seconds):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.replace("sys.argv.pop()", repr(str(seconds)))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout.readline() == "waits\n"
        time.sleep(0.1)
        return child

    return start


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_ctrl_c_ends_at_once(program, first):
    child = program(20)
    child.send_signal(first)
    assert child.stdout.readline() == "cleans\n"
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert (child.returncode, out) == (130, "")
    assert err == "oomctl: ended at once; `oomctl clean` removes what it made\n"


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_any_other_signal_lets_it_clean(program, second):
    child = program(0.3)
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "cleans\n"
    child.send_signal(second)
    out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (130, "is clean\n")
    assert err == "oomctl: ended by SIGINT; its processes, cgroups and temporary files are gone\n"


def test_an_error_while_it_waits_does_not_let_the_first_ctrl_c_into_the_cleaning():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals_blocked():
            with pytest.raises(OSError, match="x"), signals_unblocked():
                raise OSError("x")
            assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
