"""The checks of a plan's expectations against the outcome. Pure.

The name of a check is the same in each round; `why` has what was found.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from oomctl.oom.as_text import returned
from oomctl.oom.enums import FateKind, Moment
from oomctl.oom.outcome import CallReport, Check, Outcome, TaskReport
from oomctl.oom.paths import relative
from oomctl.oom.plan import EVENTS, CallExpect, Expect, Plan
from oomctl.text import counted
from oomctl.units import format_duration

KILLED = (FateKind.OOM_KILLED, FateKind.CGROUP_KILLED)
"""The fates that count as killed; other signals and exits do not."""


def check_outcome(plan: Plan, outcome: Outcome) -> tuple[Check, ...]:
    """Return a check for each expectation of the plan: those of the round, then step by step."""
    checks = list(_of_round(plan, plan.expect, outcome)) if plan.expect else []
    for index, step in enumerate(plan.steps):
        calls = [report for report in outcome.calls if report.step == index]
        checks += _of_step(f"call {index + 1}", step.expect, calls, outcome)
    return tuple(checks)


def _of_round(plan: Plan, expect: Expect, outcome: Outcome) -> Iterator[Check]:
    if expect.verdicts:
        name, verdict = f"verdict is {_or(expect.verdicts)}", outcome.verdict
        yield Check(name, verdict.name in expect.verdicts, f"{verdict.name}: {verdict.reason}")
    killed = [task for task in outcome.tasks if task.fate.kind in KILLED]
    if expect.victims is not None:
        yield from _victims(expect.victims, expect.collateral, killed)
    if expect.survivors:
        yield _survivors(expect.survivors, outcome.tasks)
    if expect.kills is not None:
        yield Check(f"kills: {expect.kills}", len(killed) in expect.kills, f"{len(killed)} died")
    counts = Counter(_bare(returned(report.result.ret)) for report in outcome.calls)
    for value, wanted in expect.returns.items():
        count = counts[_bare(value)]
        yield Check(f"calls returning {_bare(value)}: {wanted}", count in wanted, _times(counts))
    for (cgroup, file), counters in expect.events.items():
        where = "" if cgroup == plan.top else f" of {relative(cgroup, plan.top)}"
        rises = (outcome.events if file == EVENTS else outcome.events_local).get(cgroup, {})
        for counter, wanted in counters.items():
            rise = rises.get(counter)
            passed = None if rise is None else rise in wanted
            why = "not counted" if rise is None else f"it rose by {rise}"
            name = counter if file == EVENTS else f"local {counter}"
            yield Check(f"{name}{where} rises by {wanted}", passed, why)
    for moment, seconds in expect.latency.items():
        yield _latency(moment, seconds, outcome.calls)


def _victims(names: Sequence[str], others: int, killed: Sequence[TaskReport]) -> Iterator[Check]:
    dead = _listed(_name(task) for task in killed)
    if names:
        missing = [name for name in names if not any(_is(task, name) for task in killed)]
        yield Check(f"victims are {', '.join(names)}", not missing, f"killed: {dead}")
    beside = [_name(f) for f in killed if not any(_is(f, name) for name in names)]
    name = f"no {'other ' * bool(names)}task dies"
    if others:
        name = f"at most {others} {'others die' if names else 'die'}"
    yield Check(name, len(beside) <= others, f"killed{' besides' * bool(names)}: {_listed(beside)}")


def _survivors(names: Sequence[str], tasks: Sequence[TaskReport]) -> Check:
    wrong = [f"there is no {name}" for name in names if not any(_is(f, name) for f in tasks)]
    wrong += [
        f"{_name(task)} {task.fate}"
        for task in tasks
        if task.fate.kind != FateKind.SURVIVED and any(_is(task, name) for name in names)
    ]
    why = "; ".join(dict.fromkeys(wrong)) or "all of them live"
    return Check(f"survivors are {', '.join(names)}", not wrong, why)


def _latency(moment: Moment, seconds: float, calls: Sequence[CallReport]) -> Check:
    name = f"{moment} within {format_duration(round(seconds * 1e9))}"
    killing = [report for report in calls if report.kills]
    seen = [report.timeline.after_call(moment) for report in killing]
    known = [after for after in seen if after is not None]
    if not killing:
        return Check(name, None, "no call killed a task")
    if not known:
        return Check(name, None, "that moment was not seen")
    why = f"it came after {format_duration(max(known))}"
    if max(known) > seconds * 1e9:
        return Check(name, False, why)
    if len(known) < len(seen):
        return Check(name, None, f"{why}, but was not seen of every call")
    return Check(name, True, why)


def _of_step(
    call: str, expect: CallExpect, calls: Sequence[CallReport], outcome: Outcome
) -> Iterator[Check]:
    if expect.returns:
        right = {_bare(value) for value in expect.returns}
        counts = Counter(_bare(returned(report.result.ret)) for report in calls)
        name = f"{call} returns {_or(list(map(_bare, expect.returns)))}"
        yield Check(name, bool(calls) and counts.keys() <= right, _times(counts))
    if expect.verdicts:
        verdicts = Counter(str(report.verdict.name) for report in calls)
        right = set(expect.verdicts)
        name = f"{call} has verdict {_or(expect.verdicts)}"
        yield Check(name, bool(calls) and verdicts.keys() <= right, _times(verdicts))
    if expect.victims is not None:
        yield _call_victims(call, expect.victims, calls, outcome)


def _call_victims(
    call: str, names: Sequence[str], calls: Sequence[CallReport], outcome: Outcome
) -> Check:
    """Check the victims of each call; tasks that only share a victim's memory do not count."""
    tasks = {task.task.pid: task for task in outcome.tasks}
    right, found = bool(calls), []
    for report in calls:
        chosen = [tasks[pid] for pid in sorted(report.victims) if pid in tasks]
        strangers = report.victims - tasks.keys()
        right &= not strangers
        right &= all(any(_is(task, name) for name in names) for task in chosen)
        right &= all(any(_is(task, name) for task in chosen) for name in names)
        found += [_name(task) for task in chosen] + ["an unknown task"] * len(strangers)
    name = f"{call} kills {', '.join(names) or 'no task'}"
    return Check(name, right, f"killed: {_listed(found)}" if calls else "the call was not made")


def _is(task: TaskReport, name: str) -> bool:
    return name in (task.name, task.entry)


def _name(task: TaskReport) -> str:
    return task.name or f"{task.task.comm} (not ours)"


def _bare(value: str) -> str:
    return value.removeprefix("-") if value.startswith("-E") else value


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _listed(names: Iterable[str]) -> str:
    """Name tasks, of the same name once: `a, b (3 times)`."""
    counts = Counter(names)
    texts = (name if count == 1 else f"{name} ({count} times)" for name, count in counts.items())
    return ", ".join(texts) or "none"


def _times(counts: Counter[str]) -> str:
    """Say how often each result occurred; a single call has no number."""
    if not counts:
        return "the call was not made"
    if counts.total() == 1:
        return str(next(iter(counts)))
    return ", ".join(f"{name}: {counted(count, 'time')}" for name, count in counts.most_common())
