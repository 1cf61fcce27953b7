"""A kernel that does as the model says, beside a model that may have a fault."""

from collections import Counter
from dataclasses import replace

from oomctl.fuzz.hunt import trial_of
from oomctl.fuzz.nominal import nominal, nominal_tasks
from oomctl.fuzz.oracles import Judged, expected_return, is_valid
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.enums import Phase
from oomctl.oom.fate import Fate
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import CallReport, Evidence, TaskReport
from oomctl.oom.paths import is_within
from oomctl.oom.prediction import Candidates
from oomctl.oom.timeline import Stamp, Timeline
from oomctl.oom.verdict import judge
from tests.outcomes import ENVIRONMENT, outcome

LINE = (
    "Memory cgroup out of memory: Killed process {} ({}) total-vm:1kB, anon-rss:1kB, "
    "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
)


class FakeKernel:
    """Runs cases; `model` predicts, the true model kills. `runs` counts."""

    def __init__(self, model=Candidates.predict):
        self.model = model
        self.runs = 0

    def __call__(self, case, _origin):
        self.runs += 1
        return trial_of(self.judged(case))

    def judged(self, case):
        plan = case.plan("/fuzzed")
        tasks = nominal_tasks(plan)
        if case.swap:  # of every second task most is in swap
            tasks = [
                replace(t, rss=t.rss // 4096 // 4 * 4096, swap=t.rss - t.rss // 4096 // 4 * 4096)
                if t.pid % 2
                else t
                for t in tasks
            ]
        left, calls, events = tasks, [], Counter()
        for number, step in enumerate(plan.steps):
            report = self.call(plan, step.call, left, number, events)
            calls.append(report)
            dead = {kill.pid for kill in report.kills}
            left = [task for task in left if task.pid not in dead]
        rises = {
            cgroup: {name: events[cgroup, name] for name in ("oom", "oom_kill", "oom_group_kill")}
            for cgroup in plan.cgroups
        }
        rows = tuple(row(plan, task, calls) for task in tasks)
        found = outcome(*calls, tasks=rows, events=rises, top=plan.top)
        return Judged(plan, found)

    def call(self, plan, call, tasks, number, events):
        given = nominal(plan, call, tasks)
        truth = given.predict() if is_valid(call) else Candidates([], 1, 4096, set()).predict()
        chosen = [task for task in tasks if task.pid in truth.victims]
        memories = {task.memory for task in chosen}
        dead = [task for task in tasks if task.memory in memories]
        for task in chosen:
            for cgroup in plan.cgroups:
                events[cgroup, "oom_kill"] += is_within(home(task, tasks), cgroup)
        group = truth.group if len(chosen) > 0 else None
        for cgroup in plan.cgroups:
            events[cgroup, "oom_group_kill"] += group is not None and is_within(group, cgroup)
        began = 1000 * (number + 1)
        result = CallResult(
            Stage.CALLED, began, began + 100, expected_return(call, bool(dead)), caller=50
        )
        names = [task.comm for task in chosen]
        kills = tuple(
            OomKill(
                began + 10, t.pid, t.comm, "victim" if t in chosen else "sharer", t.rss, traced=True
            )
            for t in dead
        )
        pids = frozenset(task.pid for task in chosen)
        stamps = [Stamp("call", began)]
        stamps += [
            Stamp(moment, began + at, task.pid)
            for at, moment in ((10, "killed"), (20, "marked"), (200, "exited"))
            for task in dead
        ]
        return CallReport(
            call,
            1,
            result,
            kills,
            judge(result, names, int(group is not None), not names),
            Evidence("ring buffer", "", pids, pids, True),
            Timeline(tuple(stamps)),
            self.model(given),
            number,
            collateral=frozenset(task.pid for task in dead) - pids,
            log=tuple(Record(n, n, LINE.format(t.pid, t.comm)) for n, t in enumerate(chosen)),
        )


def home(task, tasks):
    return next((each.cgroup for each in tasks if each.pid == task.memory), task.cgroup)


def row(plan, task, calls):
    hog = next(hog for hog in plan.hogs if hog.label == task.comm)
    for number, call in enumerate(calls):
        for kill in call.kills:
            if kill.pid == task.pid:
                return TaskReport(
                    task, hog.name, hog.size, 0, Fate("oom-killed", signal=9), number,
                    collateral=task.pid in call.collateral, entry=hog.name, kind=hog.kind,
                    phase=Phase.CALL, kill=kill,
                )  # fmt: skip
    return TaskReport(task, hog.name, hog.size, 0, Fate("survived"), entry=hog.name, kind=hog.kind)


class FakeBench:
    """The fake kernel where the command has the machine; a test may give it another model."""

    environment = ENVIRONMENT
    model = Candidates.predict

    def __init__(self, _root, _kfunc):
        self.run = FakeKernel(type(self).model)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
