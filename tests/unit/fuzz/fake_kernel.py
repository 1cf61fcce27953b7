"""A kernel that does as its source says, beside a model that may have a fault.

What it did is told by events and log records, as oomctl has it from a kernel.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from oomctl.fuzz.hunt import trial_of
from oomctl.fuzz.nominal import nominal, nominal_tasks
from oomctl.fuzz.oracles import Judged
from oomctl.fuzz.turns import at_step
from oomctl.fuzz.weights import SWITCHES
from oomctl.oom.account import account
from oomctl.oom.attribution import CallObservation, PostRun
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.counts import CounterRises, EventCounter, KillTally
from oomctl.oom.event import Event, EventKind
from oomctl.oom.fate import Death, Fate
from oomctl.oom.fates import fates
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import ActionReport, TaskReport
from oomctl.oom.prediction import Candidates
from oomctl.oom.task import Task
from oomctl.oom.verdict import overall
from tests.outcomes import ENVIRONMENT, outcome
from tests.unit.fuzz.reference import below, choose, mm

CALLER = 50
HEADER = (
    "oomctl-caller invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order={}, oom_score_adj=-1000",
    "CPU: 0 PID: 50 Comm: oomctl-caller Not tainted 6.12.0 #1",
)
CHOSEN = (
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg={},"
    "task_memcg={},task={},pid={},uid=0"
)
KILLED = (
    "Memory cgroup out of memory: Killed process {} ({}) total-vm:1kB, anon-rss:{}kB, "
    "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:{}"
)
GROUP = "Tasks in {} are going to be killed due to memory.oom.group set"
NONE = "Out of memory and no killable processes..."


@dataclass(frozen=True)
class Told(Candidates):
    """Candidates that another model predicts of."""

    model: object = None

    def predict(self, without=()):
        return self.model(self.without(without))


@dataclass
class Run:
    """The state of one run: what is left, counted, logged and seen."""

    plan: object
    left: list
    calls: list = field(default_factory=list)
    counters: Counter = field(default_factory=Counter)
    events: list = field(default_factory=list)
    records: list = field(default_factory=list)
    deaths: dict = field(default_factory=dict)


class FakeKernel:
    """Runs cases; `model` predicts, the reference kills. `runs` counts."""

    def __init__(self, model=Candidates.predict):
        self.model = model
        self.runs = 0

    def __call__(self, case, _origin):
        self.runs += 1
        return trial_of(self.judged(plain(case)))

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
        run = Run(plan, tasks)
        observed = [self.call(run, step.call, n) for n, step in enumerate(plan.steps)]
        after = PostRun(
            run.events,
            {pid: death.at_ns for pid, death in run.deaths.items()},
            lambda _kill, _target: False,
            {}.get,
            sigkilled=frozenset(run.deaths),
            tasks=tasks,
        )
        killed = set()
        for one in observed:
            run.calls.append(account(one, frozenset(one.taken | killed), after))
            killed |= {kill.pid for kill in run.calls[-1].kills}
        killed_by_step = {
            9000 + number: action.hog
            for number, action in enumerate(plan.actions)
            if action.do == "kill"
        }
        run.deaths |= {pid: Death(pid, 500, signal=9) for pid in killed_by_step}
        gone = [Task(pid, name, "/fuzzed", 0, 0, 0, 0, 0.0) for pid, name in killed_by_step.items()]
        rows = fates(
            [row(plan, task) for task in (*tasks, *gone)],
            stranger=lambda task: TaskReport(task, None, None, 0, Fate("survived")),
            find=lambda _pid: None,
            reports=run.calls,
            others=(),
            deaths=run.deaths,
            filled_ns=0,
            sent=frozenset(killed_by_step),
        )
        names = ("oom", "oom_kill", "oom_group_kill")
        rises = {
            cgroup: {name: run.counters[cgroup, name] for name in names} for cgroup in plan.cgroups
        }
        found = outcome(*run.calls, tasks=tuple(rows), events=rises, top=plan.top)
        verdict = overall([call.verdict for call in run.calls])
        made = tuple(ActionReport(action, 500, 500, 0) for action in plan.actions)
        return Judged(plan, replace(found, counts=counts(run), verdict=verdict, actions=made))

    def call(self, run, call, number):
        began, plan = 1000 * (number + 1), at_step(run.plan, number)
        there = {hog.label for hog in plan.hogs}
        tasks = [task for task in run.left if task.comm in there]
        given = nominal(plan, call, tasks)
        done = choose(plan, call, tasks)
        invalid = not (0 <= call.order <= 10 and call.flags in (0, 1))
        ret = -22 if invalid else 0 if call.via == "limit" else int(done.chosen is not None)
        told = () if invalid else log(call, done)
        log_of = tuple(Record(len(run.records) + n, n, text) for n, text in enumerate(told))
        events = () if invalid else tuple(seen(call, done, began))
        for cgroup in run.plan.cgroups:
            for task in done.killed:
                owner = next((t for t in tasks if t.pid == mm(task)), task)
                run.counters[cgroup, "oom_kill"] += below(owner.cgroup, cgroup)
            grouped = done.group is not None and below(done.group, cgroup)
            run.counters[cgroup, "oom_group_kill"] += grouped
        taken = frozenset(run.deaths)
        dead = {task.pid: began + 200 for task in (*done.killed, *done.sharers)}
        run.deaths |= {pid: Death(pid, at, signal=9) for pid, at in dead.items()}
        run.left = [task for task in run.left if task.pid not in dead]
        run.events += events
        run.records += log_of
        return CallObservation(
            call,
            1,
            CallResult(Stage.CALLED, began, began + 100, ret, caller=CALLER),
            tuple(each for each in events if each.kind is not EventKind.EXIT),
            KernelLog(log_of),
            0,
            group_kills=int(done.group is not None),
            candidates=Told(
                given.tasks, given.totalpages, given.page_size, given.groups, model=self.model
            ),
            step=number,
            taken=taken,
            logged=tuple(KillsFromLog().feed(log_of)),
            counted=len(done.killed),
        )


def plain(case):
    """Return a case with one caller and no trigger that this kernel does not have."""
    steps = (
        replace(step, callers=1, call=replace(step.call, via="bpf", amount=None))
        if step.call.via in ("reclaim", "kill")
        else replace(step, callers=1)
        for step in case.steps
    )
    return replace(case, steps=tuple(steps))


def log(call, done):
    """Yield the records of one run of the OOM killer."""
    yield from (line.format(call.order) for line in HEADER)
    if done.chosen is None:
        yield NONE
        return
    first = done.chosen
    yield CHOSEN.format(call.target, first.cgroup, first.comm, first.pid)
    for number, task in enumerate(done.killed):
        yield KILLED.format(task.pid, task.comm, task.rss // 1024, task.oom_score_adj)
        if number == 0 and done.group:
            yield GROUP.format(done.group)


def seen(call, done, began):
    """Yield the events of one run of the OOM killer, and of the end of its victims."""

    def event(kind, at, task=None, **more):
        pid, comm = (task.pid, task.comm) if task else (CALLER, "oomctl-caller")
        home = {"cgroup": task.cgroup} if task else {}
        return Event(kind, began + at, pid, pid, comm, 9, invoker_pid=CALLER, **home, **more)

    where = {"order": call.order, "memcg_id": 1, "memcg": call.target, "constraint": "memcg"}
    yield event(EventKind.OOM_BEGIN, 5, **where)
    for task in done.killed:
        yield event(EventKind.SIGKILL, 10, task, anon=task.rss)
        yield event(EventKind.MARK_VICTIM, 20, task, anon=task.rss)
    for task in done.sharers:
        yield event(EventKind.SIGKILL, 30, task, anon=task.rss)
    yield event(EventKind.OOM_END, 40, **where)
    for task in (*done.killed, *done.sharers):
        yield event(EventKind.EXIT, 200, task, signal=9)


def counts(run):
    """Return the kills as each source counts them."""
    tally = KillTally()
    tally.add_records(run.records, {})
    tally.add_kills([kill for call in run.calls for kill in call.kills])
    kills = run.counters[run.plan.top, "oom_kill"]
    logged = sum("Killed process" in record.text for record in run.records)
    rises = CounterRises(logged, {run.plan.top: EventCounter(0, kills, True)})
    return tally.reconcile(rises, (0, 0), tracing=True, silent=False)


def row(plan, task):
    hog = next(hog for hog in plan.hogs if hog.label == task.comm)
    return TaskReport(task, hog.name, hog.size, 0, Fate("survived"), entry=hog.name, kind=hog.kind)


class FakeBench:
    """The fake kernel where the command has the machine; a test may give it another model."""

    environment = ENVIRONMENT
    model = Candidates.predict

    def __init__(self, _root, _kfunc):
        self.run = FakeKernel(type(self).model)

    def switches(self):
        return SWITCHES[:2]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
