"""Every set of silent programs, under every expectation."""

from itertools import chain, combinations

import pytest

from oomctl.bpf.observer import PROGRAMS
from oomctl.bpf.probes import ON_FUNCTIONS, silence, silent_programs

ALL = tuple(each.name for each in PROGRAMS if each.name != "mark_victim_pid")
OLD = tuple(each.name for each in PROGRAMS if each.name != "mark_victim")
JUDGED = {"oom_begin", "oom_end", "sigkill", "mark_victim", "mark_victim_pid"}
ENDS = {"process_exit", "missed_exit"}


def subsets(names):
    return chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))


def period(attached, silent, times=1):
    """What was counted at the begin and at the end, when all but the silent ones ran."""
    before = dict.fromkeys(attached, 7)
    return before, {name: 7 + (0 if name in silent else times) for name in attached}


@pytest.mark.parametrize("attached", [ALL, OLD])
def test_after_a_kill_every_silent_program_that_matters_is_named(attached):
    for silent in subsets(attached):
        found = silent_programs(*period(attached, silent), calls=1, kills=1, exits=1)
        wanted = (set(silent) & JUDGED) | (ENDS if set(silent) >= ENDS else set())
        assert set(found) == wanted, silent
        assert len(found) == len(set(found))


def test_only_what_must_have_run_is_asked_for():
    for silent in subsets(ALL):
        counted = period(ALL, silent)
        assert silent_programs(*counted) == ()
        by_calls = set(silent_programs(*counted, calls=1))
        assert by_calls == set(silent) & {"oom_begin", "oom_end"}
        by_kills = set(silent_programs(*counted, kills=1))
        assert by_kills == set(silent) & {"oom_begin", "sigkill", "mark_victim"}
        by_exits = set(silent_programs(*counted, exits=1))
        assert by_exits == (ENDS if set(silent) >= ENDS else set())


@pytest.mark.parametrize("program", sorted({*ALL, *OLD}))
def test_a_program_that_fell_silent_halfway_is_named(program):
    attached = OLD if program == "mark_victim_pid" else ALL
    before, after = period(attached, (), times=3)
    after[program] -= 1
    found = silent_programs(before, after, calls=3, kills=3, exits=3)
    judged = JUDGED - {"mark_victim", "mark_victim_pid"}
    assert found == ((program,) if program in judged else ())


def test_a_victim_that_is_killed_twice_is_marked_once():
    before, after = period(ALL, (), times=2)
    after["mark_victim"] -= 1
    assert silent_programs(before, after, calls=1, kills=2) == ()


def test_a_program_that_is_not_attached_is_not_silent():
    for attached in subsets(ALL):
        assert silent_programs(*period(attached, ()), calls=1, kills=1, exits=1) == ()


def test_the_only_program_that_tells_of_ends_has_no_deputy():
    counted = period(("missed_exit",), ("missed_exit",))
    assert silent_programs(*counted, exits=1) == ("missed_exit",)


@pytest.mark.parametrize("enabled", [0, 1, None])
def test_ftrace_is_the_cause_only_if_it_is_off_and_a_function_is_silent(enabled):
    for silent in subsets(ALL):
        error = silence(silent, enabled)
        blamed = "kernel.ftrace_enabled is 0" in error.why
        assert blamed == (enabled == 0 and bool(ON_FUNCTIONS & set(silent)))
        assert ("sysctl kernel.ftrace_enabled=1" in error.hint) == blamed
        assert all(name in error.why for name in silent)
        assert "\n" not in str(error)
