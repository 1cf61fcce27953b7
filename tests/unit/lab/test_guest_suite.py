"""The suite in fake guests: their output, and how they end."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl.errors import OomctlError
from oomctl.lab.guest_suite import Began, Beside, Booting, GuestSuite, parts, with_swap
from oomctl.lab.qemu import Machine
from oomctl.lab.vm import Ending
from oomctl.oom.enums import FaultKind
from oomctl.oom.faults import Fault
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import tree
from tests.unit.smoke.fake_suite import ENVIRONMENT, passes

PANIC = "System is deadlocked on memory"
CASES = tuple(Case(f"group.{name}", "about", passes) for name in "abcd")
DEADLY = Case("panic.x", "about", passes, panics=PANIC)
DEAD = f"[ 1.0] Out of memory\n[ 1.1] Kernel panic - not syncing: {PANIC}\n[ 1.2] CPU: 0\n"


def lines(names, last="end", ran=None):
    """Return the output of the suite in a guest up to its end, or up to its death."""
    told = [{"kind": "suite", "environment": ENVIRONMENT, "cases": list(names)}]
    for number, name in enumerate(names):
        told.append({"kind": "start", "name": name})
        if last == "end" or number < len(names) - 1:
            told.append({"kind": "case", **tree(ran or Result(name, True, good=1))})
    if last == "end":
        told.append({"kind": "end"})
    return "".join(f"{json.dumps(line)}\n" for line in told).encode()


class Guests:
    """Gives each boot the next prepared output and ending."""

    def __init__(self, *guests):
        self.guests = list(guests)
        self.booted = []

    def __call__(self, words, out):
        self.booted.append([word for word in words if "." in word and " " not in word])
        written, ending = self.guests.pop(0)
        for start in range(0, len(written), 7):
            out(written[start : start + 7])
        return ending


def suite(boot, cases=CASES):
    told = []
    GuestSuite(boot, 1, told.append).run(cases)
    assert boot.guests == []
    met = [one.environment for one in told if isinstance(one, Began)]
    came = {one.name: one for one in told if isinstance(one, Result)}
    return met, came, [one.first for one in told if isinstance(one, Booting)]


def ended(status=0, console="", timed_out=False):
    return Ending(status, timed_out, 5.0, 60.0, console)


NAMES = [case.name for case in CASES]


def test_one_guest_runs_all_cases_without_a_panic():
    boot = Guests((lines(NAMES), ended()))
    met, came, _started = suite(boot)
    assert met == [ENVIRONMENT]
    assert list(came) == NAMES
    assert all(one.passed for one in came.values())


def test_the_expected_panic_is_a_pass():
    boot = Guests((lines(["panic.x"], last="dies"), ended(None, DEAD)))
    _met, came, _started = suite(boot, (DEADLY,))
    assert came["panic.x"].passed is True
    assert came["panic.x"].checks[0].why == PANIC
    assert came["panic.x"].took_ns == 60_000_000_000


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        (ended(None, DEAD.replace("memory\n[ 1.2]", "x\n[ 1.2]")), "System is deadlocked on x"),
        (ended(None, ""), "vanished"),
        (ended(None, "", timed_out=True), "ended after 60 s"),
        (ended(139), "status 139"),
    ],
)
def test_any_other_end_is_a_failure(ending, why):
    boot = Guests((lines(["panic.x"], last="dies"), ending))
    _met, came, _started = suite(boot, (DEADLY,))
    assert came["panic.x"].passed is False
    assert why in came["panic.x"].checks[0].why
    assert PANIC in came["panic.x"].checks[0].name


def test_without_the_expected_panic_the_guests_result_counts():
    ran = Result("panic.x", False, "it returned 1")
    boot = Guests((lines(["panic.x"], ran=ran), ended(1)))
    _met, came, _started = suite(boot, (DEADLY,))
    assert came["panic.x"] == ran


def test_each_case_that_panics_gets_a_machine_after_the_others():
    other = Case("panic.y", "about", passes, panics=PANIC)
    boot = Guests(
        (lines(NAMES), ended()),
        (lines(["panic.x"], last="dies"), ended(None, DEAD)),
        (lines(["panic.y"], last="dies"), ended(None, DEAD)),
    )
    _met, came, started = suite(boot, (*CASES, DEADLY, other))
    assert boot.booted[0][-4:] == NAMES
    assert [asked[-1] for asked in boot.booted[1:]] == ["panic.x", "panic.y"]
    assert list(came) == [*NAMES, "panic.x", "panic.y"]
    assert started == ["group.a", "panic.x", "panic.y"]


def test_a_kernel_that_dies_fails_the_case_that_ran_and_the_rest_goes_on():
    boot = Guests((lines(NAMES[:2], last="dies"), ended(None, DEAD)), (lines(NAMES[2:]), ended()))
    _met, came, _started = suite(boot)
    assert [one.passed for one in came.values()] == [True, False, True, True]
    assert came["group.b"].checks[0].why == f"the kernel panicked: {PANIC}"
    assert any("CPU: 0" in line for line in came["group.b"].evidence)
    assert boot.booted[1][-2:] == NAMES[2:]


def test_a_kernel_that_dies_between_two_cases_fails_the_next():
    dying = b"\n".join(lines(NAMES[:2]).splitlines()[:3]) + b"\n"
    boot = Guests((dying, ended(None, DEAD)), (lines(NAMES[2:]), ended()))
    _met, came, _started = suite(boot)
    assert [one.passed for one in came.values()] == [True, False, True, True]


def test_a_kernel_that_dies_after_the_last_case_is_an_error():
    dying = lines(NAMES).replace(b'{"kind": "end"}\n', b"")
    with pytest.raises(OomctlError, match=f"end of the suite: the kernel panicked: {PANIC}"):
        suite(Guests((dying, ended(None, DEAD))))


def test_after_five_deaths_the_rest_is_not_run():
    cases = tuple(Case(f"group.{n}", "about", passes) for n in range(7))
    boot = Guests(*[(lines([case.name], last="dies"), ended(None, DEAD)) for case in cases[:5]])
    _met, came, _started = suite(boot, cases)
    assert list(came) == [case.name for case in cases]
    assert not any(one.passed for one in came.values())
    assert came["group.6"].reason == "not run: 5 kernels died of other cases"


def test_a_guest_in_which_the_suite_does_not_start_is_an_error():
    with pytest.raises(OomctlError, match=r"did not start in the guest: .* status 3"):
        suite(Guests((b"", ended(3))))


@pytest.mark.parametrize(
    "said", [b"\x1b[2Jno JSON\n", b"[]\n", b"1\n", b'{"kind": "case"}\n', b"\xff\n"]
)
def test_output_without_a_result_is_quoted_in_one_line(said):
    boot = Guests((said, ended()))
    with pytest.raises(OomctlError, match="printed no result: ") as caught:
        suite(boot)
    assert str(caught.value).isprintable()


def test_a_suite_that_skips_cases_is_not_booted_for_ever():
    boot = Guests((lines([]), ended()))
    with pytest.raises(OomctlError, match=r"skipped group\.a and all cases after"):
        suite(boot)


def test_its_machine_has_swap_if_the_kernel_has_zram():
    machine = Machine(Path("bzImage"))
    assert (with_swap(machine).zram >> 20, with_swap(machine).needs_zram) == (192, False)
    asked = replace(machine, zram=32 << 20)
    assert with_swap(asked) == asked


def test_faults_beside_the_cases_are_those_of_guests_that_came_to_their_end():
    def faults_of(*guests, cases=CASES):
        told = []
        GuestSuite(Guests(*guests), 1, told.append).run(cases)
        return [one.faults for one in told if isinstance(one, Beside)]

    faults = (Fault(FaultKind.OOPS, ("WARNING: x",)),)
    good, dead = replace(ended(), faults=faults), replace(ended(None, DEAD), faults=faults)
    assert faults_of((lines(NAMES), good)) == [faults]
    assert faults_of((lines(["panic.x"], last="dies"), dead), cases=(DEADLY,)) == []


def test_cases_are_dealt_out_to_guests_and_each_panic_has_one():
    many = tuple(Case(f"group.{n:02}", "about", passes) for n in range(50))
    panics = tuple(replace(DEADLY, name=f"panic.{n}") for n in range(2))
    for most, guests in ((1, 1), (2, 2), (3, 3), (9, 3)):
        dealt = parts((*many, *panics), most)
        assert len(dealt) == guests + 2
        assert dealt[-2:] == [(each,) for each in panics]
        assert sorted(sum(dealt[:guests], ()), key=lambda case: case.name) == [*many]
        assert max(map(len, dealt[:guests])) - min(map(len, dealt[:guests])) <= 1
    assert parts(many[:20], 9) == [many[:20]]
    assert parts(panics, 9) == [(each,) for each in panics]
