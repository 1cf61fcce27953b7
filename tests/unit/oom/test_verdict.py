import errno
from dataclasses import replace

import pytest

from oomctl.oom.call import CallResult, Stage
from oomctl.oom.verdict import Circumstances, Verdict, judge, meaning, overall


def result_of(ret, timed_out=False):
    return CallResult(Stage.CALLED, 100, 0 if ret is None else 350, ret, timed_out)


ONE, TWO = ["a (pid 5)"], ["a (pid 5)", "b (pid 6)"]


@pytest.mark.parametrize(
    ("ret", "timed_out", "killed", "group_kills", "no_killable", "name"),
    [
        (1, False, ONE, 0, False, "killed"),
        (1, False, TWO, 0, False, "over-kill"),
        (1, False, TWO, 1, False, "group-killed"),
        (1, False, ONE, 1, False, "killed"),  # a group of one
        (1, False, [], 0, False, "claimed-but-none-died"),
        (1, False, [], 1, False, "claimed-but-none-died"),  # a counter alone proves nothing
        (0, False, [], 0, True, "no-killable-task"),
        (0, False, [], 0, False, "oom-killer-disabled"),
        (0, False, ONE, 0, False, "killed"),
        (-errno.EINVAL, False, [], 0, False, "invalid-argument"),
        (-errno.EBUSY, False, [], 0, False, "busy"),
        (-errno.EINTR, False, [], 0, False, "interrupted"),
        (-errno.EINTR, True, [], 0, False, "interrupted"),
        (None, True, [], 0, False, "no-answer"),
        (None, False, [], 0, False, "no-answer"),
        (2, False, [], 0, False, "unexpected-return"),
        (-1, False, [], 0, False, "unexpected-return"),
    ],
)
def test_verdict(ret, timed_out, killed, group_kills, no_killable, name):
    verdict = judge(result_of(ret, timed_out), killed, group_kills, no_killable)
    assert verdict.name == name
    assert verdict.as_wanted is (bool(killed) and name != "over-kill")
    assert all(task in verdict.reason for task in killed)


def test_a_timeout_is_told_from_a_caller_that_was_killed():
    late, ended = (judge(result_of(-errno.EINTR, late), [], 0, False) for late in (True, False))
    assert "--timeout" in late.reason
    assert "killed" in ended.reason


@pytest.mark.parametrize("ret", [None, 1, 0, -errno.EINVAL, -errno.EBUSY, -errno.EINTR])
def test_every_return_of_the_contract_has_a_meaning_of_its_own(ret):
    others = {None, 1, 0, -errno.EINVAL, -errno.EBUSY, -errno.EINTR, 17} - {ret}
    assert meaning(result_of(ret)) not in {meaning(result_of(other)) for other in others}


@pytest.mark.parametrize("ret", [2, -1, -errno.ENOMEM])
def test_what_is_not_in_the_contract_is_called_so(ret):
    assert meaning(result_of(ret)) == "not in the kfunc's contract"


@pytest.mark.parametrize(
    ("via", "ret", "killed", "no_killable", "name"),
    [
        ("limit", 0, ONE, False, "killed"),
        ("limit", 0, TWO, False, "killed"),  # it kills until the usage is below
        ("limit", 0, [], False, "none-died"),
        ("limit", 0, [], True, "no-killable-task"),
        ("limit", -errno.EBUSY, [], False, "refused"),
        ("sysrq", 0, ONE, False, "killed"),
        ("sysrq", 0, TWO, False, "over-kill"),
        ("sysrq", 0, [], False, "none-died"),
        ("kill", 0, TWO, False, "cgroup-killed"),
        ("kill", 0, [], False, "none-died"),
        ("kill", None, [], False, "no-answer"),
        ("reclaim", 1, ONE, False, "killed"),
    ],
)
def test_triggers_that_are_not_the_kfunc(via, ret, killed, no_killable, name):
    verdict = judge(result_of(ret), killed, 0, no_killable, Circumstances(via=via))
    assert verdict.name == name


def test_no_task_has_to_die():
    spared = judge(replace(result_of(None), spared=True, attempts=3), [], 0, False)
    assert (spared.name, spared.as_wanted) == ("spared", True)
    assert spared.reason == "it was no longer needed after 3 tries"
    at_once = judge(replace(result_of(None), spared=True, attempts=0), [], 0, False)
    assert at_once.reason == "the target used little enough from the start"
    enough = judge(replace(result_of(None), attempts=0, reclaimed=3 << 20), [], 0, False)
    assert enough == Verdict("reclaimed", "memory.reclaim gave back 3M, so no kill was needed")


def test_overall_is_the_first_that_was_not_as_wanted():
    good, last, bad = Verdict("killed", "1"), Verdict("killed", "2"), Verdict("busy", "3")
    assert overall([good, last]) is last
    assert overall([good, bad, last]) is bad


@pytest.mark.parametrize(
    ("ret", "name", "duration"),
    [
        (1, None, 250),
        (0, None, 250),
        (-22, "EINVAL", 250),
        (-16, "EBUSY", 250),
        (-4000, None, 250),
        (-524, "ENOTSUPP", 250),
        (None, None, None),
    ],
)
def test_answer(ret, name, duration):
    assert result_of(ret).errno_name == name
    assert result_of(ret).duration_ns == duration


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Circumstances(in_flight=["pid 5"]), "in-flight victim: pid 5"),
        (Circumstances(marked_only=["a (pid 5)"]), "victim already exiting: a (pid 5)"),
        (Circumstances(caller_marked=True, in_flight=["pid 5"]), "caller dying"),
        (Circumstances(system_wide=True), "OOM notifier"),
        (Circumstances(), "in-flight victim"),
    ],
)
def test_why_a_1_killed_no_task(seen, words):
    verdict = judge(result_of(1), [], 0, False, seen)
    assert verdict.name == "claimed-but-none-died"
    assert verdict.reason.startswith(words) or words in verdict.reason


def test_a_victim_that_the_arithmetic_does_not_name_is_the_wrong_one():
    verdict = judge(result_of(1), ONE, 0, False, Circumstances(expected=["b (pid 6)"]))
    assert verdict.name == "wrong-victim"
    assert not verdict.as_wanted
    assert "a (pid 5)" in verdict.reason
    assert "b (pid 6)" in verdict.reason


def test_a_caller_that_was_killed_comes_first():
    assert (
        judge(result_of(1), ONE, 0, False, Circumstances(caller_killed=True)).name
        == "caller-killed"
    )
