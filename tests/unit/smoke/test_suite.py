"""The suite: what is meant, what a result is made of, what a case needs."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.bpf import libbpf
from oomctl.bpf.btf import Kfunc, Parameter
from oomctl.errors import OomctlError, UsageError
from oomctl.smoke import facts, suite
from oomctl.smoke.case import Case
from oomctl.smoke.cases import loadtime
from oomctl.smoke.facts import Facts
from tests.unit.smoke.suite import (
    CASES,
    HERE,
    V1,
    V3,
    FakeRunner,
    fails,
    flaky,
    nothing,
    passes,
    raises,
    skips,
)

KNOWN = suite.cases()


def names(patterns=(), excluded=(), known=CASES):
    return [case.name for case in suite.select(known, patterns, excluded)]


def test_there_are_as_many_cases_as_were_asked_for_and_each_has_a_name_of_its_own():
    found = [case.name for case in KNOWN]
    assert len(found) == len(set(found)) >= 60
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", name) for name in found)
    assert {case.group for case in KNOWN} == set(suite.GROUPS)
    assert all(case.about for case in KNOWN)


def test_groups_come_one_after_the_other():
    order = list(dict.fromkeys(case.group for case in KNOWN))
    assert order == list(suite.GROUPS)
    assert [case.group for case in KNOWN] == sorted((case.group for case in KNOWN), key=order.index)


def test_what_should_panic_runs_only_where_a_machine_is_thrown_away():
    for case in KNOWN:
        assert case.deadly == (case.group == "panic")
        assert not case.panics or case.deadly


@pytest.mark.parametrize(
    ("patterns", "excluded", "meant"),
    [
        ((), (), [case.name for case in CASES]),
        (("lock",), (), ["lock.busy", "lock.wait"]),
        (("lock.busy",), (), ["lock.busy"]),
        (("*order*", "lock.*"), (), ["arguments.order-0", "lock.busy", "lock.wait"]),
        (("lock",), ("*.busy",), ["lock.wait"]),
        ((), ("lock", "arguments", "system"), ["panic.deadlock"]),
        (("lock",), ("lock",), []),
    ],
)
def test_patterns_mean_names_and_groups(patterns, excluded, meant):
    assert names(patterns, excluded) == meant


@pytest.mark.parametrize("patterns", [("locks",), ("lock", "no.such"), ("LOCK",), ("",)])
def test_a_pattern_that_means_nothing_is_a_mistake(patterns):
    with pytest.raises(UsageError, match="no case is called"):
        names(patterns)
    with pytest.raises(UsageError, match="no case is called"):
        names((), patterns)


def run(case_run, runner=None, rounds=1, needs=()):
    return suite.run(Case("group.case", "about", case_run, needs), runner or FakeRunner(), rounds)


def test_a_case_passes_if_all_its_checks_do():
    result = run(passes)
    assert (result.passed, result.good, result.rounds) == (True, 1, 1)
    assert result.diagnostics == ()


def test_a_failure_tells_what_was_expected_what_came_and_the_evidence():
    result = run(fails)
    assert result.passed is False
    assert result.diagnostics == (
        "expected: calls returning EBUSY: 1",
        "came: it was 1",
        "expected: tracing agrees",
        "came: it was not traced",
        "evidence of round 1",
        "to repeat it: oomctl smoke group.case",
    )


def test_a_check_that_could_not_be_made_fails_the_case():
    assert "tracing agrees" in [check.name for check in run(fails).failed]


def test_an_error_fails_the_case_and_keeps_what_was_found():
    result = run(raises)
    assert result.passed is False
    assert [check.name for check in result.checks] == [
        "before",
        "it can be carried out and cleaned up",
    ]
    assert result.failed[0].why == "the hog did not start; see dmesg"


def test_what_is_left_behind_fails_the_case_though_all_else_was_right():
    result = run(passes, FakeRunner(dirty=True))
    assert result.passed is False
    assert result.failed[0].why == "it left behind a cgroup; remove it"


def test_a_case_that_checks_nothing_fails():
    assert run(nothing).passed is False


def test_a_case_may_find_out_that_it_makes_no_sense():
    result = run(skips)
    assert (result.passed, result.reason) == (None, "the kernel would choose init")


def test_of_several_rounds_one_that_fails_is_shown():
    result = run(flaky, rounds=4)
    assert (result.passed, result.good, result.rounds) == (False, 3, 4)
    assert result.checks[0].why == "round 2"
    assert "rounds: 3 of 4 passed" in result.diagnostics
    assert "evidence of round 2" in result.diagnostics


def test_a_signal_ends_the_suite_though_the_clean_up_fails():
    def ended(_bench):
        try:
            raise KeyboardInterrupt
        finally:
            try:
                raise ProcessLookupError
            except OSError:
                raise OomctlError("who held oom_lock does not come back") from None
        yield

    with pytest.raises(OomctlError, match="does not come back"):
        run(ended)


def test_a_bug_of_the_case_is_not_taken_for_the_kernels():
    def broken(_bench):
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        run(broken)


def test_what_a_case_lacks_skips_it_and_it_is_not_run():
    runner = FakeRunner(replace(HERE, cpus=1))
    result = run(passes, runner, needs=(facts.two_cpus,))
    assert (result.passed, result.rounds, runner.rounds) == (None, 0, 0)
    assert "2 CPUs" in result.reason


@pytest.mark.parametrize(
    ("kfunc", "says"),
    [
        (None, "has no bpf_out_of_memory()"),
        (V1, "the shape of v1: int bpf_out_of_memory("),
        (Kfunc("vmlinux", V3.parameters[:2]), "the shape of RFC"),
        (Kfunc("vmlinux", (*V3.parameters, Parameter("char *", "text"))), "the shape of v2"),
    ],
)
def test_every_case_is_skipped_on_another_kfunc_with_its_name(kfunc, says):
    known = replace(HERE, kfunc=kfunc, disposable=True)
    assert all(says in case.lacks(known) for case in KNOWN)


NEEDS = [
    (facts.no_panic, {"panic_on_oom": 2}, {"panic_on_oom": 1}),
    (facts.no_panic_at_all, {"panic_on_oom": 1}, {"panic_on_oom": 0}),
    (facts.disposable, {}, {"disposable": True}),
    (facts.gate, {"untraceable": "no BTF"}, {}),
    (facts.two_cpus, {"cpus": 1}, {"cpus": 2}),
    (facts.swap, {"swap": 1 << 20}, {"swap": 64 << 20}),
    (facts.pages_of_4k, {"page_size": 65536}, {}),
    (facts.function("f"), {}, {"functions": frozenset({"f"})}),
    (facts.struct("s"), {}, {"structs": frozenset({"s"})}),
    (facts.order(9), {"max_order": 8}, {"max_order": 9}),
]


@pytest.mark.parametrize(("need", "without", "having"), NEEDS)
def test_a_need_is_met_or_says_what_is_missing(need, without, having):
    assert need(Facts(**without))
    assert need(Facts(**having)) == ""


def test_on_the_stock_kernel_nothing_is_skipped_but_what_it_cannot_have():
    stock = replace(HERE, functions=frozenset({"bpf_preempt_disable", "bpf_lsm_file_open"}))
    skipped = {case.name for case in KNOWN if case.lacks(replace(stock, disposable=True))}
    assert skipped == {"selection.swap-counts", "loadtime.irqs-off", "loadtime.oom-ops"}


def test_every_program_that_is_built_for_it_is_loaded_by_a_case():
    """And every name in the cases is that of a program, which libbpf would find out only late."""
    source = Path(loadtime.__file__).read_text()
    built = set(programs_of("refused.bpf.o"))
    assert built
    assert built <= set(re.findall(r'"(\w+)"', source))
    for file, only in (("nongpl", "nongpl"), ("arity", "arity"), ("oom_ops", "handle")):
        assert programs_of(f"{file}.bpf.o") == [only]


def programs_of(file):
    lib = libbpf.library()
    handle, error = libbpf.call(
        lib.bpf_object__open_file, str(resources.built(file)).encode(), None
    )
    assert handle, error
    names, program = [], None
    while program := lib.bpf_object__next_program(handle, program):
        names.append(lib.bpf_program__name(program).decode())
    lib.bpf_object__close(handle)
    return names
