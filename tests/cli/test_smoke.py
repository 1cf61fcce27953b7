"""`oomctl smoke` and `oomctl lab smoke` with cases that ask no kernel."""

import json
import multiprocessing
import os
import time
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from oomctl.bpf import btf
from oomctl.cli import guest
from oomctl.errors import UnsupportedError
from oomctl.experiment import environment
from oomctl.lab import vm
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.vm import Ending
from oomctl.oom import as_json
from oomctl.oom.outcome import Check, Environment
from oomctl.report.smoke_tables import listing
from oomctl.smoke import runner, suite
from oomctl.smoke.case import Case, Result
from tests.cli.command import refused, run
from tests.outcomes import ENVIRONMENT
from tests.schemas import validator
from tests.unit.lab.test_guest_suite import DEAD, PANIC, lines
from tests.unit.smoke.fake_suite import CASES, HERE, V1, V3, FakeRunner, fails, passes

GOOD = CASES[:2]
BAD = (*GOOD, Case("lock.busy", "held: -EBUSY", fails))


@pytest.fixture
def known(monkeypatch):
    """The suite has these cases, and a runner that asks no kernel."""

    class CaseRunner(FakeRunner):
        environment: Environment = ENVIRONMENT

        def __init__(self, _root, kfunc, disposable, _expected):
            super().__init__(replace(HERE, kfunc=kfunc, disposable=disposable))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    def these(cases, kfunc=V3):
        monkeypatch.setattr(suite, "cases", lambda: tuple(cases))
        monkeypatch.setattr(runner, "CaseRunner", CaseRunner)
        monkeypatch.setattr(btf, "find_kfunc", lambda: kfunc)
        monkeypatch.setattr(environment, "require_host", lambda: None)

    return these


@pytest.mark.parametrize(
    ("cases", "words", "code", "bisect"),
    [
        (GOOD, (), 0, 0),
        (BAD, (), 1, 1),
        (CASES, ("--exclude", "lock.busy"), 0, 0),
        (CASES, ("panic",), 3, 125),
    ],
)
def test_exit_codes(known, cases, words, code, bisect):
    known(cases)
    assert run("smoke", *words).exit_code == code
    assert run("smoke", "--bisect", *words).exit_code == bisect


@pytest.mark.parametrize("kfunc", [None, V1])
def test_another_kfunc_or_none_is_said_of_every_case(known, kfunc):
    known(GOOD, kfunc)
    result = run("smoke")
    assert result.exit_code == 3
    assert result.stdout.count("# SKIP this kernel") == 3
    assert ("shape of v1" if kfunc else "has no bpf_out_of_memory()") in result.stdout
    assert run("smoke", "--bisect").exit_code == 125


def test_a_machine_without_what_is_needed_cannot_be_tested(known, monkeypatch):
    known(GOOD)

    def lacks():
        raise UnsupportedError("no cgroup v2 hierarchy is mounted", "mount it")

    monkeypatch.setattr(environment, "require_host", lacks)
    refused(run("smoke"), 3, "no cgroup v2")
    refused(run("smoke", "--bisect"), 125, "no cgroup v2")


def test_a_mistake_is_2_and_when_bisecting_it_is_not_the_kernels():
    refused(run("smoke", "nonsense"), 2, "no case matches 'nonsense'", "--list")
    refused(run("smoke", "--bisect", "nonsense"), 125, "nonsense")
    refused(run("smoke", "lock", "--exclude", "lock"), 2, "every case is excluded")


@pytest.mark.parametrize(
    "words", [("--repeat", "0"), ("--format", "yaml"), ("--nonsense",), ("-o",)]
)
@pytest.mark.parametrize("command", [("smoke",), ("lab", "smoke")])
def test_a_wrong_option_is_a_mistake_too(command, words):
    refused(run(*command, *words), 2)
    refused(run(*command, "--bisect", *words), 125)


def test_a_pipe_gets_ktap_and_a_terminal_a_table(known, monkeypatch):
    known(GOOD)
    assert run("smoke").stdout.startswith("KTAP version 1\n")
    assert run("smoke", "--format", "table").stdout.startswith("group ")


def test_list_needs_neither_root_nor_kfunc():
    result = run("smoke", "--list")
    assert result.exit_code == 0
    names = [
        line.split()[0] for line in result.stdout.splitlines() if line[:1] not in ("", "#", " ")
    ]
    assert names == [case.name for case in suite.cases()]
    assert run("smoke", "--list", "lock").stdout.startswith("# lock: ")


def test_the_list_has_a_line_for_each_case_and_fits_a_terminal():
    cases = [each for each in run("smoke", "--list").stdout.splitlines() if each and each[0] != "#"]
    assert [line.split()[0] for line in cases] == [case.name for case in suite.cases()]
    narrow = listing(suite.cases(), "table", 60).splitlines()
    assert max(map(len, narrow)) <= 60 < max(map(len, cases))


def test_the_list_has_forms():
    told = json.loads(run("smoke", "--list", "-f", "json").stdout)
    validator("smoke-schema.json", "#/$defs/list").validate(told)
    listed = told["cases"]
    assert [case["name"] for case in listed] == [case.name for case in suite.cases()]
    lines = run("smoke", "--list", "lock", "-f", "jsonl").stdout.splitlines()
    assert {json.loads(line)["group"] for line in lines} == {"lock"}


def test_repeat_and_exclude(known):
    known(CASES)
    result = run("smoke", "--repeat", "3", "--exclude", "lock", "--format", "json")
    integer = json.loads(result.stdout)
    validator("smoke-schema.json").validate(integer)
    assert [case["name"] for case in integer["cases"]][:2] == [case.name for case in GOOD]
    assert integer["cases"][0]["rounds"] == integer["cases"][0]["rounds_passed"] == 3


def test_a_file_appears_whole(known, tmp_path):
    known(BAD)
    path = tmp_path / "result"
    result = run("smoke", "-o", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert path.read_text().startswith("KTAP version 1\n")
    assert "not ok 1 busy" in path.read_text()


def test_disposable_lets_the_deadly_run(known):
    known(CASES)
    assert "deadlock # SKIP" in run("smoke", "panic").stdout
    assert "ok 1 deadlock\n" in run("smoke", "panic", "--disposable").stdout


def test_help_teaches():
    for words in (("smoke",), ("lab", "smoke")):
        text = run(*words, "--help").stdout
        assert "Examples:" in text
        assert "125" in text


@pytest.fixture
def lab(monkeypatch):
    """Guests that tell what was prepared; what they were asked is kept."""
    prepared = []

    def boot(machine, job, timeout, out, err):
        prepared.pop(0)(out)
        err(b"said on stderr\n")
        prepared_endings.append((machine, job, timeout))
        return endings.pop(0)

    endings, prepared_endings = [], []
    kernel = Kernel("6.12", "/k/vmlinuz", None, provides=True)
    host = guest.Host(kernel, False, None, False)
    monkeypatch.setattr(guest, "ready", lambda *_: nullcontext(host))
    monkeypatch.setattr(vm, "run", boot)

    def guests(*told):
        for written, ending in told:
            prepared.append(lambda out, written=written: out(written))
            endings.append(ending)
        return prepared_endings

    return SimpleNamespace(guests=guests)


def ended(status=0, console=""):
    return Ending(status, False, 5.0, 60.0, console)


def test_lab_smoke_merges_all_in_one_result(known, lab):
    deadly = replace(CASES[-1], panics=PANIC)
    known((*GOOD, deadly))
    asked = lab.guests(
        (lines([case.name for case in GOOD]), ended()),
        (lines([deadly.name], last="dies"), ended(None, DEAD)),
    )
    result = run("lab", "smoke", "--jobs", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("KTAP version 1") == 3
    assert "# 3 passed, 0 failed, 0 skipped" in result.stdout
    assert "ok 2 panic" in result.stdout
    for _machine, job, timeout in asked:
        assert timeout == 900
        assert "PYTHONPATH" in job.environment


@pytest.mark.parametrize(("bisect", "code"), [((), 1), (("--bisect",), 1)])
def test_lab_smoke_of_a_kernel_that_dies(known, lab, bisect, code):
    known(GOOD)
    first, second = (case.name for case in GOOD)
    lab.guests((lines([first], last="dies"), ended(None, DEAD)), (lines([second]), ended()))
    result = run("lab", "smoke", *bisect)
    assert result.exit_code == code
    assert f"# actual: the kernel panicked: {PANIC}" in result.stdout


@pytest.mark.parametrize(("bisect", "code"), [((), 4), (("--bisect",), 125)])
def test_lab_smoke_of_a_kernel_that_does_not_come_up(known, lab, bisect, code):
    known(GOOD)
    lab.guests((b"", ended(None)))
    refused(run("lab", "smoke", *bisect), code, "did not start in the guest: the guest vanished")


def test_lab_smoke_runs_what_panics_last(known, lab):
    deadly = replace(CASES[0], panics=PANIC)
    known((deadly, CASES[1]))
    lab.guests(
        (lines([CASES[1].name]), ended()),
        (lines([deadly.name], last="dies"), ended(None, DEAD)),
    )
    result = run("lab", "smoke", "--jobs", "1", "--format", "json")
    integer = json.loads(result.stdout)
    assert [case["name"] for case in integer["cases"]] == [CASES[1].name, deadly.name]
    assert [case["about"] for case in integer["cases"]] == [CASES[1].about, deadly.about]


def test_lab_smoke_in_several_guests_at_once(known, lab, monkeypatch):
    """Results are told in the order of the cases, in whatever order they come."""
    many = tuple(Case(f"group.{n:02}", "about", passes) for n in range(40))
    deadly = replace(CASES[0], panics=PANIC)
    known((*many, deadly))
    here = os.getpid()

    def boot(_machine, job, _timeout, out, err):
        assert os.getpid() != here
        names = [word for word in job.words if "." in word]
        if names == [deadly.name]:
            out(lines(names, last="dies"))
            return ended(None, DEAD)
        if names[0] == "group.00":
            time.sleep(0.5)
        err(b"said on stderr\n")
        out(lines(names))
        return ended()

    monkeypatch.setattr(vm, "run", boot)
    result = run("-v", "lab", "smoke", "--jobs", "3", "--format", "jsonl")
    assert result.exit_code == 0, result.stderr
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["name"] for line in told if line["kind"] == "case"] == [
        *(case.name for case in many),
        deadly.name,
    ]
    assert [line["kind"] for line in told if line["kind"] != "case"][:2] == ["suite", "start"]
    assert told[-1] == {"kind": "end", "passed": 41, "failed": 0, "skipped": 0}


def test_lab_smoke_in_several_guests_of_which_one_does_not_come_up(known, lab, monkeypatch):
    known(tuple(Case(f"group.{n:02}", "about", passes) for n in range(40)))
    monkeypatch.setattr(vm, "run", lambda *_: ended(None))
    words = ("lab", "smoke", "--jobs", "2")
    refused(run(*words), 4, "did not start in the guest: the guest vanished")
    assert not multiprocessing.active_children()


def test_lab_smoke_usage(known):
    known(GOOD)
    refused(run("lab", "smoke", "--timeout", "0"), 2, "'--timeout': 0 is out of range")
    refused(run("lab", "smoke", "--memory", "1M"), 2, "too small")
    refused(run("lab", "smoke", "--memory", "1M", "--bisect"), 125, "too small")
    refused(run("lab", "smoke", "nonsense"), 2, "nonsense")
    refused(run("lab", "smoke", "--console", "--jobs", "2"), 2, "their consoles would mix")


def failed(name):
    return Result(name, False, "", (Check("returns -EBUSY", False, "returned 0"),), good=0)


@pytest.fixture
def two_kernels(known, lab):
    """Guests of two kernels, a and b: on the second one a case fails."""
    known(GOOD)
    first, second = (case.name for case in GOOD)
    lab.guests(
        (lines([first, second]), ended()),
        (lines([first]).replace(END, b"") + lines([second], ran=failed(second)), ended()),
    )
    return ["lab", "smoke", "--kernel", "a", "--kernel", "b"]


END = b'{"kind": "end"}\n'


def test_lab_smoke_on_two_kernels_is_a_comparison(two_kernels):
    result = run(*two_kernels)
    assert result.exit_code == 1, result.stderr
    second = GOOD[1].name
    text = result.stdout
    assert "kernel    a: Linux 6.12.95+deb12-amd64, kfunc v3 from module" in text
    assert "1 case of 2 differ" in text
    (row,) = [line for line in text.splitlines() if line.startswith(f"{second} ")]
    assert row.split() == [second, "passed", "failed"]
    assert "b         expected returns -EBUSY; actual: returned 0" in text


def test_lab_smoke_on_two_kernels_as_json_has_the_full_results(two_kernels):
    told = json.loads(run(*two_kernels, "-f", "json").stdout)
    whole = [{**each, "environment": as_json.environment(ENVIRONMENT)} for each in told["kernels"]]
    validator("smoke-schema.json", "#/$defs/comparison").validate({**told, "kernels": whole})
    second = GOOD[1].name
    assert [each["kernel"] for each in told["kernels"]] == ["a", "b"]
    assert [each["counts"]["failed"] for each in told["kernels"]] == [0, 1]
    assert all(len(each["cases"]) == 2 for each in told["kernels"])
    (difference,) = told["differences"]
    assert difference["results"] == {"a": "passed", "b": "failed"}
    assert difference["reasons"] == {"b": "expected returns -EBUSY; actual: returned 0"}
    assert difference["name"] == second


def test_lab_smoke_on_two_kernels_as_a_page_that_is_kept(two_kernels, tmp_path):
    page = tmp_path / "page.html"
    result = run(*two_kernels, "-f", "table", "-f", f"html={page}")
    assert "1 case of 2 differ" in result.stdout
    assert f"{GOOD[1].name} on kernel b" in page.read_text()
    again = run("report", "--last", "-f", "table")
    assert (again.stdout, again.exit_code) == (result.stdout, result.exit_code)


def test_lab_smoke_on_kernels_that_agree(known, lab):
    known(GOOD)
    names = [case.name for case in GOOD]
    lab.guests(*((lines(names), ended()) for _ in range(2)))
    result = run("lab", "smoke", "--kernel", "a", "--kernel", "a")
    assert result.exit_code == 0
    assert "2 cases, the same results on all kernels" in result.stdout
    assert "kernel    a (2): Linux" in result.stdout


def test_lab_smoke_goes_on_after_a_kernel_that_does_not_come_up(known, lab):
    known(GOOD)
    names = [case.name for case in GOOD]
    lab.guests((b"", ended(None)), (lines(names), ended()))
    result = run("lab", "smoke", "--kernel", "a", "--kernel", "b")
    assert result.exit_code == 4
    assert "error     the suite did not start in the guest: the guest vanished" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if line.startswith(f"{names[0]} ")]
    assert row.split() == [names[0], "-", "passed"]


def test_lab_smoke_on_several_kernels_usage(known):
    known(GOOD)
    two = ("lab", "smoke", "--kernel", "a", "--kernel", "b")
    refused(run(*two, "-f", "ktap"), 2, "--format ktap: it has no form for several kernels")
    refused(run(*two, "--bisect"), 125, "--bisect judges one kernel; give --kernel once")
