"""The suite on several kernels: what differs, and the exit code."""

import pytest

from oomctl.errors import Exit
from oomctl.oom.outcome import Check
from oomctl.report.smoke_comparison import render_json, render_text
from oomctl.smoke.case import Case, Result
from oomctl.smoke.comparison import Comparison, KernelRun
from oomctl.smoke.results import Report
from tests.unit.smoke.fake_suite import ENVIRONMENT, passes

CASES = tuple(Case(f"group.{name}", f"about {name}", passes) for name in "abc")


def run(name, words, error=""):
    results = []
    for case, word in zip(CASES, words, strict=False):
        passed = {"p": True, "f": False, "s": None}[word]
        checks = (Check("one death", bool(passed), "two deaths"),) if passed is not None else ()
        reason = "needs zram" if passed is None else ""
        results.append(Result(case.name, passed, reason, checks, took_ns=2_000_000_000))
    return KernelRun(name, Report(ENVIRONMENT, CASES, tuple(results)), error)


@pytest.mark.parametrize(
    ("runs", "differ", "code"),
    [
        (["ppp", "ppp"], {}, Exit.OK),
        (["ppp", "pfp"], {"group.b": ("passed", "failed")}, Exit.NOT_AS_WANTED),
        (["pfp", "pfp"], {}, Exit.NOT_AS_WANTED),
        (["pps", "ppp"], {"group.c": ("skipped", "passed")}, Exit.OK),
        (
            ["sss", "ppp"],
            dict.fromkeys(("group.a", "group.b", "group.c"), ("skipped", "passed")),
            3,
        ),
        (["pp", "ppp"], {"group.c": ("-", "passed")}, Exit.OK),
        (["ppp", "ppp", "pps"], {"group.c": ("passed", "passed", "skipped")}, Exit.OK),
    ],
)
def test_cases_that_differ(runs, differ, code):
    found = Comparison(CASES, tuple(run(f"k{n}", words) for n, words in enumerate(runs)))
    assert {each.case.name: each.words for each in found.differences} == differ
    assert found.exit == code


def test_a_kernel_without_results_is_a_failure():
    assert Comparison(CASES, (run("a", "ppp"), run("b", "", "vanished"))).exit == Exit.FAILED


def test_kernels_that_ran_nothing_are_not_the_same():
    text = render_text(Comparison(CASES, (run("a", "", "vanished"), run("b", "", "vanished"))))
    assert "error     vanished" in text
    assert "same" not in text


def test_the_text_names_each_difference_with_its_reason():
    text = render_text(Comparison(CASES, (run("stock", "pps"), run("mine", "pfp"))))
    assert text.splitlines()[:2] == [
        "kernel    stock: Linux 6.12.95+deb12-amd64, kfunc v3 from module bpf_oom_kfunc,",
        "          oomctl 0.1.0; 2 passed, 0 failed, 1 skipped; the cases took 6.00 s",
    ]
    rows = [line.split() for line in text.splitlines()]
    assert ["group", "2/0/1", "6.00", "s", "2/1/0", "6.00", "s"] in rows
    assert ["group.b", "passed", "failed"] in rows
    assert ["group.c", "skipped", "passed"] in rows
    assert "case      group.b: about b" in text
    assert "mine      expected one death; actual: two deaths" in text
    assert "stock     needs zram" in text
    assert render_json(Comparison(CASES, (run("a", "ppp"), run("b", "ppp")))).endswith("}\n")
