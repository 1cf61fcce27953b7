"""Scenarios that `oomctl explain --scenario` makes of the corpus of kernel logs."""

import json
import tomllib

import pytest

from tests.cli.command import run
from tests.corpus import compose

LOGS = sorted(compose.HERE.glob("*.log"))
LIMIT = compose.HERE / "6.12-limit-dmesg.log"
ONLY_ENLARGED = "would have been chosen, so that"


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_every_log_becomes_a_sound_scenario_with_its_victim(log, tmp_path):
    made = tmp_path / "made.toml"
    result = run("explain", log, "-f", "json", "--scenario", made, "--scale", "1/64")
    assert result.exit_code == 0, result.stderr
    reports = json.loads(result.stdout)["reports"]
    report = next((each for each in reports if each["victim"]), reports[0])
    assert run("scenario", "check", made).exit_code == 0
    raw = tomllib.loads(made.read_text())
    comms = {name: hog.get("comm", name) for name, hog in raw.get("hog", {}).items()}
    if not report["victim"]:
        return
    victim = report["victim"]["comm"]
    assert comms[raw["expect"]["victims"][0]] in (victim, *(raw["expect"]["victims"]))
    if report["follows"] is False or report["victim"]["chosen_pid"]:
        assert ONLY_ENLARGED in result.stderr


def test_one_of_several_kills_is_chosen(tmp_path):
    first, second, third = (tmp_path / f"{n}.toml" for n in "123")
    result = run("explain", LIMIT, "--scenario", first)
    assert "the scenario is of OOM 1, the first of 2 kills; --kill N takes another" in result.stderr
    assert tomllib.loads(first.read_text())["expect"]["victims"] == ["side-car"]
    only = run("explain", LIMIT, "--scenario", second, "--kill", 2)
    assert (only.exit_code, only.stderr) == (0, "")
    assert ("OOM 1:" in only.stdout, "OOM 2: web" in only.stdout) == (False, True)
    assert tomllib.loads(second.read_text())["expect"]["victims"] == ["web"]
    refused = run("explain", LIMIT, "--scenario", third, "--kill", 3)
    assert (refused.exit_code, third.exists()) == (2, False)
    assert f"--kill 3: {LIMIT} has 2 reports; name one of them" in refused.stderr


def test_no_file_is_replaced(tmp_path):
    there = tmp_path / "there.toml"
    there.write_text("x = 1")
    for path, why in ((there, "is there already"), (tmp_path / "no" / "x.toml", "No such file")):
        result = run("explain", LIMIT, "--scenario", path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert why in result.stderr
    assert there.read_text() == "x = 1"


def test_without_a_report_there_is_no_scenario(tmp_path):
    log, made = tmp_path / "log", tmp_path / "made.toml"
    log.write_text("nothing\n")
    assert run("explain", log, "--scenario", made).exit_code == 1
    assert not made.exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--scale", "1/2"), "there is no scenario to make; add --scenario OUT.toml"),
        (("--scenario", "-"), "--scenario - is not a file; name a new file"),
        (("--scenario", "a", "-o", "a"), "--scenario and --output are the same file"),
    ],
)
def test_options_that_exclude_each_other(words, why):
    result = run("explain", LIMIT, *words)
    assert (result.exit_code, why in result.stderr) == (2, True)
