"""One command on several kernels, and their comparison."""

import json
import re
from pathlib import Path

import pytest

from oomctl import cache
from oomctl.cli import guest
from oomctl.errors import OomctlError
from oomctl.lab import (
    vm,
)
from oomctl.lab.vm import Ending
from tests.cli.lab.command import invoke
from tests.rounds import alone
from tests.schemas import validator
from tests.unit.lab.images import bzimage, compressed, vmlinux


def test_a_command_on_several_kernels(boots, tmp_path):
    for name in ("a", "b"):
        bzimage(tmp_path / name, f"6.12-{name}", payload=compressed(vmlinux(), "gzip"))
    boots[0].insert(1, Ending(3, False, 2.0, 3.0, ""))
    words = [word for name in ("a", "b") for word in ("--kernel", str(tmp_path / name))]
    done = invoke("run", *words, "--", "true", "{kernel}.json")
    assert done.exit_code == 3
    assert f"on {tmp_path}/a: Linux 6.12-a" in done.stderr
    assert f"status 3 on {tmp_path}/a, 3 on {tmp_path}/b" in done.stderr
    assert [job.words[1][-7:] for _machine, job, _timeout in boots[1:]] == ["_a.json", "_b.json"]
    done = invoke("run", "--dry-run", *words, "--", "true")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "2 kernels are given, and this boots one guest; give --kernel once" in done.stderr


@pytest.fixture
def two_records(given, monkeypatch):
    """Guests of two kernels that leave these records: text, or an ending without a record."""
    left = []

    def run(machine, job, timeout, out, err):
        out(b"the guest's own table\n")
        assert job.words[:3] == ("oomctl", "run", "--record")
        record = Path(job.words[3])
        assert record.parent in machine.rwdirs
        text = left.pop(0)
        if isinstance(text, str):
            record.write_text(text)
            return Ending(0, False, 2.0, 3.0, "")
        if isinstance(text, OomctlError):
            raise text
        return text

    monkeypatch.setattr(vm, "run", run)
    monkeypatch.setattr(guest, "outputs", lambda: (1, 2))
    return left


TWO = ("run", "--kernel", "fit", "--kernel", "fit")

RUN = ("--", "oomctl", "run", "x.toml", "--repeat", "3")


def test_rounds_on_several_kernels_are_one_comparison(two_records):
    two_records += [alone(), alone()]
    done = invoke(*TWO, *RUN)
    assert done.exit_code == 0, done.stderr
    assert "kernel    fit: Linux" in done.stdout
    assert "kernel    fit (2): Linux" in done.stdout
    assert "same" in done.stdout
    assert "verdict busy" in done.stdout
    assert "in_the_call, p50" in done.stdout
    assert "own table" not in done.stdout
    assert not [*cache.place("scratch").glob("*/")]


def test_kernels_that_differ_are_told_apart_by_name_and_reason(two_records):
    other = alone().replace('"verdict": "busy"', '"verdict": "killed"')
    two_records += [alone(), other]
    done = invoke(*TWO, *RUN)
    assert re.search(r"differs +busy: verdict \S+ .* on fit \(2\)", done.stdout), done.stdout
    two_records += [alone(), other]
    told = json.loads(invoke(*TWO, "-f", "json", *RUN).stdout)
    validator("run-schema.json", "#/$defs/kernels").validate(told)
    assert [len(one["runs"][0]["rounds"]) > 0 for one in told["kernels"]] == [True, True]
    assert {each["kernel"] for each in told["differences"]} == {"fit (2)"}


def test_a_kernel_that_dies_does_not_end_a_comparison(two_records):
    two_records += [Ending(None, False, None, 3.0, "Kernel panic - not syncing: x"), alone()]
    done = invoke(*TWO, *RUN)
    assert done.exit_code == 125
    assert "error     fit: the command ended with status 125, without a round" in done.stdout
    two_records += [alone(), OomctlError("QEMU did not start")]
    done = invoke(*TWO, "-f", "json", *RUN)
    assert done.exit_code == 4
    told = json.loads(done.stdout)
    validator("run-schema.json", "#/$defs/kernels").validate(told)
    assert told["kernels"][1] | {"runs": []} == {
        "kernel": "fit (2)",
        "status": None,
        "error": "QEMU did not start",
        "runs": [],
    }


@pytest.mark.parametrize(
    "words",
    [
        ("--kernel", "fit", "-f", "json", *RUN),
        (*TWO[1:], "-f", "json", "--", "oomctl", "smoke"),
        (*TWO[1:], "-o", "x.json", *RUN, "--format", "junit"),
    ],
)
def test_a_form_is_for_a_comparison(given, words):
    done = invoke("run", *words)
    assert done.exit_code == 2
    assert "--format and --output are for a comparison of several kernels" in done.stderr


def test_records_of_several_kernels_are_compared(boots, given, monkeypatch):
    def run(machine, job, timeout, out, err):
        Path(job.words[-1]).write_text(alone())
        return Ending(0, False, 2.0, 3.0, "")

    monkeypatch.setattr(vm, "run", run)
    words = ["--kernel", "fit", "--kernel", "fit", "--rwdir", ".", "--", "oomctl", "run", "x.toml"]
    done = invoke("run", *words, "--record", "{kernel}.jsonl")
    assert done.exit_code == 0, done.stderr
    assert "A         fit.jsonl: Linux" in done.stdout
    assert "B         fit__2_.jsonl: Linux" in done.stdout
    assert "unchanged" in done.stdout
