"""A run of the suite in its forms."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from oomctl.errors import Exit
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import Report, result_of, tree
from tests.unit.smoke.fake_suite import (
    CASES,
    HERE,
    V1,
    FakeRunner,
    fails,
    flaky,
    passes,
    report,
    told,
)

RESULT = re.compile(r"( *)(not )?ok (\d+) ([^#\n]*?)(?: # SKIP (.+))?")
GOLDEN = {"ktap": "ktap", "table": "txt", "json": "json", "jsonl": "jsonl", "junit": "xml"}


@pytest.mark.parametrize(("form", "suffix"), GOLDEN.items())
def test_golden(form, suffix, golden):
    golden(f"smoke.{suffix}", "".join(told(form, report())))


def test_golden_verbose(golden):
    golden("smoke-verbose.txt", "".join(told("table", report(), verbose=True)))
    golden("smoke-verbose.ktap", "".join(told("ktap", report(), verbose=True)))


def results_of(text, indent):
    found = [RESULT.fullmatch(line) for line in text.splitlines()]
    return [each for each in found if each and each[1] == indent]


def test_ktap_is_nested_with_plans_and_names_that_match():
    text = "".join(told("ktap", report()))
    lines = text.splitlines()
    assert lines[0] == "KTAP version 1"
    assert [line for line in lines if line.startswith("1..")] == ["1..4"]
    announced = [line.removeprefix("  # Subtest: ") for line in lines if "# Subtest" in line]
    outer = results_of(text, "")
    assert [each[4] for each in outer] == announced == ["arguments", "lock", "system", "panic"]
    assert [int(each[3]) for each in outer] == [1, 2, 3, 4]
    assert [line for line in lines if line.startswith("  1..")] == [
        "  1..2",
        "  1..2",
        "  1..1",
        "  1..1",
    ]
    assert [int(each[3]) for each in results_of(text, "  ")] == [1, 2, 1, 2, 1, 1]


def test_ktap_of_a_group_is_that_of_its_cases():
    text = "".join(told("ktap", report()))
    assert [bool(each[2]) for each in results_of(text, "")] == [False, True, False, False]
    assert [bool(each[5]) for each in results_of(text, "")] == [False, False, True, True]


def test_ktap_has_diagnostics_before_the_result_and_a_reason_for_each_skip():
    lines = "".join(told("ktap", report())).splitlines()
    at = lines.index("  not ok 1 busy")
    assert "  # expected: calls returning EBUSY: 1" in lines[:at]
    assert "  # actual: 1" in lines[:at]
    assert lines[at - 1].startswith("  # to repeat it: oomctl smoke lock.busy")
    assert "  ok 1 largest # SKIP the kernel would choose init" in lines


def test_ktap_is_told_while_it_runs():
    whole = report()
    pieces = told("ktap", whole)
    text = ""
    for number, piece in enumerate(pieces):
        text += piece
        if "not ok 1 busy" in piece:
            assert "wait" not in text
            assert number < len(pieces) - 1
            return
    raise AssertionError("it was not told")


def test_no_text_of_the_kernels_breaks_out_of_its_line():
    evil = "x\nok 1 fooled # SKIP\n1..0"
    one = Result("lock.busy", False, evidence=(evil,))
    whole = Report(report().environment, (Case("lock.busy", "about", passes),), (one,))
    text = "".join(told("ktap", whole))
    assert [line for line in text.splitlines() if "fooled" in line] == [
        r"  # x\nok 1 fooled # SKIP\n1..0"
    ]


@pytest.mark.skipif(shutil.which("prove") is None, reason="perl's prove is not installed")
@pytest.mark.parametrize(("cases", "code"), [(CASES, 1), (CASES[:2], 0)])
def test_prove_reads_it(cases, code, tmp_path):
    path = tmp_path / "result.tap"
    path.write_text("".join(told("ktap", report(cases))))
    done = subprocess.run(["prove", "-e", "cat", path], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr


def test_a_result_survives_json():
    for one in report(rounds=3).results:
        assert result_of(json.loads(json.dumps(tree(one)))) == one


def test_json_lines_say_what_runs_before_it_ran():
    lines = [json.loads(line) for line in "".join(told("jsonl", report())).splitlines()]
    assert lines[0]["cases"] == [case.name for case in CASES]
    kinds = [line["kind"] for line in lines]
    assert kinds == ["suite", *["start", "case"] * len(CASES), "end"]
    assert lines[-1] == {"kind": "end", "passed": 3, "failed": 1, "skipped": 2}


def test_json_has_counts_and_what_each_case_is_about():
    whole = json.loads("".join(told("json", report())))
    assert whole["counts"] == {"passed": 3, "failed": 1, "skipped": 2}
    assert [case["name"] for case in whole["cases"]] == [case.name for case in CASES]
    assert whole["cases"][2]["about"] == "held: -EBUSY"


def test_junit_has_a_suite_for_each_group_and_counts_what_it_has():
    root = ET.fromstring("".join(told("junit", report())))
    assert [suite.get("name") for suite in root] == ["arguments", "lock", "system", "panic"]
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("6", "1", "2")
    [failure] = root.iter("failure")
    assert "expected: calls returning EBUSY: 1" in failure.text
    assert all(case.get("time") for case in root.iter("testcase"))


@pytest.mark.parametrize(
    ("runs", "code"),
    [
        ((passes,), Exit.OK),
        ((passes, fails), Exit.NOT_AS_WANTED),
        ((flaky,), Exit.NOT_AS_WANTED),
    ],
)
def test_exit_code(runs, code):
    cases = [Case(f"group.case-{n}", "about", run) for n, run in enumerate(runs)]
    assert report(cases, rounds=2).exit is code


def test_exit_code_where_nothing_could_run():
    whole = report(CASES, FakeRunner(replace(HERE, kfunc=V1)))
    assert whole.exit is Exit.UNSUPPORTED
    assert whole.summary == "0 passed, 0 failed, 6 skipped"
    text = "".join(told("table", whole))
    assert text.count("the shape of v1") == 1
