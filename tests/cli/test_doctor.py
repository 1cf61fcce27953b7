"""`oomctl doctor`: exit codes, forms, and that it is told where a machine cannot."""

import json

import pytest

from oomctl.errors import UnsupportedError
from tests.cli.command import refused, run


@pytest.fixture
def machine(fit_machine, monkeypatch):
    monkeypatch.setattr("oomctl.cli.doctor.Machine", lambda: fit_machine)
    return fit_machine


def test_a_fit_machine(machine):
    result = run("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "`oomctl declare` can work here, 0 warnings." in result.stdout


def test_warnings_are_no_failure(machine):
    machine.lack(24)
    result = run("doctor")
    assert result.exit_code == 0
    assert "CAP_SYS_RESOURCE          warning" in result.stdout


def test_a_machine_that_cannot(machine):
    machine.said["log"] = UnsupportedError("cannot read it", "run it as root")
    result = run("doctor")
    assert (result.exit_code, result.stderr) == (3, "")
    assert "kernel log                missing" in result.stdout
    assert "-> run it as root" in result.stdout
    assert "cannot work here: 1 missing" in result.stdout


def test_json(machine, tmp_path):
    shown = json.loads(run("doctor", "--format", "json").stdout)
    assert (shown["schema"], shown["fit"]) == (3, True)
    file = tmp_path / "out.json"
    result = run("doctor", "-f", "json", "-o", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(file.read_text()) == shown


def test_the_log_behind_a_finding_is_for_v(machine):
    machine.said["load"] = UnsupportedError("not loaded", detail="the verifier's\nreasons")
    assert run("doctor").stderr == ""
    assert run("doctor", "-v").stderr == "oomctl: the verifier's\noomctl: reasons\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--format", "xml"), "--format"),
        (("--nonsense",), "No such option"),
        (("extra",), "unexpected extra argument"),
        (("-o", "/gone/x"), "--output /gone/x: No such file or directory"),
    ],
)
def test_usage(machine, arguments, says):
    refused(run("doctor", *arguments), 2, says)


def test_here_whatever_this_machine_is():
    result = run("doctor", "--format", "json")
    assert result.exit_code in (0, 3), result.output
    assert json.loads(result.stdout)["fit"] is (result.exit_code == 0)
