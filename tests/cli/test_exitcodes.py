"""`--exit-codes`: what kselftest and LTP read, of results and of mistakes."""

import pytest

from oomctl.errors import OomctlError, UnsupportedError
from tests.cli.command import run
from tests.outcomes import OUTCOMES

DEFAULT = ("default", [0, 1, 2, 3, 4])
KSELFTEST = ("kselftest", [0, 1, 1, 4, 1])
LTP = ("ltp", [0, 1, 2, 32, 2])


@pytest.mark.parametrize(("whose", "codes"), [DEFAULT, KSELFTEST, LTP])
def test_every_end_of_a_command_has_the_code_of_the_harness(machine, whose, codes):
    outcomes = [
        OUTCOMES["default"],
        OUTCOMES["refused"],
        None,
        UnsupportedError("no swap"),
        OomctlError("no"),
    ]
    for outcome, code in zip(outcomes, codes, strict=True):
        machine.outcome = outcome
        words = [] if outcome else ["--order", "x"]
        assert run("declare", "--exit-codes", whose, *words).exit_code == code
        assert run("declare", f"--exit-codes={whose}", *words).exit_code == code


@pytest.mark.parametrize("command", [["smoke", "nonsense"], ["lab", "smoke", "-x"], ["run", "no"]])
def test_a_mistake_has_it_too(command):
    for whose, code in (("default", 2), ("kselftest", 1), ("ltp", 2)):
        assert run(*command, "--exit-codes", whose).exit_code == code


def test_an_unknown_harness_is_a_mistake():
    result = run("declare", "--exit-codes", "junit")
    assert result.exit_code == 2
    assert "default" in result.stderr


def test_the_suite_obeys_one_of_them():
    result = run("smoke", "--bisect", "--exit-codes", "ltp")
    assert result.exit_code == 125
    assert "--bisect and --exit-codes exclude each other" in result.stderr


def test_a_dry_run_that_finds_a_fault(machine):
    assert run("declare", "--dry-run", "--exit-codes", "ltp").exit_code == 0
    words = ("--dry-run", "--keep", "--hogs", "0", "--global")
    assert run("declare", *words, "--exit-codes", "kselftest").exit_code == 1
