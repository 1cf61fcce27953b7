"""One row and one fate for every task that ever was."""

from dataclasses import replace

from oomctl.oom.call import CallResult, Stage
from oomctl.oom.enums import Phase
from oomctl.oom.fate import Death, Fate
from oomctl.oom.fates import fates
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport, TaskReport
from oomctl.oom.plan import Call
from oomctl.oom.task import Task
from oomctl.oom.verdict import Verdict

FILLED, BEGAN = 500, 1000
KILLED = Verdict("killed", "")


def kill(pid, at, **more):
    return OomKill(at, pid, f"t{pid}", "victim", 4096, traced=True, logged=True, **more)


def known(pid, failed=""):
    task = Task(pid, f"t{pid}", "/t", 0, 4096, 0, 0, 0.0)
    return TaskReport(
        task, f"hog{pid}", 4096, 4096, Fate("not-filled" if failed else "survived"), failed=failed
    )


def report(*kills, via="bpf", began=BEGAN):
    answer = CallResult(Stage.CALLED, began, began + 100, 1)
    return CallReport(Call("/t", via=via), 3, answer, kills, KILLED)


def told(rows, calls=(), others=(), deaths=(), sent=frozenset()):
    ends = {pid: Death(pid, at, signal=9) for pid, at in deaths}
    stranger = lambda task: TaskReport(task, None, None, 0, Fate("survived"))  # noqa: E731
    found = fates(
        rows,
        stranger=stranger,
        find=lambda _pid: None,
        reports=calls,
        others=others,
        deaths=ends,
        filled_ns=FILLED,
        sent=sent,
    )
    return {one.task.pid: one for one in found}


def test_a_kill_before_the_call_has_a_phase_of_its_own():
    one = told([known(7)], [report()], [kill(7, 300, memcg="/t")], [(7, 310)])[7]
    assert (one.fate.kind, one.phase, one.call) == ("oom-killed", Phase.FILLING, None)
    assert one.kill.memcg == "/t"


def test_a_kill_by_another_oom_after_the_call_began_is_beside_it():
    one = told([known(7)], [report(kill(8, 1010))], [kill(7, 1200)], [(7, 1210), (8, 1020)])
    assert (one[7].fate.kind, one[7].phase) == ("oom-killed", Phase.BESIDE)
    assert (one[8].fate.kind, one[8].phase, one[8].call) == ("oom-killed", Phase.CALL, 0)
    assert one[8].name is None  # born after the look: a row all the same


def test_a_hog_that_failed_and_was_killed_by_a_limit_is_oom_killed():
    one = told([known(7, failed="could not fill")], [], [kill(7, 300)], [(7, 310)])[7]
    assert (one.fate.kind, one.failed) == ("oom-killed", "could not fill")


def test_a_hog_that_failed_by_itself_is_not_filled():
    one = told([known(7, failed="could not fill")], [], [], [(7, 310)])[7]
    assert (one.fate.kind, one.phase, one.kill) == ("not-filled", Phase.FILLING, None)


def test_a_victim_that_has_not_ended_is_dying_and_belongs_to_its_call():
    one = told([known(7)], [report(kill(7, 1010))])[7]
    assert (one.fate.kind, one.phase, one.call, one.died_after_ns) == ("dying", Phase.CALL, 0, None)


def test_a_task_that_ends_by_no_call_is_told_with_the_last_one_before():
    calls = [report(), report(began=2000), report(began=3000)]
    deaths = [(7, 1500), (8, 2500), (9, 3500), (10, 700)]
    one = told([known(pid) for pid in (7, 8, 9, 10)], calls, [], deaths)
    assert {pid: row.call for pid, row in one.items()} == {7: 0, 8: 1, 9: 2, 10: None}
    assert [one[pid].died_after_ns for pid in (7, 8, 9)] == [500, 500, 500]


def test_a_hog_that_a_step_killed_is_not_the_oom_killers_doing():
    one = told([known(7), known(8)], [report()], [], [(7, 1500), (8, 1500)], sent={7})
    assert [str(one[pid].fate) for pid in (7, 8)] == [
        "killed by a step",
        "killed SIGKILL by another process",
    ]
    both = told([known(7)], [report(kill(7, 1010))], [], [(7, 1020)], sent={7})[7]
    assert both.fate.kind == "oom-killed"


def test_what_lives_has_no_phase():
    one = told([known(7)], [report()])[7]
    assert (one.fate.kind, one.phase) == ("survived", None)


def test_cgroup_kill_is_not_the_oom_killers_doing():
    one = told([known(7)], [report(kill(7, 1010), via="kill")], [], [(7, 1020)])[7]
    assert (one.fate.kind, one.phase, one.kill) == ("cgroup-killed", Phase.CALL, None)


def test_a_sharer_that_died_with_a_limits_victim_is_collateral():
    sharer = OomKill(300, 8, "t8", "sharer", 0, traced=True)
    one = told([known(7), known(8)], [], [kill(7, 300), sharer], [(7, 310), (8, 312)])
    assert (one[7].collateral, one[8].collateral) == (False, True)


def test_a_hogs_child_that_was_not_killed_has_ended_with_its_hog():
    child = replace(known(8), task=replace(known(8).task, parent=7), size=None)
    ends = {7: Death(7, 1020, signal=9), 8: Death(8, 1021)}
    found = fates(
        [known(7), child],
        stranger=known,
        find=lambda _pid: None,
        reports=[report(kill(7, 1010))],
        others=[],
        deaths=ends,
        filled_ns=FILLED,
    )
    assert [str(one.fate) for one in found] == ["oom-killed", "ended with its hog"]


def test_a_task_that_died_before_the_call_is_not_put_down_to_it():
    sharer = OomKill(300, 8, "t8", "sharer", 0, traced=True)
    for deaths in ([(7, 310), (8, 312)], [(7, 1500), (8, 1500)]):  # as it ended, or as was noticed
        one = told([], [report()], [kill(7, 300), sharer], deaths)
        assert [(one[p].phase, one[p].call) for p in (7, 8)] == [(Phase.FILLING, None)] * 2
        assert [one[p].died_after_ns for p in (7, 8)] == [None, None]
        assert one[8].collateral


class Counted(tuple):
    """Kills that count how many of them are looked at."""

    looked_at = 0

    def __iter__(self):
        for each in super().__iter__():
            Counted.looked_at += 1
            yield each


def test_the_kills_of_a_call_are_not_looked_through_for_each_task():
    pids = range(2, 102)
    one = report()
    object.__setattr__(one, "kills", Counted(kill(pid, 1010) for pid in pids))
    found = told([known(pid) for pid in pids], [one])
    assert {(each.phase, each.call) for each in found.values()} == {(Phase.CALL, 0)}
    assert Counted.looked_at <= 3 * len(pids)
