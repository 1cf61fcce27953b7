"""The records of `oomctl run`, and `oomctl report` of them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.oom.as_json import SCHEMA
from tests.cli.command import refused
from tests.cli.command import run as oomctl
from tests.cli.runs import GOOD, records, run, several


@pytest.mark.parametrize(
    ("error", "code", "why"),
    [
        (OomctlError("cannot remove the cgroup", "rmdir it"), 4, "failed"),
        (UnsupportedError("no huge pages", "make some"), 3, "unsupported"),
        (OSError(24, "Too many open files"), 4, "failed"),
    ],
)
def test_an_error_in_the_middle_loses_nothing(stage, error, code, why):
    stage.come = lambda number, plan: error if number == 3 else GOOD
    result = run("largest.toml", "--repeat", 9, "--record", "r")
    assert result.exit_code == code
    assert f"ended     {why}" in result.stdout
    assert json.loads(Path("r").read_text().splitlines()[-1])["why"] == why
    assert "Traceback" not in result.stderr
    told = oomctl("report", "r")
    assert told.stdout == result.stdout


def test_an_error_at_once_is_one_line_and_leaves_nothing(stage):
    stage.come = lambda number, plan: OomctlError("cannot", "do this")
    result = run("largest.toml", "--repeat", 9)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.splitlines()[-1] == "oomctl: cannot; do this"
    assert records() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_prints_what_there_is(stage, number):
    def come(count, plan):
        if count == 3:
            os.kill(os.getpid(), number)
            signal.pause()
        return GOOD

    stage.come = come
    result = run("largest.toml", "--repeat", 100, "--record", "r")
    assert result.exit_code == 128 + number
    assert f"ended     interrupted: {number.name}" in result.stdout
    assert "2 in " in result.stdout
    assert result.stderr.splitlines()[-1] == (
        f"oomctl: ended by {number.name}; its processes, cgroups and temporary files are gone"
    )
    assert json.loads(Path("r").read_text().splitlines()[-1])["why"] == "interrupted"
    assert oomctl("report", "r").stdout == result.stdout


def test_a_signal_between_two_rounds(stage):
    def come(count, plan):
        if count == 2:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            # not to the process: a thread that another test has left would take it at once
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return GOOD

    stage.come = come
    try:
        result = run("largest.toml", "--repeat", 100, "--no-record")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    assert result.exit_code == 130
    assert "2 in " in result.stdout


def test_a_full_disk_in_the_middle(stage, monkeypatch):
    real = os.write

    def write(fd, data):
        if b'"round": 3' in bytes(data[:200]):
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr("oomctl.rounds.record.os.write", write)
    result = run("largest.toml", "--repeat", 9, "--record", "r")
    assert result.exit_code == 4
    assert "2 in " in result.stdout
    assert "cannot write the record r: No space left on device" in result.stderr
    assert oomctl("report", "r").stdout == result.stdout


def test_a_record_that_cannot_be_is_said_before_anything_is_made(stage):
    Path("full").write_text("x")
    for path, says in (
        ("full", "holds something"),
        ("no/where", "No such file"),
        (".", "Is a dir"),
    ):
        refused(run("largest.toml", "--repeat", 2, "--record", path), 2, f"the record {path}", says)
    refused(run("largest.toml", "--record", "r", "--no-record"), 2, "exclude each other")
    assert stage.plans == []
    assert not Path("r").exists()


@pytest.mark.parametrize("output", ["r", "./r", "link"])
@pytest.mark.parametrize("there", [False, True])
def test_record_and_result_cannot_be_one_file(stage, output, there):
    Path("link").symlink_to("r")
    if there:
        Path("r").touch()
    result = run("largest.toml", "--record", "r", "--output", output)
    assert result.exit_code == 2
    says = "oomctl: --record r: the result would go into the same file; name another"
    assert result.stderr.splitlines()[1:] == [says]
    assert Path("r").exists() is there
    assert stage.plans == []


def test_a_record_of_one_round_is_there_if_asked_for(stage):
    result = run("largest.toml", "--record", "r")
    assert result.stdout.startswith("target")
    assert len(Path("r").read_text().splitlines()) == 3


def test_no_record(stage):
    result = run("largest.toml", "--repeat", 3, "--no-record", "-f", "json")
    assert (result.exit_code, result.stderr, records()) == (0, "", [])
    assert len(json.loads(result.stdout)["runs"][0]["rounds"]) == 3


def test_several_files_have_a_record_each_or_one(stage):
    run(*several(), "--repeat", 2)
    assert len(records()) == 2
    run(*several(), "--repeat", 2, "--record", "both")
    told = oomctl("report", "both")
    assert told.stdout.count("scenario ") == 2
    assert told.exit_code == 1


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_a_record_that_cannot_be_written_is_refused(stage, dry):
    Path("full").write_text("a round")
    refused(run("largest.toml", "--record", "full", *dry), 2, "the record full: holds something")
    refused(run("largest.toml", "--record", "no/x", *dry), 2, "the record no/x: No such file")
    both = run("largest.toml", "--record", "new", "-o", "new", *dry)
    assert "--record new: the result would go into the same file" in both.stderr
    assert (both.exit_code, stage.plans, Path("full").read_text()) == (2, [], "a round")
    assert not Path("new").exists()


def test_a_dry_run_leaves_no_record(stage):
    assert run("largest.toml", "--record", "new", "--dry-run").exit_code == 0
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "r: is empty"),
        (b"\x7fELF\x00\xff", "r: is not a record"),
        (b'{"schema": 1}\n', f"r: has schema 1, this oomctl knows {SCHEMA}"),
        (b'{"schema": 1}\n{"schema": 1}\n', "r: is not one JSON object"),
        (None, "r: No such file"),
    ],
)
def test_report_refuses_what_is_no_record(stage, raw, says):
    if raw is not None:
        Path("r").write_bytes(raw)
    refused(oomctl("report", "r"), 2, says)


def test_report_of_a_record_cut_short(stage):
    run("largest.toml", "--repeat", 5, "--record", "r")
    raw = Path("r").read_bytes()
    Path("r").write_bytes(raw[: raw.index(b'"round": 4') + 5])
    result = oomctl("report", "r")
    assert result.exit_code == 0
    assert "held in 3 of 3 rounds" in result.stdout
    half, unended = result.stderr.splitlines()
    assert half == "oomctl: r: line 5 is only half there and left out"
    assert "the record has no end" in unended
    assert len(json.loads(oomctl("report", "r", "-f", "json").stdout)["runs"][0]["rounds"]) == 3


def test_report_into_a_closed_pipe_and_a_full_disk(stage):
    run("largest.toml", "--repeat", 2, "--record", "r")
    refused(oomctl("report", "r", "-o", "/dev/full"), 4, "cannot write the result")
    program = f"{shlex.quote(sys.executable)} -m oomctl report"
    script = (
        f"{program} r | head -1; (sleep 1; {program} r; echo $? >&2) | true; cat r | {program} "
    )
    done = subprocess.run(
        ["bash", "-c", f"{script} /dev/stdin -f json >/dev/null; echo $?"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "scenario  largest: The largest of three dies.\n0\n"
    assert done.stderr == f"{128 + signal.SIGPIPE}\n"
