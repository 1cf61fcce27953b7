"""Outcomes that never happened, for whoever renders or returns one."""

import errno
from dataclasses import replace

from oomctl.answer import Answer, Stage
from oomctl.evidence import Kill
from oomctl.fate import Fate
from oomctl.outcome import Declared, Environment, Fated, Outcome
from oomctl.plan import Call
from oomctl.task import Task
from oomctl.verdict import judge, overall

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


def declared(ret, *kills, call=None, began=10**9, took=734_512, cgroup_id=4242, **judged):
    call = call or Call(TARGET, 0, 1)
    answer = Answer(Stage.CALLED, began, began + took, ret)
    names = [f"{kill.comm} (pid {kill.pid})" for kill in kills]
    verdict = judge(answer, names, judged.get("group_kills", 0), judged.get("no_killable", False))
    return Declared(call, cgroup_id, answer, kills, verdict)


def hog(pid, name, size, fate="survived", call=None, after=None, adj=0):
    task = Task(pid, name, f"{TARGET}/{name}", adj, size + 8192, 0, 49152, 1.0)
    fate = Fate("oom-killed", signal=9) if fate == "oom-killed" else Fate(fate)
    return Fated(task, name, size, size + 253_952, fate, call, after)


def outcome(*calls, tasks=(), events=None, **more):
    return Outcome(
        environment=ENVIRONMENT,
        declared=calls,
        tasks=tasks,
        events=events or {},
        memory_before=more.get("before", 113 * M),
        memory_after=more.get("after", 49 * M),
        log_lost=more.get("lost", 0),
        verdict=overall([call.verdict for call in calls]),
        notes=more.get("notes", ()),
    )


COUNTERS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill", "sock_throttled")


def rises(**moved):
    return {TARGET: {name: moved.get(name, 0) for name in COUNTERS}}


DEFAULT_RUN = outcome(
    declared(1, Kill(303, "large", 64 * M, f"{TARGET}/large")),
    tasks=(
        hog(301, "small", 16 * M),
        hog(302, "medium", 32 * M),
        hog(303, "large", 64 * M, "oom-killed", 0, 4_812_345),
    ),
    events=rises(oom_kill=1) | {f"{TARGET}/large": {"oom_kill": 1}},
)

HOSTILE = Task(9, r"a|b`*\x1b", "/else_where|<b>", -5, 3 * M, 0, 4096, 1.0)

OUTCOMES = {
    "default": DEFAULT_RUN,
    "refused": outcome(
        declared(-errno.EINVAL, call=Call(TARGET, 11, 2), took=950),
        tasks=DEFAULT_RUN.tasks[:2],
        events=rises(),
        after=113 * M,
    ),
    "repeated": outcome(
        declared(1, Kill(303, "large", 64 * M)),
        declared(1, began=2 * 10**9),
        tasks=(hog(301, "small", 16 * M), hog(303, "large", 64 * M, "oom-killed", 0, 98_765)),
        events=rises(oom_kill=1),
        lost=3,
        notes=("something to know",),
    ),
    "group": outcome(
        declared(1, Kill(301, "a", M), Kill(302, "b", M), group_kills=1),
        tasks=(hog(301, "a", M, "oom-killed", 0, 10), hog(302, "b", M, "oom-killed", 0, 20)),
        events=rises(oom_kill=3, oom_group_kill=1),
    ),
    "global": outcome(
        declared(1, Kill(9, HOSTILE.comm, 3 * M), call=Call(None, 0, 0), cgroup_id=None),
        tasks=(
            Fated(HOSTILE, None, None, HOSTILE.footprint, Fate("oom-killed", signal=9), 0, 5),
            Fated(replace(HOSTILE, pid=10), None, None, 0, Fate("killed", signal=15)),
            Fated(replace(HOSTILE, pid=11), None, None, 0, Fate("exited", status=3)),
            Fated(replace(HOSTILE, pid=12), None, None, 0, Fate("gone")),
        ),
        before=None,
        after=None,
    ),
    "unanswered": outcome(
        Declared(
            Call(TARGET, 0, 1),
            4242,
            late := Answer(Stage.CALLED, 10**9, 0, None, timed_out=True),
            (),
            judge(late, [], 0, False),
        ),
        events=rises(),
    ),
    "empty": outcome(declared(0, no_killable=True), before=0, after=0),
}
