"""Outcomes that never happened, for tests that render or return one."""

import errno
from dataclasses import replace

from oomctl.oom.call import CallResult, Stage
from oomctl.oom.counts import Difference, KillCounts
from oomctl.oom.enums import CountRule, CountSource, Do, Phase
from oomctl.oom.fate import Fate
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import (
    ActionReport,
    CallReport,
    Environment,
    Evidence,
    Outcome,
    Sample,
    TaskReport,
)
from oomctl.oom.plan import Action, After, Call
from oomctl.oom.prediction import Candidate, Prediction
from oomctl.oom.task import Task, badness
from oomctl.oom.timeline import Stamp, Timeline
from oomctl.oom.verdict import Circumstances, judge, overall

M = 1 << 20
TARGET = "/oomctl-4321-9f8e7d"

ENVIRONMENT = Environment(
    oomctl="0.1.0",
    kernel="6.12.95+deb12-amd64",
    machine="x86_64",
    cpus=2,
    memory=2 << 30,
    swap=0,
    page_size=4096,
    kfunc="int bpf_out_of_memory(struct mem_cgroup *memcg__nullable, int order, u64 flags)",
    kfunc_provider="bpf_oom_kfunc",
    kfunc_variant="v3",
    libbpf="1.1",
    oom_score_adj=-1000,
    sysctls={"vm.panic_on_oom": 0, "vm.swappiness": None},
)


def report(ret, *kills, call=None, began=10**9, took=734_512, cgroup_id=4242, **judged):
    call = call or Call(TARGET, 0, 1)
    answer = CallResult(Stage.CALLED, began, began + took, ret)
    names = [f"{kill.comm} (pid {kill.pid})" for kill in kills]
    verdict = judge(answer, names, judged.get("group_kills", 0), judged.get("no_killable", False))
    return CallReport(call, cgroup_id, answer, kills, verdict)


def Kill(pid, comm, rss, cgroup=None):
    return OomKill(10**9, pid, comm, "victim", rss, cgroup=cgroup, traced=True, logged=True)


def hog(pid, name, size, fate="survived", call=None, after=None, adj=0):
    task = Task(pid, name, f"{TARGET}/{name}", adj, size + 8192, 0, 49152, 1.0)
    fate = Fate("oom-killed", signal=9) if fate == "oom-killed" else Fate(fate)
    phase = None if fate.kind == "survived" else Phase.CALL
    return TaskReport(task, name, size, size + 253_952, fate, call, after, phase=phase)


def outcome(*calls, tasks=(), events=None, **more):
    return Outcome(
        environment=ENVIRONMENT,
        calls=calls,
        tasks=tasks,
        events=events or {},
        memory_before=more.get("before", 113 * M),
        memory_after=more.get("after", 49 * M),
        log_lost=more.get("lost", 0),
        verdict=overall([call.verdict for call in calls]),
        notes=more.get("notes", ()),
        samples=more.get("samples", ()),
        top=more.get("top", TARGET),
        counts=more.get("counts"),
        actions=more.get("actions", ()),
    )


def counts(tracing, logged, events, vmstat, *differences):
    numbers = zip(CountSource, (tracing, logged, events, vmstat), strict=True)
    return KillCounts(dict(numbers), tuple(Difference(*each) for each in differences))


COUNTERS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill", "sock_throttled")


def rises(**moved):
    return {TARGET: {name: moved.get(name, 0) for name in COUNTERS}}


DEFAULT_RUN = outcome(
    report(1, Kill(303, "large", 64 * M, f"{TARGET}/large")),
    tasks=(
        hog(301, "small", 16 * M),
        hog(302, "medium", 32 * M),
        hog(303, "large", 64 * M, "oom-killed", 0, 4_812_345),
    ),
    events=rises(oom_kill=1) | {f"{TARGET}/large": {"oom_kill": 1}},
    counts=counts(1, 1, 1, 1),
)

HOSTILE = Task(9, r"a|b`*\x1b", "/else_where|<b>", -5, 3 * M, 0, 4096, 1.0)


# From here on with all evidence: three cgroups, the largest killed, a task outside that shares the
# victim's memory dies with it; then a second declaration that meets the victim in flight.
CALL_AT = 98_000_000_123
US, MS = 1_000, 1_000_000
SHARER = Task(310, "sharer", "/else<where>", 0, 64 * M, 0, 172_032, 2.0)
TREE = (hog(301, "small", 16 * M), hog(302, "medium", 32 * M), hog(303, "large", 64 * M))
LOG = (
    (98_000_201, "large invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
    (98_000_950, f"Tasks state (memory values in pages) of <{TARGET}> & \\udcff\x1b[31m:"),
    (
        98_001_001,
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
        f"oom_memcg={TARGET},task_memcg={TARGET}/large,task=large,pid=303,uid=0",
    ),
    (
        98_001_040,
        "Memory cgroup out of memory: Killed process 303 (large) total-vm:65544kB, "
        "anon-rss:65536kB, file-rss:4kB, shmem-rss:4kB, UID:0 pgtables:168kB oom_score_adj:0",
    ),
)


def predicted(tasks, victims=1, limit=128 * M, close=(), group=None):
    pages = limit // 4096
    ranking = sorted(((badness(t, pages, 4096), t) for t in tasks), key=lambda one: -one[0])
    candidates = tuple(Candidate(t, points) for points, t in ranking)
    excluded = replace(tasks[0], pid=300, comm="exempt", oom_score_adj=-1000)
    return Prediction(
        (*candidates, Candidate(excluded, None, "adj -1000")),
        pages,
        4096,
        tuple(t.pid for _points, t in ranking[:victims]),
        group,
        close,
        tuple((pid,) for pid in close),
    )


def line(start, *stamps):
    return Timeline(tuple(Stamp(name, start + after, *pid) for name, after, *pid in stamps))


def seen(report, victims, logged=None, lost=0):
    logged = frozenset(victims if logged is None else logged)
    agree = None if lost else logged == frozenset(victims)
    return replace(
        report,
        evidence=Evidence("ring buffer", "", frozenset(victims), logged, agree, lost),
    )


def memory(start, end, step=MS):
    """Sample three cgroups and the target: large falls from 64M to nothing after its death."""
    samples = []
    for at in range(start, end, step):
        gone = min(max(at - CALL_AT - 9 * MS, 0) / (20 * MS), 1)
        sizes = {"small": 16 * M, "medium": 32 * M, "large": int(64 * M * (1 - gone))}
        samples.append(Sample(at, TARGET, sum(sizes.values()) + M // 2))
        samples += [Sample(at + 10_000, f"{TARGET}/{name}", size) for name, size in sizes.items()]
    return tuple(samples)


FIRST = replace(
    seen(
        report(
            1,
            Kill(303, "large", 64 * M, f"{TARGET}/large"),
            began=CALL_AT,
            took=8_974_000,
        ),
        [303],
    ),
    kills=(
        Kill(303, "large", 64 * M, f"{TARGET}/large"),
        Kill(310, "sharer", 64 * M, "/else<where>"),
    ),
    collateral=frozenset({310}),
    prediction=predicted([row.task for row in TREE]),
    pressure={"some": 5120, "full": 4096},
    timeline=line(
        CALL_AT,
        ("call", 0),
        ("locked", 14 * US),
        ("marked", 8_790 * US, 303),
        ("killed", 8_801 * US, 303),
        ("killed", 8_833 * US, 310),
        ("unlocking", 8_967 * US),
        ("return", 8_974 * US),
        ("exited", 27 * MS, 303),
        ("exited", 29_400 * US, 310),
        ("unpopulated", 31 * MS),
        ("relieved", 32_200 * US),
    ),
    log=tuple(Record(1200 + n, at, text) for n, (at, text) in enumerate(LOG)),
)
SECOND_AT = CALL_AT + 12 * MS
IN_FLIGHT = replace(
    seen(report(1, began=SECOND_AT, took=31 * US), []),
    verdict=judge(
        CallResult(Stage.CALLED, SECOND_AT, SECOND_AT + 31 * US, 1),
        [],
        0,
        False,
        Circumstances(in_flight=["large (pid 303)"]),
    ),
    prediction=predicted([row.task for row in TREE[:2]]),
    pressure={"some": 0, "full": 0},
    timeline=line(
        SECOND_AT, ("call", 0), ("locked", 9 * US), ("unlocking", 30 * US), ("return", 31 * US)
    ),
)
GROUP = [
    Task(400 + n, f"worker{n}", f"{TARGET}/pool", 0, (8 + n) * M, 0, 49152, 1.0) for n in range(6)
]
REAPED_AT = 5 * 10**9


ACTIONS = (
    ActionReport(
        Action(0, After(), Do.WRITE, f"{TARGET}/small", "", "memory.max", "4096"),
        *(9 * 10**8, 6 * 10**8, 12_000),
    ),
    ActionReport(
        Action(1, After(), Do.REMOVE, f"{TARGET}/medium"),
        10**9,
        7 * 10**8,
        900,
        "it is busy\x1b[2J",
    ),
    ActionReport(Action(1, After(), Do.KILL, hog="small"), 10**9, 7 * 10**8, 345_678),
)

OUTCOMES = {
    "default": DEFAULT_RUN,
    "steps": replace(
        DEFAULT_RUN,
        tasks=(
            replace(DEFAULT_RUN.tasks[0], fate=Fate("killed-by-step", signal=9)),
            *DEFAULT_RUN.tasks[1:],
        ),
        actions=ACTIONS,
        notes=("step 3 was not made: kill medium, after small is marked",),
    ),
    "refused": outcome(
        report(-errno.EINVAL, call=Call(TARGET, 11, 2), took=950),
        tasks=DEFAULT_RUN.tasks[:2],
        events=rises(),
        after=113 * M,
    ),
    "repeated": outcome(
        report(1, Kill(303, "large", 64 * M)),
        report(1, began=2 * 10**9),
        tasks=(hog(301, "small", 16 * M), hog(303, "large", 64 * M, "oom-killed", 0, 98_765)),
        events=rises(oom_kill=1),
        lost=3,
        notes=("something to know",),
    ),
    "group": outcome(
        report(1, Kill(301, "a", M), Kill(302, "b", M), group_kills=1),
        tasks=(hog(301, "a", M, "oom-killed", 0, 10), hog(302, "b", M, "oom-killed", 0, 20)),
        events=rises(oom_kill=3, oom_group_kill=1),
    ),
    "global": outcome(
        report(1, Kill(9, HOSTILE.comm, 3 * M), call=Call(None, 0, 0), cgroup_id=None),
        tasks=(
            TaskReport(HOSTILE, None, None, HOSTILE.footprint, Fate("oom-killed", signal=9), 0, 5),
            TaskReport(replace(HOSTILE, pid=10), None, None, 0, Fate("killed", signal=15)),
            TaskReport(replace(HOSTILE, pid=11), None, None, 0, Fate("exited", status=3)),
            TaskReport(replace(HOSTILE, pid=12), None, None, 0, Fate("gone")),
        ),
        top=None,
        before=None,
        after=None,
    ),
    "unanswered": outcome(
        CallReport(
            Call(TARGET, 0, 1),
            4242,
            late := CallResult(Stage.CALLED, 10**9, 0, None, timed_out=True),
            (),
            judge(late, [], 0, False),
        ),
        events=rises(),
    ),
    "empty": outcome(report(0, no_killable=True), before=0, after=0),
    "observed": outcome(
        FIRST,
        IN_FLIGHT,
        tasks=(
            replace(TREE[0], badness=4110),
            replace(TREE[1], badness=8206),
            replace(hog(303, "large", 64 * M, "oom-killed", 0, 27 * MS), badness=16398),
            TaskReport(
                SHARER, None, None, SHARER.footprint, Fate("oom-killed", signal=9), 0, 29_400_000
            ),
        ),
        events=rises(oom_kill=1) | {f"{TARGET}/large": {"oom_kill": 1}},
        samples=memory(CALL_AT - 40 * MS, CALL_AT + 60 * MS),
    ),
    "reaped": outcome(
        replace(
            seen(
                report(
                    1,
                    *(Kill(t.pid, t.comm, t.rss, t.cgroup) for t in GROUP),
                    began=REAPED_AT,
                    took=3 * MS,
                    group_kills=1,
                ),
                [t.pid for t in GROUP],
                [t.pid for t in GROUP[1:]],
            ),
            prediction=predicted(GROUP, 6, group=f"{TARGET}/pool", close=(404,)),
            timeline=line(
                REAPED_AT,
                ("call", 0),
                ("locked", 3 * US),
                *(("marked", (900 + 10 * n) * US, t.pid) for n, t in enumerate(GROUP)),
                *(("killed", (1000 + 10 * n) * US, t.pid) for n, t in enumerate(GROUP)),
                ("unlocking", 2_990 * US),
                ("return", 3 * MS),
                ("reaper-woken", 2_000 * MS, 405),
                ("reaping", 2_001 * MS, 405),
                ("reaped", 2_009 * MS, 405),
                *(("exited", (2_020 + n) * MS, t.pid) for n, t in enumerate(GROUP)),
            ),
        ),
        tasks=tuple(
            TaskReport(
                t, t.comm, t.rss, t.footprint, Fate("oom-killed", signal=9), 0, (2_020 + n) * MS
            )
            for n, t in enumerate(GROUP)
        ),
        events=rises(oom_kill=7, oom_group_kill=1),
        counts=counts(
            *(6, 6, 7, 7),
            (CountSource.TRACING, 1, CountRule.REPEATED),
            (CountSource.KERNEL_LOG, 1, None),
        ),
        samples=tuple(
            Sample(REAPED_AT + after * MS, TARGET, 63 * M if after < 2_010 else M)
            for after in range(-100, 2_200, 10)
        ),
    ),
    "too-close": outcome(
        replace(
            report(1, Kill(302, "medium", 32 * M)),
            prediction=predicted([row.task for row in TREE[:2]], close=(301,)),
            evidence=Evidence("kernel log", "no BTF", logged=frozenset({301})),
            kills=(Kill(301, "small", 16 * M),),
            timeline=line(10**9, ("call", 0), ("return", 734_512)),
        ),
        tasks=(hog(301, "small", 16 * M, "oom-killed", 0, 5 * MS), hog(302, "medium", 32 * M)),
        events=rises(oom_kill=1),
    ),
    "wrong": outcome(
        replace(
            seen(report(1, Kill(301, "small", 16 * M)), [301]),
            prediction=predicted([row.task for row in TREE]),
            verdict=judge(
                CallResult(Stage.CALLED, 10**9, 10**9 + 734_512, 1),
                ["small (pid 301)"],
                0,
                False,
                Circumstances(expected=["large (pid 303)"]),
            ),
        ),
        tasks=(hog(301, "small", 16 * M, "oom-killed", 0, 5 * MS), *TREE[1:]),
        events=rises(oom_kill=1),
    ),
    "crowded": outcome(
        *(
            seen(report(1, Kill(300 + n, f"hog-{n}", M), took=(n + 1) * MS), [300 + n])
            for n in range(3)
        ),
        *(report(-errno.EBUSY, took=9 * US) for _ in range(6)),
        tasks=tuple(
            hog(300 + n, f"hog-{n}", M, "oom-killed" if n < 3 else "survived", n if n < 3 else None)
            for n in range(4)
        ),
        events=rises(oom_kill=3),
    ),
    "several": outcome(
        *(
            replace(
                report(0, Kill(303, "large", 64 * M), Kill(302, "medium", 32 * M), call=call),
                prediction=predicted([row.task for row in TREE]),
            )
            for call in [
                *(Call(TARGET, order, 0) for order in range(8)),
                Call(f"{TARGET}/large", 0, 0, "limit", 32 * M),
            ]
        ),
        tasks=(TREE[0], *(hog(t.task.pid, t.name, t.size, "oom-killed", 0) for t in TREE[1:])),
        events=rises(oom_kill=2),
    ),
}
