"""Which hog a task belongs to, and kills that no call made."""

from dataclasses import replace

import pytest

from oomctl.experiment.history import History
from oomctl.experiment.known_tasks import kills_beside
from oomctl.experiment.sources import NOTHING, Batch
from oomctl.experiment.target import Snapshot, TargetState, rises
from oomctl.hog.hogset import RunningHog
from oomctl.oom.fate import Death
from oomctl.oom.kill import OomKill
from oomctl.oom.klog import KernelLog
from oomctl.oom.plan import Call, Hog, Plan, Step
from oomctl.oom.task import Task


def task(pid, comm="f", cgroup="/t/f", **more):
    return Task(pid, comm, cgroup, 0, 0, 0, 0, 0.0, **more)


def snapshot(*hogs, tasks=()):
    running_hogs = {10 + n: RunningHog(hog, 10 + n) for n, hog in enumerate(hogs)}
    return Snapshot(tasks, (), running_hogs, {}, None)


FORKER = Hog("f", 4096, cgroup="/t/f", kind="forker")
SHARED = Hog("s" * 20, 4096, cgroup="/t/s", kind="shared", sharer="/t/b")


@pytest.mark.parametrize(
    ("one", "pid"),
    [
        (task(99), 10),
        (task(99, "s" * 15, "/t/b"), 11),
        (task(99, parent=10), 10),
        (task(99, parent=1), None),  # its parent is known and not a hog
        (task(99, "g"), None),
        (task(99, cgroup="/t"), None),
        (task(99, "s" * 15, "/t/s"), None),
    ],
)
def test_a_child_whose_parent_is_unknown_belongs_to_its_hog(one, pid):
    found = snapshot(FORKER, SHARED).hog_of(one)
    assert (found and found.pid) == pid


def test_a_child_that_may_belong_to_either_hog_belongs_to_none():
    assert snapshot(FORKER, FORKER).hog_of(task(99)) is None


def test_hogs_are_gone_through_once_for_any_number_of_tasks():
    class Hogs(dict):
        gone_through = 0

        def values(self):
            Hogs.gone_through += 1
            return super().values()

    hogs = Hogs({pid: RunningHog(FORKER, pid) for pid in range(1000, 2000)})
    taken = replace(snapshot(), hogs=hogs)
    assert all(taken.hog_of(task(pid, cgroup="/t")) is None for pid in range(1000))
    assert Hogs.gone_through == 1


class OomSources:
    """Sources with one kill in the log."""

    no_tracing_reason = "no tracing"

    def __init__(self, kill):
        self.rounds = [NOTHING, NOTHING, Batch((), KernelLog(), 0, logged=(kill,)), NOTHING]

    def drain(self):
        return self.rounds.pop(0)


class Everywhere:
    """A target that every cgroup is in."""

    def holds(self, _cgroup):
        return True


def test_a_task_that_shares_the_memory_of_a_logged_victim_is_a_kill():
    kill = OomKill(5, 10, "s", "victim", 4096, cgroup="/t/s", memcg="/t", logged=True)
    history = History(OomSources(kill), tuple)
    history.update()
    alone, sharing, living = task(12), task(13, shares=10), task(14, shares=10)
    before = snapshot(tasks=(task(10), alone, sharing, living))
    deaths = {pid: Death(pid, 2**62) for pid in (10, 12, 13)}
    victim, sharer = kills_beside(history, (), Everywhere(), before, deaths)
    assert (victim.pid, victim.role) == (10, "victim")
    assert victim.at_ns > 5  # when the log was read: it has another clock
    assert (sharer.pid, sharer.role, sharer.memcg, sharer.logged) == (13, "sharer", "/t", False)


def test_a_kill_in_an_existing_target_outside_the_tree_counts(cgroupfs):
    steps = (Step(Call("/existing")), Step(Call("/ours/a")))
    target_state = TargetState(Plan((), (), (), steps, top="/ours"), cgroupfs)
    counted = ["/ours", "/ours/b", "/existing", "/existing/below"]
    others = ["/", "/existing2", "/else", None]
    assert [one for one in (*counted, *others) if target_state.holds(one)] == counted


def test_the_counters_of_a_cgroup_that_was_replaced_began_at_0():
    before = {"/t/a": {"oom": 1, "oom_kill": 5}, "/t/b": {"oom": 1}}
    after = {"/t/a": {"oom": 1, "oom_kill": 2}, "/t/b": {"oom": 3}, "/t/c": {"oom": 4}}
    assert rises(before, after) == {
        "/t/a": {"oom": 1, "oom_kill": 2},
        "/t/b": {"oom": 2},
        "/t/c": {"oom": 4},
    }
