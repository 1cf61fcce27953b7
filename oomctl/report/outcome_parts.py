"""The outcome of one round as parts, for text and for Markdown, and its tables, for HTML too."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from oomctl.describe.call_text import call_rows
from oomctl.describe.evidence_text import counts_text, outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.describe.step_text import action_text
from oomctl.describe.task_text import fate_text
from oomctl.describe.trigger_text import trigger_text
from oomctl.oom.as_text import returned
from oomctl.oom.outcome import CallReport, Outcome, TaskReport
from oomctl.oom.paths import relative
from oomctl.oom.reason import reasons
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text
from oomctl.text import printable
from oomctl.units import format_duration, format_size

_MOST_BLOCKS = 8  # calls that get a block of lines each; more get a row each
_SHARED = ("target", "call", "returned", "evidence")
_YES_NO = {None: "-", True: "yes", False: "NO"}


def render_text(outcome: Outcome, terminal: int | None = None) -> str:
    """Return an outcome as text: at most 80 columns wide if names allow, or as the terminal is."""
    return as_text(_parts(outcome), terminal=terminal)


def render_markdown(outcome: Outcome) -> str:
    """Return an outcome as Markdown, ready to be pasted into a mail or an issue."""
    return as_markdown(_parts(outcome))


def _parts(outcome: Outcome) -> Iterator[Part]:
    if len(outcome.calls) > _MOST_BLOCKS:
        yield Heading(f"{len(outcome.calls)} calls: {outcome.verdict.name}", only_markdown=True)
        yield Lines([*_shared_rows(outcome)])
        yield call_table(outcome)
    else:
        yield from _call_blocks(outcome)
    yield task_table(outcome)
    yield action_table(outcome)
    yield timeline_table(outcome)
    yield events_table(outcome)
    memory = memory_line(outcome)
    lines = [("", memory)] if memory else []
    if outcome.counts:
        lines.append(("", f"kills: {counts_text(outcome.counts)}"))
    lines.append(("", machine_line(outcome.environment)))
    yield Lines([*lines, *(("note", note) for note in outcome_notes(outcome))])
    yield checks_table(outcome)


def _call_blocks(outcome: Outcome) -> Iterator[Part]:
    if not outcome.calls:
        yield Lines([("verdict", f"{outcome.verdict.name}: {outcome.verdict.reason}")])
    several = len(outcome.calls) > 1
    for number, report in enumerate(outcome.calls, 1):
        of = f" {number} of {len(outcome.calls)}" if several else ""
        yield Heading(f"Call{of}: {report.verdict.name}", only_markdown=not several)
        yield Lines(call_rows(report))


def _shared_rows(outcome: Outcome) -> Iterable[tuple[str, str]]:
    """Yield what many calls share, how many returned what, and the verdict of all."""
    rows = [dict(call_rows(report)) for report in outcome.calls]
    for label in _SHARED:
        texts = Counter(row[label] for row in rows)
        if len(texts) == 1:
            yield label, next(iter(texts))
        elif label in ("returned", "evidence"):
            yield from ((label, f"{n} of {len(rows)}: {text}") for text, n in texts.items())
    yield "verdict", f"{outcome.verdict.name} of all: {outcome.verdict.reason}"


def call_table(outcome: Outcome) -> Table:
    """Return many calls, one a row, with target and arguments if these differ."""
    calls = outcome.calls
    columns = {
        "call": [str(number) for number in range(1, len(calls) + 1)],
        "target": _if_different([_target(report, outcome.top) for report in calls]),
        "how": _if_different([trigger_text(report.call) for report in calls]),
        "returned": [returned(report.result.ret) for report in calls],
        "took": [format_duration(report.result.duration_ns) for report in calls],
        "verdict": [report.verdict.name for report in calls],
        "killed": [_killed(report) for report in calls],
        "predicted": [_YES_NO[report.as_predicted] for report in calls],
        "margin": [_margin(report) for report in calls],
    }
    if not any(report.prediction for report in calls):
        del columns["margin"]
    shown = {header: cells for header, cells in columns.items() if cells}
    rows = list(zip(*shown.values(), strict=True))
    return Table([*shown], rows, ("call", "returned", "took", "margin"), ("target", "killed"))


def _if_different(cells: Sequence[str]) -> Sequence[str]:
    return cells if len(set(cells)) > 1 else ()


def _target(report: CallReport, top: str | None) -> str:
    target = report.call.target
    return "NULL" if target is None else relative(target, top)


def _killed(report: CallReport) -> str:
    if len(report.kills) > 1:
        return f"{len(report.kills)} tasks"
    return next((f"{kill.comm}:{kill.pid}" for kill in report.kills), "-")


def _margin(report: CallReport) -> str:
    """Return by how many pages the first victim was above the best of the others."""
    margin = next((reason.margin for reason in reasons(report)), None)
    return "-" if margin is None else str(margin)


def task_table(outcome: Outcome) -> Table:
    """Return the tasks with their fates; cgroups are shown relative to the target."""
    headers = ["pid", "comm", "cgroup", "hog", "size", "charged", "adj", "fate", "died after"]
    rows = [_task_row(task, outcome.top) for task in outcome.tasks]
    if len(outcome.calls) > 1:
        headers.append("call")
        for row, task in zip(rows, outcome.tasks, strict=True):
            row.append("-" if task.call is None else str(task.call + 1))
    numbers = ("pid", "size", "charged", "adj", "died after", "call")
    return Table(headers, rows, numbers, names=("comm", "cgroup", "hog"))


def _task_row(report: TaskReport, top: str | None) -> list[str]:
    task = report.task
    return [
        str(task.pid),
        task.comm,
        relative(task.cgroup, top),
        _hog_name(report),
        format_size(report.size),
        format_size(report.charged),
        str(task.oom_score_adj),
        fate_text(report, top),
        format_duration(report.died_after_ns),
    ]


def _hog_name(report: TaskReport) -> str:
    if report.name is None:
        return "-"
    return report.name if report.kind in (None, "anon") else f"{report.name} ({report.kind})"


def timeline_table(outcome: Outcome) -> Table:
    """Return the moments of a single call; those of several are in JSON."""
    headers = ["moment", "task", "after call", "after last"]
    if len(outcome.calls) != 1 or len(outcome.calls[0].timeline.stamps) < 3:
        return Table(headers, ())
    timeline = outcome.calls[0].timeline
    names = _task_names(outcome, [stamp.pid for stamp in timeline.stamps if stamp.pid])
    rows = [
        [
            stamp.name,
            names[stamp.pid] if stamp.pid else "-",
            format_duration(stamp.at_ns - timeline.stamps[0].at_ns),
            format_duration(gap),
        ]
        for stamp, gap in zip(timeline.stamps, (0, *timeline.parts), strict=True)
    ]
    return Table(headers, rows, numbers=headers[2:], names=("task",))


def _task_names(outcome: Outcome, pids: Iterable[int]) -> dict[int, str]:
    """Name tasks by their comm, with the PID if several have the same one."""
    comms = {report.task.pid: report.task.comm for report in outcome.tasks}
    comms[outcome.calls[0].result.caller] = "caller"
    names = {pid: comms.get(pid, str(pid)) for pid in pids}
    occurrences = Counter(names.values())
    return {pid: f"{name}:{pid}" if occurrences[name] > 1 else name for pid, name in names.items()}


def action_table(outcome: Outcome) -> Table:
    """Return what the steps did, and when since the first hog was started."""
    rows = [
        [
            str(one.action.step + 1),
            action_text(one.action, outcome.top),
            format_duration(one.after_ns),
            format_duration(one.took_ns),
            f"failed: {printable(one.failed)}" if one.failed else "done",
        ]
        for one in outcome.actions
    ]
    headers = ["step", "action", "after start", "took", "result"]
    numbers = ("step", "after start", "took")
    return Table(headers, rows, numbers, names=("action",), prose={"result": 9})


def events_table(outcome: Outcome) -> Table:
    """Return the rises of the target's memory.events, which count its whole subtree."""
    if not outcome.events:
        return Table((), ())
    cgroup, rises = next(iter(outcome.events.items()))
    row = [f"{rise:+d}" if rise else "0" for rise in rises.values()]
    return Table(
        ["memory.events", *rises], [[relative(cgroup, outcome.top), *row]], numbers=[*rises]
    )


def memory_line(outcome: Outcome) -> str | None:
    """Say how memory.current of the counted cgroup changed."""
    if outcome.memory_before is None:
        return None
    before, after = format_size(outcome.memory_before), format_size(outcome.memory_after)
    return f"memory.current {before} before, {after} after"


def checks_table(outcome: Outcome) -> Table:
    """Return what was expected, whether it held, and what was found."""
    words = {None: "untested", True: "yes", False: "NO"}
    rows = [(check.name, words[check.passed], check.why) for check in outcome.checks]
    return Table(["expected", "held", "found"], rows, prose={"expected": 9, "found": 9})
