"""The suite: the selection of cases, their results, and their needs."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.bpf import libbpf
from oomctl.bpf.btf import Kfunc, Parameter
from oomctl.errors import OomctlError, UsageError
from oomctl.oom.enums import FaultKind
from oomctl.oom.faults import Fault
from oomctl.smoke import facts, suite
from oomctl.smoke.case import Case
from oomctl.smoke.cases import loadtime
from oomctl.smoke.facts import Facts
from tests.unit.smoke.fake_suite import (
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


def test_every_case_has_a_unique_name_and_a_group():
    found = [case.name for case in KNOWN]
    assert len(found) == len(set(found)) >= 60
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", name) for name in found)
    assert {case.group for case in KNOWN} == set(suite.GROUPS)
    assert all(case.about for case in KNOWN)


def test_groups_are_in_order_and_not_mixed():
    order = list(dict.fromkeys(case.group for case in KNOWN))
    assert order == list(suite.GROUPS)
    assert [case.group for case in KNOWN] == sorted((case.group for case in KNOWN), key=order.index)


def test_cases_that_panic_need_a_disposable_machine():
    for case in KNOWN:
        assert (facts.disposable in case.needs) == (case.group == "panic")
        assert not case.panics or facts.disposable in case.needs


@pytest.mark.parametrize(
    ("patterns", "excluded", "selected"),
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
def test_patterns_match_names_and_groups(patterns, excluded, selected):
    assert names(patterns, excluded) == selected


@pytest.mark.parametrize("patterns", [("locks",), ("lock", "no.such"), ("LOCK",), ("",)])
def test_a_pattern_without_a_match_is_a_usage_error(patterns):
    with pytest.raises(UsageError, match="no case matches"):
        names(patterns)
    with pytest.raises(UsageError, match="no case matches"):
        names((), patterns)


def run(case_run, runner=None, rounds=1, needs=()):
    return suite.run(Case("group.case", "about", case_run, needs), runner or FakeRunner(), rounds)


def test_a_case_passes_if_all_its_checks_do():
    result = run(passes)
    assert (result.passed, result.good, result.rounds) == (True, 1, 1)
    assert result.diagnostics == ()


def test_a_failure_has_expected_actual_and_evidence():
    result = run(fails)
    assert result.passed is False
    assert result.diagnostics == (
        "expected: calls returning EBUSY: 1",
        "actual: 1",
        "expected: tracing agrees",
        "actual: not traced",
        "evidence of round 1",
        "to repeat it: oomctl smoke group.case",
    )


def test_a_check_that_could_not_be_made_fails_the_case():
    assert "tracing agrees" in [check.name for check in run(fails).failed]


def test_an_error_fails_the_case_and_keeps_its_checks():
    result = run(raises)
    assert result.passed is False
    assert [check.name for check in result.checks] == [
        "before",
        "the case can be carried out and cleaned up",
    ]
    assert result.failed[0].why == "the hog did not start; see dmesg"


def test_leftovers_fail_a_case_whose_checks_pass():
    result = run(passes, FakeRunner(dirty=True))
    assert result.passed is False
    assert result.failed[0].why == "it left behind a cgroup; remove it"


def test_a_case_without_checks_fails():
    assert run(nothing).passed is False


def test_a_case_may_skip_itself():
    result = run(skips)
    assert (result.passed, result.reason) == (None, "the kernel would choose init")


def test_of_several_rounds_the_failed_one_is_shown():
    result = run(flaky, rounds=4)
    assert (result.passed, result.good, result.rounds) == (False, 3, 4)
    assert result.checks[0].why == "round 2"
    assert "rounds: 3 of 4 passed" in result.diagnostics
    assert "evidence of round 2" in result.diagnostics


def test_a_signal_ends_the_suite_even_if_the_clean_up_fails():
    def ended(_runner):
        try:
            raise KeyboardInterrupt
        finally:
            try:
                raise ProcessLookupError
            except OSError:
                raise OomctlError("the holder of oom_lock does not end") from None
        yield

    with pytest.raises(OomctlError, match="does not end"):
        run(ended)


def test_a_bug_in_a_case_is_not_a_result():
    def broken(_runner):
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        run(broken)


def test_a_case_with_an_unmet_need_is_skipped():
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
def test_every_case_is_skipped_on_another_variant_of_the_kfunc(kfunc, says):
    known = replace(HERE, kfunc=kfunc, disposable=True)
    assert all(says in case.lacks(known) for case in KNOWN)


NEEDS = [
    (facts.no_panic, {"panic_on_oom": 2}, {"panic_on_oom": 1}),
    (facts.no_system_panic, {"panic_on_oom": 1}, {"panic_on_oom": 0}),
    (facts.disposable, {}, {"disposable": True}),
    (facts.gate, {"no_tracing_reason": "no BTF"}, {}),
    (facts.two_cpus, {"cpus": 1}, {"cpus": 2}),
    (facts.swap, {"swap": 1 << 20}, {"swap": 64 << 20}),
    (facts.function("f"), {}, {"functions": frozenset({"f"})}),
    (facts.struct("s"), {}, {"structs": frozenset({"s"})}),
    (facts.order(9), {"max_order": 8}, {"max_order": 9}),
]


@pytest.mark.parametrize(("need", "without", "having"), NEEDS)
def test_a_need_holds_or_says_why_not(need, without, having):
    assert need(Facts(**without))
    assert need(Facts(**having)) == ""


def test_cases_skipped_on_the_stock_kernel():
    functions = frozenset({"bpf_preempt_disable", "bpf_lsm_file_open"})
    stock = replace(HERE, functions=functions, structs=frozenset({"bpf_oom_ops"}))
    skipped = {case.name for case in KNOWN if case.lacks(replace(stock, disposable=True))}
    newer = {"may-task-work", "tp-btf-task-work", "may-psi-avgs-work"}
    assert {name for name in skipped if not name.startswith("context.")} == {
        "selection.swap-counts",
        "loadtime.irqs-off",
        *(f"loadtime.{name}" for name in newer),
    }


def test_every_program_that_is_built_for_it_is_loaded_by_a_case():
    """And no case names a program that is not built."""
    source = Path(loadtime.__file__).read_text()
    built = set(programs_of("refused.bpf.o"))
    assert built
    assert built <= set(re.findall(r'"(\w+)"', source))
    for file, only in (("nongpl", "nongpl"), ("arity", "arity")):
        assert programs_of(f"{file}.bpf.o") == [only]
    assert set(programs_of("deferred.bpf.o")) <= set(re.findall(r'"(\w+)"', source))
    assert programs_of("oom_ops.bpf.o") == ["handle", "handle_nothing"]


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


def test_a_fault_that_the_kernel_reports_fails_the_case():
    fault = Fault(FaultKind.WARN, ("WARNING: mm/x.c:1 at f", "Call Trace:"))
    result = suite.run(Case("group.passes", "about", passes), FakeRunner(faults=(fault,)))
    assert result.passed is False
    assert result.why == (
        "expected the kernel reports no fault of its own; actual: warn: WARNING: mm/x.c:1 at f"
    )
    assert result.evidence[-1] == "kernel log: Call Trace:"
