from oomctl.oom.event import Event, EventKind
from oomctl.oom.kill import KillsFromEvents
from oomctl.oom.klog import KillsFromLog
from oomctl.oom.log.logrecord import Record

CALLER, BIG, OTHER = 100, 7, 8


def event(kind, at, tgid=BIG, pid=None, **more):
    if kind in (EventKind.OOM_BEGIN, EventKind.OOM_END):
        return Event(kind, at, CALLER, CALLER, "caller", 1, **{"order": 3, "memcg_id": 28} | more)
    if kind is EventKind.EXIT:
        return Event(kind, at, tgid, tgid, "hog", 30, signal=9)
    return Event(
        kind,
        at,
        pid or tgid,
        tgid,
        "hog",
        30,
        anon=4096,
        invoker_pid=CALLER,
        invoker_comm="caller",
        **more,
    )


BEGIN = event(EventKind.OOM_BEGIN, 10)
END = event(EventKind.OOM_END, 50, constraint="memcg")


def test_a_kill_is_told_when_its_victim_has_ended():
    tracing = KillsFromEvents()
    assert (
        tracing.feed([BEGIN, event(EventKind.SIGKILL, 20), event(EventKind.MARK_VICTIM, 21), END])
        == []
    )
    (seen,) = tracing.feed([event(EventKind.EXIT, 90)])
    assert (seen.pid, seen.comm, seen.role, seen.rss) == (BIG, "hog", "victim", 4096)
    assert (seen.invoker_pid, seen.invoker_comm, seen.invoker_cgroup_id) == (CALLER, "caller", 1)
    assert (seen.order, seen.constraint, seen.memcg_id, seen.cgroup_id) == (3, "memcg", 28, 30)
    assert (seen.at_ns, seen.exited_after_ns) == (21, 69)
    assert tracing.feed([event(EventKind.EXIT, 95)]) == []


def test_a_task_that_is_marked_before_it_gets_the_signal_is_a_victim():
    events = [BEGIN, event(EventKind.MARK_VICTIM, 20), event(EventKind.SIGKILL, 21), END]
    (seen,) = KillsFromEvents().feed([*events, event(EventKind.EXIT, 90)])
    assert (seen.role, seen.at_ns) == ("victim", 20)


def test_a_victim_that_ends_before_the_oom_killer_does_still_gets_the_constraint():
    tracing = KillsFromEvents()
    hit = [
        BEGIN,
        event(EventKind.SIGKILL, 20),
        event(EventKind.MARK_VICTIM, 21),
        event(EventKind.EXIT, 40),
    ]
    assert tracing.feed(hit) == []
    (seen,) = tracing.feed([END])
    assert (seen.constraint, seen.exited_after_ns) == ("memcg", 19)


def test_a_group_kill_hits_its_first_victim_twice_and_tells_of_it_once():
    events = [BEGIN]
    for at, tgid in ((20, BIG), (24, BIG), (28, OTHER)):
        events += [event(EventKind.SIGKILL, at, tgid), event(EventKind.MARK_VICTIM, at + 1, tgid)]
    events += [END, event(EventKind.EXIT, 60, OTHER), event(EventKind.EXIT, 70, BIG)]
    assert [(seen.pid, seen.at_ns) for seen in KillsFromEvents().feed(events)] == [
        (OTHER, 29),
        (BIG, 21),
    ]


def test_a_task_that_shares_the_memory_is_killed_but_not_marked():
    events = [BEGIN, event(EventKind.SIGKILL, 20), event(EventKind.MARK_VICTIM, 21)]
    events += [event(EventKind.SIGKILL, 30, OTHER), END]
    events += [event(EventKind.EXIT, 60, OTHER), event(EventKind.EXIT, 61, BIG)]
    seen = KillsFromEvents().feed(events)
    assert [(each.pid, each.role) for each in seen] == [(OTHER, "sharer"), (BIG, "victim")]


def test_a_sharer_that_the_next_oom_only_marks_stays_a_sharer():
    events = [BEGIN, event(EventKind.SIGKILL, 20), event(EventKind.MARK_VICTIM, 21)]
    events += [event(EventKind.SIGKILL, 30, OTHER), END, event(EventKind.EXIT, 55)]
    events += [event(EventKind.OOM_BEGIN, 60), event(EventKind.MARK_VICTIM, 61, OTHER)]
    events += [event(EventKind.OOM_END, 62, constraint="memcg"), event(EventKind.EXIT, 70, OTHER)]
    seen = KillsFromEvents().feed(events)
    assert [(each.pid, each.role, each.at_ns) for each in seen] == [
        (BIG, "victim", 21),
        (OTHER, "sharer", 30),
    ]


def test_an_exiting_task_is_marked_but_gets_no_signal():
    (seen,) = KillsFromEvents().feed(
        [BEGIN, event(EventKind.MARK_VICTIM, 21), END, event(EventKind.EXIT, 60)]
    )
    assert seen.role == "exiting"


def test_the_thread_that_is_marked_may_be_another_than_the_process():
    hit = [event(EventKind.SIGKILL, 20, pid=71), event(EventKind.MARK_VICTIM, 21, pid=71)]
    (seen,) = KillsFromEvents().feed([BEGIN, *hit, END, event(EventKind.EXIT, 60)])
    assert (seen.pid, seen.exited_after_ns) == (BIG, 39)


def test_patience_ends():
    tracing = KillsFromEvents()
    tracing.feed([BEGIN, event(EventKind.SIGKILL, 20), event(EventKind.MARK_VICTIM, 21), END])
    assert tracing.overdue(21) == []
    (seen,) = tracing.overdue(22)
    assert seen.exited_after_ns is None
    assert tracing.overdue(99) == []
    assert tracing.feed([event(EventKind.EXIT, 60)]) == []


def test_an_end_that_the_oom_killer_has_no_part_in_is_left_out():
    assert KillsFromEvents().feed([event(EventKind.EXIT, 60)]) == []


def test_without_the_frame_the_rest_is_told():
    """Where out_of_memory() cannot be attached to, only marks and ends are seen."""
    (seen,) = KillsFromEvents().feed([event(EventKind.MARK_VICTIM, 21), event(EventKind.EXIT, 60)])
    assert (seen.order, seen.constraint, seen.exited_after_ns) == (None, None, 39)


def test_a_second_oom_by_the_same_task_does_not_claim_the_first_ones_victims():
    tracing = KillsFromEvents()
    tracing.feed([BEGIN, event(EventKind.SIGKILL, 20), event(EventKind.MARK_VICTIM, 21), END])
    tracing.feed(
        [event(EventKind.OOM_BEGIN, 52, order=0), event(EventKind.OOM_END, 55, constraint="none")]
    )
    (seen,) = tracing.feed([event(EventKind.EXIT, 60)])
    assert (seen.order, seen.constraint) == (3, "memcg")


def records(*texts):
    return [Record(number, 1000 + number, text) for number, text in enumerate(texts)]


KILLED = (
    "Memory cgroup out of memory: Killed process {} (hog) total-vm:9kB, anon-rss:4kB, "
    "file-rss:8kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
)


def test_the_log_tells_the_same_but_for_the_end():
    seen = KillsFromLog().feed(
        records(
            "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=2, oom_score_adj=0",
            "CPU: 1 UID: 0 PID: 166 Comm: python3 Not tainted 6.12 #1",
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            "oom_memcg=/a,task_memcg=/a/b,task=hog,pid=7,uid=0",
            KILLED.format(7),
            KILLED.format(8),
        )
    )
    assert [(each.pid, each.cgroup) for each in seen] == [(7, "/a/b"), (8, None)]
    first = seen[0]
    assert (first.invoker_comm, first.invoker_pid) == ("python3", 166)
    assert (first.order, first.constraint, first.rss) == (2, "memcg", 12 << 10)
    assert (first.at_ns, first.exited_after_ns) == (1003000, None)


def test_a_report_that_was_limited_leaves_gaps():
    (seen,) = KillsFromLog().feed(records(KILLED.format(7)))
    assert (seen.invoker_comm, seen.order, seen.memcg, seen.cgroup) == (None,) * 4
    assert seen.constraint == "memcg"  # its own record says so


def test_a_group_kill_is_told_once_for_each_member_and_with_its_cgroup():
    seen = KillsFromLog().feed(
        records(
            "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=2, oom_score_adj=0",
            "CPU: 1 UID: 0 PID: 166 Comm: python3 Not tainted 6.12 #1",
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            "oom_memcg=/a,task_memcg=/a/b,task=hog,pid=7,uid=0",
            KILLED.format(7),
            "Tasks in /a are going to be killed due to memory.oom.group set",
            KILLED.format(7),
            KILLED.format(8),
        )
    )
    assert [(each.pid, each.cgroup, each.memcg, each.group) for each in seen] == [
        (7, "/a/b", "/a", "/a"),
        (8, "/a", "/a", "/a"),
    ]


def test_the_log_of_one_oom_says_nothing_of_the_next():
    reading = KillsFromLog()
    reading.feed(records("a invoked oom-killer: gfp_mask=0x0, order=1", "CPU: 0 PID: 5 Comm: a x"))
    (seen,) = reading.feed(
        records("b invoked oom-killer: gfp_mask=0x0, order=-1", KILLED.format(7))
    )
    assert (seen.invoker_comm, seen.invoker_pid, seen.order) == ("b", None, -1)
