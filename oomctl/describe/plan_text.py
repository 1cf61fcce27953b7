"""A plan as `--dry-run` prints it: what is made, written and called, in order."""

import textwrap
from collections.abc import Iterator

from oomctl.describe.step_text import action_text, after_text
from oomctl.describe.trigger_text import stall_text
from oomctl.oom.as_text import kfunc_text
from oomctl.oom.enums import Until, Via
from oomctl.oom.plan import EVENTS, CallExpect, Expect, Hog, Plan, Setting, Step
from oomctl.text import counted
from oomctl.units import format_duration, format_size

INDENT = " " * 8

_FILLED_WITH = {
    "file": "of page cache",
    "shmem": "of shared memory",
    "hugetlb": "of huge pages",
    "mlock": "of locked memory",
    "pipe": "of pipe buffers",
    "socket": "of socket buffers",
    "slab": "of dentries and inodes",
}
_UNTIL = {Until.FREED: "then wait for its memory only", Until.RETURNED: "then continue at once"}


def describe(plan: Plan) -> list[str]:
    """Return what would be made, written and called, in order."""
    lines = [f"sysctl  {one.name} = {one.value}, restored at the end" for one in plan.sysctls]
    lines += [_write(s) for s in plan.settings if s.cgroup not in plan.cgroups]
    for cgroup in plan.cgroups:
        lines.append(f"mkdir   {cgroup}")
        lines += [_write(s) for s in plan.settings if s.cgroup == cgroup]
    for hog in plan.hogs:
        lines += _hog(hog, hog.name in plan.late)
    for step in plan.steps:
        lines += _step(step)
    if not plan.steps:
        lines.append("no call: limits alone")
    for action in plan.actions:
        may_fail = "; it may fail" * action.may_fail
        lines += _entry(
            "step", f"{action_text(action)}, after {after_text(action.after)}{may_fail}"
        )
    if plan.expect:
        for each in _expected(plan.expect, plan.top or ""):
            lines += _entry("expect", each)
    if plan.cgroups or plan.hogs:
        lines.append("keep    hogs and cgroups" if plan.keep else "remove  hogs and cgroups")
    return lines


def _entry(what: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{what:<8}{text}",
        80,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _write(setting: Setting) -> str:
    return f"write   {setting.cgroup.rstrip('/')}/{setting.file} = {setting.value}" + (
        " (if the kernel has it)" if setting.optional else ""
    )


def _hog(hog: Hog, late: bool) -> list[str]:
    memory = _FILLED_WITH.get(hog.kind, "of anonymous memory")
    first = (
        f"hog     {hog.name}: {format_size(hog.size)} {memory} in {hog.cgroup}, "
        f"oom_score_adj {hog.oom_score_adj}"
    )
    more = "; ".join([*_properties(hog), *(["started by a step"] if late else [])])
    return [first, *(_entry("", more) if more else ())]


def _properties(hog: Hog) -> Iterator[str]:
    """Yield the properties of a hog that are not the default."""
    if hog.comm:
        yield f"its comm is {hog.comm}"
    match hog.kind:
        case "threads":
            leader = ", without their leader, which exits" if hog.leader_exits else ""
            yield counted(hog.tasks, "thread") + leader
        case "forker":
            yield f"{counted(hog.tasks, 'child', 'children')}, each replaced when it ends"
        case "shared":
            yield f"shared with a process in {hog.sharer}"
        case "stopped":
            yield "stopped"
        case "traced":
            yield f"held by a tracer for {_time(hog.hold)} when it exits"
    if hog.path:
        yield f"read from {hog.path}"
    if hog.thp:
        yield "transparent huge pages"
    if hog.rate is not None:
        yield f"filled at {format_size(hog.rate)}/s"
    if hog.working_set:
        yield f"{format_size(hog.working_set)} touched again and again"
    if hog.may_fail:
        yield "it may fail"


def _step(step: Step) -> list[str]:
    lines = [f"call    {_trigger(step)}"]
    if step.call.target is None:
        lines += _entry("", "on the whole MACHINE: its largest task dies, be it a hog or not")
    if more := ", ".join(_conditions(step)):
        lines += _entry("", more)
    for each in _expected_of_call(step.expect):
        lines += _entry("", f"expect {each}")
    return lines


def _trigger(step: Step) -> str:
    call = step.call
    times = f", {step.repeat} times" if step.repeat > 1 else ""
    kfunc = kfunc_text(call, "NULL" if call.target is None else f"memcg of {call.target}")
    amount = "a little" if call.amount is None else format_size(call.amount)
    match call.via:
        case Via.LIMIT:
            return f"write {call.target}/memory.max = its usage less {amount}{times}"
        case Via.SYSRQ:
            return f"write /proc/sysrq-trigger = f{times}"
        case Via.RECLAIM:
            return f"write {call.target}/memory.reclaim = {amount}, else {kfunc}{times}"
        case Via.PSI:
            return f"await {call.target}/memory.pressure: {stall_text(call)}, then {kfunc}{times}"
        case Via.KILL:
            return f"write {call.target}/cgroup.kill = 1{times}"
    return f"{kfunc}{times}"


def _conditions(step: Step) -> Iterator[str]:
    if step.callers > 1:
        yield f"by {step.callers} callers at once"
    if step.delay:
        yield f"{_time(step.delay)} after the step before"
    if step.recheck:
        yield (
            f"tried every {_time(step.recheck.every)} while it uses more than "
            f"{format_size(step.recheck.above)}"
        )
    if step.until in _UNTIL:
        yield _UNTIL[step.until]


def _expected_of_call(expect: CallExpect) -> Iterator[str]:
    if expect.returns:
        yield f"to return {' or '.join(expect.returns)}"
    if expect.verdicts:
        yield f"verdict {' or '.join(expect.verdicts)}"
    if expect.victims is not None:
        yield f"to kill {', '.join(expect.victims) or 'no task'}"


def _expected(expect: Expect, top: str) -> Iterator[str]:
    if expect.verdicts:
        yield f"verdict {' or '.join(expect.verdicts)}"
    if expect.victims is not None:
        others = "no other task" if expect.victims else "no task"
        if expect.collateral:
            others = f"at most {counted(expect.collateral, 'other' if expect.victims else 'task')}"
        yield f"{', '.join([*expect.victims, others])} to die"
    if expect.survivors:
        yield f"{', '.join(expect.survivors)} to live"
    if expect.kills is not None:
        yield f"{expect.kills} to die"
    for value, count in expect.returns.items():
        times = "time" if str(count).split()[-1] == "1" else "times"
        yield f"{value} to be returned {count} {times}"
    for (cgroup, file), counters in expect.events.items():
        where = "" if cgroup == top else f" of {cgroup}"
        local = "" if file == EVENTS else "local "
        yield from (f"{local}{each}{where} to rise by {rise}" for each, rise in counters.items())
    for moment, seconds in expect.latency.items():
        yield f"{moment} within {_time(seconds)} of the call"


def _time(seconds: float) -> str:
    return format_duration(round(seconds * 1e9))
