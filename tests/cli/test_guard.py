import ctypes
import errno
import gc
import os
import signal
import sys
import time
import weakref

import pytest
import typer
from typer.testing import CliRunner

from oomctl.cli.guard import guarded
from oomctl.errors import Exit, OomctlError, UnsupportedError, UsageError
from oomctl.signals import signals_blocked, signals_unblocked


@pytest.fixture
def invoke():
    """Run a function as a guarded command."""

    def go(function, *arguments):
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(guarded(function))
        return CliRunner().invoke(app, arguments)

    numbers = (*ENDING, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers], sys.unraisablehook
    yield go
    assert ([signal.getsignal(number) for number in numbers], sys.unraisablehook) == before


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("what", "do this"), 2, "what; do this"),
        (UnsupportedError("what"), 3, "what"),
        (OomctlError("what", "do this", "detail"), 4, "what; do this"),
        (OSError(24, "Too many open files"), 4, "Too many open files"),
        (PermissionError(13, "Permission denied", "/x"), 4, "Permission denied: /x"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(invoke, error, code, line):
    result = invoke(raising(error))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith(f"oomctl: {line}")
    assert result.stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback(invoke):
    result = invoke(raising(AssertionError("a bug")))
    assert isinstance(result.exception, AssertionError)


def test_no_error_is_no_word(invoke):
    result = invoke(lambda: print("result"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "result\n", "")


def test_an_exit_code_of_its_own_is_kept(invoke):
    assert invoke(raising(typer.Exit(Exit.NOT_AS_WANTED))).exit_code == 1


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_unwinds_and_is_the_exit_code(invoke, number):
    cleaned = []

    def command():
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            cleaned.append(True)

    result = invoke(command)
    assert result.exit_code == 128 + number
    ending = "its processes, cgroups and temporary files are gone"
    assert result.stderr == f"oomctl: ended by {number.name}; {ending}\n"
    assert cleaned == [True]


def in_a_finalizer(interrupt):
    class Finalized:
        def __del__(self):
            interrupt()

    Finalized()


def in_a_weak_reference(interrupt):
    class Referred:
        pass

    referred = Referred()
    reference = weakref.ref(referred, lambda _: interrupt())
    del referred
    assert reference() is None


def in_the_garbage_collector(interrupt):
    gc.callbacks.append(lambda phase, _: phase == "start" and interrupt())
    try:
        gc.collect()
    finally:
        gc.callbacks.pop()


def in_a_call_from_c(interrupt):
    ctypes.CFUNCTYPE(None)(interrupt)()


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize(
    "place",
    [in_a_finalizer, in_a_weak_reference, in_the_garbage_collector, in_a_call_from_c],
    ids=lambda place: place.__name__,
)
def test_a_signal_is_not_lost_where_python_drops_exceptions(invoke, place, number):
    reached = []

    def interrupt():
        os.kill(os.getpid(), number)
        reached.append("the handler raises before this")

    def command():
        place(interrupt)
        signal.pause()

    result = invoke(command)
    assert (result.exit_code, reached) == (128 + number, [])
    assert result.stderr.count("\n") == 1, result.stderr


def test_a_command_that_is_done_before_the_signal_comes_again(invoke):
    assert invoke(lambda: in_a_finalizer(lambda: os.kill(os.getpid(), 2))).exit_code == 0
    time.sleep(0.05)  # the alarm would end this process


def test_a_lost_signal_waits_for_the_step_that_is_done(invoke):
    done = []

    def command():
        with signals_blocked():
            with signals_unblocked():
                in_a_finalizer(lambda: os.kill(os.getpid(), signal.SIGTERM))
            time.sleep(0.1)
            done.append("step")
            with signals_unblocked():
                done.append("next")

    assert invoke(command).exit_code == 128 + signal.SIGTERM
    assert done == ["step"]


def test_another_exception_that_python_drops_is_shown_as_ever(invoke, monkeypatch):
    seen = []

    def fail():
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda lost: seen.append(str(lost.exc_value)))
        assert invoke(lambda: in_a_finalizer(fail)).exit_code == 0
    assert seen == ["a bug"]


@pytest.mark.parametrize("second", ENDING)
def test_a_second_signal_does_not_stop_the_cleaning(invoke, second):
    cleaned = []

    def command():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        finally:
            os.kill(os.getpid(), second)
            cleaned.append(True)

    assert invoke(command).exit_code == 130
    assert cleaned == [True]


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_was_ignored_stays_so(invoke, number):
    """As nohup and a shell's background jobs ask for."""
    before = signal.signal(number, signal.SIG_IGN)
    try:

        def command():
            os.kill(os.getpid(), number)
            print("went on")

        app = typer.Typer()
        app.command()(guarded(command))
        result = CliRunner().invoke(app, [])
    finally:
        signal.signal(number, before)
    assert (result.exit_code, result.stdout) == (0, "went on\n")


def test_an_error_while_cleaning_wins_over_the_signal(invoke):
    """What is left behind matters more than why it ended."""

    def command():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            raise OomctlError("cannot remove the cgroup", "rmdir it")

    result = invoke(command)
    assert result.exit_code == 4
    assert result.stderr == "oomctl: cannot remove the cgroup; rmdir it\n"


def test_a_name_that_is_too_long_is_the_users_mistake(invoke):
    result = invoke(raising(OSError(errno.ENAMETOOLONG, "File name too long", "nnn")))
    assert result.exit_code == Exit.USAGE
    assert result.stderr == "oomctl: File name too long: nnn; give a shorter one\n"


def test_a_command_without_v_does_not_speak_of_it(invoke):
    def command(verbose: bool = False):
        raise OSError(24, "Too many open files")

    assert "`-v` shows" in invoke(command).stderr
    result = invoke(raising(OSError(24, "Too many open files", "/x")))
    assert result.stderr == "oomctl: Too many open files: /x\n"
