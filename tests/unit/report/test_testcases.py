"""KTAP and JUnit: what test harnesses read."""

import re
import shutil
import subprocess
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from oomctl.oom.log.logrecord import Record
from oomctl.report import RENDERERS
from oomctl.report.testcases import expectations
from tests.outcomes import DEFAULT_RUN, OUTCOMES

RESULT = re.compile(r"(?P<indent> *)(?P<not>not )?ok (?P<number>\d+) (?P<name>[^#\n]*?)(?: # .*)?")


def ktap(name):
    return RENDERERS["ktap"](OUTCOMES[name]).splitlines()


@pytest.mark.parametrize("name", OUTCOMES)
def test_ktap_has_its_version_plan_and_numbers_at_each_level(name):
    lines = ktap(name)
    assert lines[0] == "KTAP version 1"
    for indent in ("", "  "):
        wanted: list[int] = []
        for line in lines:
            if plan := re.fullmatch(rf"{indent}1\.\.(\d+)", line):
                assert not wanted, "a plan before the one before was done"
                wanted = list(range(1, int(plan[1]) + 1))
            elif (found := RESULT.fullmatch(line)) and found["indent"] == indent:
                assert int(found["number"]) == wanted.pop(0)
        assert not wanted


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_subtests_name_is_that_of_the_result_after_it(name):
    announced = None
    for line in ktap(name):
        if line.startswith("  # Subtest: "):
            announced = line.removeprefix("  # Subtest: ")
        elif (found := RESULT.fullmatch(line)) and not found["indent"]:
            assert found["name"] == announced


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_test_passes_if_no_subtest_fails(name):
    failed = False
    for line in ktap(name):
        if found := RESULT.fullmatch(line):
            if found["indent"]:
                failed |= bool(found["not"])
            else:
                assert bool(found["not"]) == failed
                failed = False


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_verdict_that_is_not_as_wanted_fails(name):
    for report in OUTCOMES[name].calls:
        failed = [test.name for test in expectations(report) if test.passed is False]
        assert failed or report.verdict.as_wanted


@pytest.mark.skipif(shutil.which("prove") is None, reason="perl's prove is not installed")
@pytest.mark.parametrize(("name", "code"), [("default", 0), ("refused", 1)])
def test_prove_reads_it(name, code, tmp_path):
    path = tmp_path / "result.tap"
    path.write_text(RENDERERS["ktap"](OUTCOMES[name]))
    done = subprocess.run(["prove", "-e", "cat", path], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr


def test_a_choice_within_rounding_is_skipped_not_failed():
    [report] = OUTCOMES["too-close"].calls
    [test] = [test for test in expectations(report) if test.name == "as predicted"]
    assert test.passed is None
    assert "too close" in test.why


@pytest.mark.parametrize("name", OUTCOMES)
def test_junit_counts_what_it_has(name):
    root = ET.fromstring(RENDERERS["junit"](OUTCOMES[name]))
    suites = list(root)
    assert len(suites) == len(OUTCOMES[name].calls)
    for parent in (root, *suites):
        assert parent.get("tests") == str(len(list(parent.iter("testcase"))))
        assert parent.get("failures") == str(len(list(parent.iter("failure"))))
        assert parent.get("skipped") == str(len(list(parent.iter("skipped"))))


def test_junit_escapes_what_xml_forbids():
    hostile = "\x00\x1b]0;\udcff</system-out>&\ufffe"
    report = replace(DEFAULT_RUN.calls[0], log=(Record(1, 1, hostile),))
    outcome = replace(DEFAULT_RUN, calls=(report,), notes=(hostile,))
    text = RENDERERS["junit"](outcome)
    assert text.isprintable() or set(text) - {"\n"} == set(text.replace("\n", ""))
    said = ET.fromstring(text.encode()).findtext("testsuite/system-out")
    assert r"\x00\x1b]0;\xff</system-out>&" in said
