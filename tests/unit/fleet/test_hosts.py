"""Events of Ansible become states of a host, and those an exit code."""

import json
from functools import reduce

import pytest

from oomctl.fleet.hosts import Host, after, arrived, unfinished, worst
from oomctl.oom.enums import HostPhase

BEGUN = ("runner_on_start", "start", {})
STARTED = ("runner_on_ok", "start", {"stdout": '{"boot": "b1", "kernel": "6.12"}\n', "rc": 0})
LOST = ("runner_on_unreachable", "poll", {"unreachable": True, "msg": "Task failed: no route"})


def lines(*trees):
    return "".join(json.dumps(tree) + "\n" for tree in trees)


def polled(data="", at=0, rc=None, boot="b1", said="", event="runner_retry"):
    answer = {"at": at, "data": data, "rc": rc, "boot": boot, "said": said}
    return event, "poll", {"stdout": f"a banner\r\n{json.dumps(answer)}\r\n", "rc": 0}


def seen(*events):
    return reduce(lambda host, event: after(host, *event), events, Host("m1"))


SUITE = lines({"kind": "suite"}, {"kind": "start", "name": "lock.busy"})
CASE = lines({"kind": "case", "name": "lock.busy", "result": "passed"})


def test_a_host_runs_and_is_done():
    host = seen(STARTED, polled(SUITE), polled(CASE, len(SUITE)))
    assert (host.phase, host.kernel, host.begun) == (HostPhase.RUNNING, "6.12", "lock.busy")
    assert host.counts == {"lock": {"passed": 1}}
    end = polled("", len(SUITE + CASE), rc=1)
    assert (seen(STARTED, end).phase, seen(STARTED, end).code) == (HostPhase.DONE, 1)


@pytest.mark.parametrize(
    "answer", [{"at": "x"}, {"at": 0}, {"boot": 7}, {"error": []}, [], {"at": 0, "data": None}]
)
@pytest.mark.parametrize("task", ["start", "poll", "end"])
def test_an_answer_that_is_not_the_agents_is_none(answer, task):
    result = {"stdout": json.dumps(answer), "rc": 0}
    host = seen(STARTED, ("runner_on_ok", task, result))
    assert (host.counts, host.size, arrived(host, result)) == ({}, 0, b"")


def test_a_host_that_its_own_oomctl_refuses_says_why():
    host = seen(STARTED, polled(rc=3, said="a step\noomctl: another oomctl (pid 7) runs\n"))
    assert (host.phase, host.code) == (HostPhase.REFUSED, 3)
    assert host.reason == "another oomctl (pid 7) runs"


@pytest.mark.parametrize("cut", range(0, len(SUITE + CASE), 7))
def test_a_record_that_comes_in_any_pieces_is_the_same(cut):
    whole = SUITE + CASE
    first, again = polled(whole[:cut]), polled(whole[max(cut - 5, 0) :], max(cut - 5, 0))
    host = seen(STARTED, first, again)
    assert (host.counts, host.size, host.tail) == ({"lock": {"passed": 1}}, len(whole), "")
    part = seen(STARTED, first)
    assert arrived(Host("m1"), first[2]) + arrived(part, again[2]) == whole.encode()


def test_rounds_and_checks_are_counted():
    run = {"kind": "run", "scenario": "soak"}
    rounds = {"kind": "round", "variant": "", "round": 1, "verdict": "killed"}
    host = seen(STARTED, polled(lines(run)))
    assert host.begun == "soak: the first round"
    host = after(host, *polled(lines(rounds), host.size))
    assert (host.counts, host.begun) == ({"rounds": {"killed": 1}}, "rounds: after 1")
    checks = [{"state": "ok", "found": "yes"}, {"state": "missing", "found": "no kfunc"}]
    host = seen(STARTED, polled(lines({"kind": "doctor", "checks": checks}), rc=3))
    assert (host.counts, host.reason) == ({"checks": {"ok": 1, "missing": 1}}, "no kfunc")


@pytest.mark.parametrize("junk", ["{}\n", "[1]\n", "{\n", '{"kind": "case"}\n', "\0\xff\n", "7\n"])
def test_what_is_no_record_is_passed_over(junk):
    host = seen(STARTED, polled(junk))
    assert (host.counts, host.size) == ({}, len(junk))


@pytest.mark.parametrize(
    ("event", "phase", "code", "why"),
    [
        (("runner_on_failed", "refuse", {"msg": "--global needs"}), "refused", 2, "--global"),
        (("runner_on_failed", "start", {"rc": 127}), "refused", 4, "no such Python"),
        (
            ("runner_on_failed", "start", {"rc": 1, "stderr": '{"error": "Python is 3.9"}'}),
            *("refused", 3, "Python is 3.9"),
        ),
        (
            ("runner_on_ok", "start", {"rc": 0, "stdout": '{"error": "it is aarch64"}'}),
            *("refused", 3, "aarch64"),
        ),
        (("runner_on_failed", "start", {"rc": 1, "stderr": "x\nno\n"}), "refused", 4, "no"),
        (("runner_on_unreachable", "start", {"msg": "no route"}), "unreachable", 4, "no route"),
        (
            ("runner_on_unreachable", "start", {"msg": "Failed to create temporary directory."}),
            *("unreachable", 4, "no space"),
        ),
        (
            ("runner_on_failed", "start", {"msg": "Failed to transfer: [Errno 28] No space"}),
            *("refused", 4, "no space, or"),
        ),
    ],
)
def test_a_host_that_cannot_start_says_why_in_a_line(event, phase, code, why):
    host = seen(event)
    assert (host.phase, host.code) == (phase, code)
    assert why in host.reason
    assert "\n" not in host.reason


def test_a_dead_kernel_is_blamed_on_the_case_that_was_begun_last():
    lost = seen(BEGUN, STARTED, polled(SUITE), LOST)
    assert (lost.phase, lost.used) == (HostPhase.LOST, True)
    gone = after(lost, "runner_on_failed", "return", {"msg": "timed out"})
    assert (gone.phase, gone.code) == (HostPhase.KERNEL_DIED, 1)
    assert gone.reason == "begun last: lock.busy; it has not come back"
    back = after(lost, "runner_on_ok", "log", {"stdout": "b2\r\nKernel panic - not syncing\r\n"})
    assert (back.phase, back.log) == (HostPhase.KERNEL_DIED, ("Kernel panic - not syncing",))
    more = polled(CASE + lines({"kind": "start", "name": "lock.wait"}), len(SUITE), -1, "b2")
    rest = after(back, *more)
    assert rest.counts == {"lock": {"passed": 1}}  # of the record on its disk
    assert rest.reason == "begun last: lock.wait; it has booted since"


def test_a_connection_that_was_lost_is_no_dead_kernel():
    lost = seen(STARTED, polled(SUITE), LOST)
    back = after(lost, "runner_on_ok", "log", {"stdout": "b1\nof an earlier boot\n"})
    assert (back.phase, back.log, back.reason) == (HostPhase.RUNNING, (), "")
    host = seen(STARTED, polled(SUITE), ("runner_on_failed", "poll", {"timedout": {}, "msg": "x"}))
    assert host.phase == HostPhase.LOST
    killed = seen(STARTED, polled(SUITE, rc=-1))
    assert (killed.phase, killed.code) == (HostPhase.FAILED, 4)


def test_what_may_be_left_is_told():
    done = seen(STARTED, polled(SUITE, rc=0))
    gone = {"stdout": '{"gone": true}'}
    assert after(done, "runner_on_ok", "end", gone).left == ""
    assert "cannot tell" in after(done, "runner_on_unreachable", "end", {"msg": "no route"}).left
    assert "does not end" in after(done, "runner_on_ok", "end", {"stdout": '{"gone": false}'}).left
    assert seen(BEGUN, STARTED, polled(SUITE, rc=0)).used  # it is done, its folder is still there
    assert not seen(BEGUN, STARTED, polled(SUITE, rc=0), ("runner_on_ok", "end", gone)).used


def test_a_playbook_that_fails_is_told_of_the_hosts_that_were_not_done():
    assert unfinished(seen(STARTED), "a fault").reason == "Ansible: a fault"
    assert unfinished(seen(STARTED, polled(rc=0)), "a fault").reason == ""


@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0], 0), ([0, 3], 3), ([3, 1, 0], 1), ([1, 2], 2), ([0, 4, 1], 4)]
)
def test_the_exit_code_is_that_of_the_worst_host(codes, code):
    assert worst(Host(str(number), code=each) for number, each in enumerate(codes)) == code
