"""An outcome as one HTML page that needs nothing else: no script, no other file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape as escape_html
from importlib.resources import files
from itertools import pairwise

from oomctl.describe.call_text import call_rows, predicted_text, subject
from oomctl.describe.evidence_text import counts_text, outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.describe.task_text import fate_text
from oomctl.oom.as_text import task_name
from oomctl.oom.enums import FateKind, Moment
from oomctl.oom.outcome import CallReport, Environment, Outcome, TaskReport
from oomctl.oom.paths import is_within, relative
from oomctl.oom.verdict import Verdict
from oomctl.report import svg
from oomctl.report.outcome_parts import checks_table, events_table, memory_line, task_table
from oomctl.report.parts import Table
from oomctl.text import counted, printable
from oomctl.units import format_duration, format_size

_MEANINGS = {
    Moment.CALL: "the BPF program calls bpf_out_of_memory()",
    Moment.LOCKED: "out_of_memory() is entered: oom_lock is held",
    Moment.MARKED: "the OOM killer marks it as its victim",
    Moment.KILLED: "the OOM killer sends SIGKILL",
    Moment.UNLOCKING: "out_of_memory() is about to return",
    Moment.RETURN: "the kfunc has returned",
    Moment.REAPER_WOKEN: "the OOM reaper is woken",
    Moment.REAPING: "the OOM reaper begins to free its memory",
    Moment.REAPED: "the OOM reaper is done",
    Moment.REAPING_SKIPPED: "the OOM reaper has nothing to free",
    Moment.EXITED: "its last thread has given up its memory",
    Moment.UNPOPULATED: "no process is left in the cgroup",
    Moment.RELIEVED: "memory.current is below what it was",
}
_BEGIN = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
)


END = "</body>\n</html>\n"


def render(outcome: Outcome) -> str:
    """Return the page: what holds for the run, then a section for each call."""
    title = f"{outcome.verdict.name}: {subject(outcome)}"
    parts = [
        head(title).removesuffix("\n"),
        f"<body>\n<h1>{_verdict(outcome.verdict)}</h1>",
        f"<p>{escape(outcome.verdict.reason)}</p>",
        f'<p class="dim">{escape(_machine(outcome.environment))}</p>',
        *(f"<p>Note: {escape(note)}</p>" for note in outcome_notes(outcome)),
        "<h3>Cgroups and their tasks before the call</h3>",
        _tree(outcome),
        "<h3>Fates of the tasks</h3>",
        html_table(task_table(outcome)),
    ]
    if outcome.checks:
        parts += ["<h3>Expectations</h3>", html_table(checks_table(outcome))]
    if (events := events_table(outcome)).rows:
        headers = ["cgroup", *events.headers[1:]]
        parts += ["<h3>Rise of memory.events</h3>", html_table(replace(events, headers=headers))]
    if memory := memory_line(outcome):
        parts.append(f"<p>{escape(memory)}</p>")
    if outcome.counts:
        parts.append(f"<p>Kills: {escape(counts_text(outcome.counts))}</p>")
    for index in range(len(outcome.calls)):
        parts += _call(outcome, index)
    return "\n".join([*parts, END])


def head(title: str) -> str:
    """Return the beginning of a page, before its body."""
    style = (files("oomctl.report") / "page.css").read_text()
    return f"{_BEGIN}{_POLICY}<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"


def escape(text: str) -> str:
    """Return text as HTML; what is not printable is escaped as for a terminal."""
    return escape_html(printable(text))


def _verdict(verdict: Verdict) -> str:
    return f'<span class="{"good" if verdict.as_wanted else "bad"}">{escape(verdict.name)}</span>'


def _machine(environment: Environment) -> str:
    swap = f"{format_size(environment.swap)} swap" if environment.swap else "no swap"
    memory = f"{format_size(environment.memory)} RAM, {swap}"
    size = f"{environment.machine}, {environment.cpus} CPUs, {memory}"
    sysctls = ", ".join(f"{name} {value}" for name, value in environment.sysctls.items() if value)
    return "; ".join(filter(None, [machine_line(environment), size, sysctls]))


def html_table(table: Table, foot: Sequence[str] = (), raw: str | None = None) -> str:
    """Return a table; cells of the column named `raw` are HTML already."""

    def row(tag: str, cells: Sequence[str]) -> str:
        parts = []
        for header, text in zip(table.headers, cells, strict=True):
            classes = ["number"] if header in table.numbers else []
            classes += ["bad"] if text.split(" ")[0] == FateKind.OOM_KILLED else []
            kind = f' class="{" ".join(classes)}"' if classes else ""
            shown = text if header == raw and tag == "td" else escape(text)
            parts.append(f"<{tag}{kind}>{shown}</{tag}>")
        return f"<tr>{''.join(parts)}</tr>"

    rows = "".join(row("td", cells) for cells in table.rows)
    footer = f"<tfoot>{row('td', foot)}</tfoot>" if foot else ""
    return (
        f'<div class="wide"><table><thead>{row("th", table.headers)}</thead>'
        f"<tbody>{rows}</tbody>{footer}</table></div>"
    )


@dataclass(frozen=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    tasks: list[TaskReport] = field(default_factory=list)


def _tree(outcome: Outcome) -> str:
    """Draw the target's cgroups as nested lists; other cgroups stand beside it by their paths."""
    target = outcome.top
    roots: dict[str, _Node] = {target: _Node()} if target is not None else {}
    sampled = dict.fromkeys(sample.cgroup for sample in outcome.samples)
    tasks = [(report.task.cgroup, report) for report in outcome.tasks]
    for cgroup, report in [*tasks, *((name, None) for name in (*outcome.moved, *sampled))]:
        if target is not None and cgroup != target and is_within(cgroup, target):
            node = roots[target]
            for name in relative(cgroup, target).split("/")[1:]:
                node = node.children.setdefault(name, _Node())
        else:
            node = roots.setdefault(cgroup, _Node())
        if report is not None:
            node.tasks.append(report)
    return f'<ul class="tree">{_branches(roots)}</ul>'


def _branches(nodes: Mapping[str, _Node]) -> str:
    parts = []
    for name, node in nodes.items():
        leaves = "".join(f"<li>{_leaf(report)}</li>" for report in node.tasks)
        below = leaves + _branches(node.children)
        parts.append(f"<li><code>{escape(name)}</code>{f'<ul>{below}</ul>' if below else ''}</li>")
    return "".join(parts)


def _leaf(report: TaskReport) -> str:
    task = report.task
    size = f"size {format_size(report.size)}, " if report.size is not None else ""
    kind = ' class="bad"' if report.fate.kind == FateKind.OOM_KILLED else ""
    return (
        f"{escape(task_name(task.comm, task.pid))}: {size}charged {format_size(report.charged)}, "
        f"adj {task.oom_score_adj}, <span{kind}>{escape(fate_text(report, None))}</span>"
    )


def _call(outcome: Outcome, index: int) -> Iterator[str]:
    report = outcome.calls[index]
    of = f" {index + 1} of {len(outcome.calls)}" if len(outcome.calls) > 1 else ""
    yield f"<h2>Call{of}: {_verdict(report.verdict)}</h2>"
    rows = call_rows(report)
    if report.pressure:
        rises = (f"{kind} {format_duration(us * 1000)}" for kind, us in report.pressure.items())
        rows.append(("pressure", ", ".join(rises)))
    yield "<dl>"
    yield from (f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in rows)
    yield "</dl>"
    yield from _chart(outcome, index)
    yield from _timeline(outcome, report)
    yield from _prediction(report, outcome.top)
    if report.log:
        log = (f"[{record.time_us / 1e6:12.6f}] {record.text}" for record in report.log)
        yield (
            "<h3>Kernel log</h3>"
            f"<details><summary>{counted(len(report.log), 'record')} during the call</summary>"
            f"<pre>{chr(10).join(map(escape, log))}</pre></details>"
        )


def _chart(outcome: Outcome, index: int) -> Iterator[str]:
    """Draw memory from shortly before the call to shortly after its last moment."""
    marks = _marks(outcome, index)
    span = max(max(mark.after_ns for mark in marks), 10_000_000)
    start, end = -span // 5, span + span // 5
    lines = svg.lines(outcome.samples, outcome.calls[index].result.began_ns, start, end)
    if not lines:
        return
    drawn = [replace(line, label=printable(relative(line.cgroup, outcome.top))) for line in lines]
    yield '<h3>Memory over time</h3><p class="dim">memory.current of each cgroup; '
    yield '<span class="bad">†</span> is the end of a task, a cross its cgroup at that time</p>'
    legend = "".join(
        f"<li>{svg.swatch(number)}{escape_html(line.label)}</li>"
        for number, line in enumerate(drawn)
    )
    yield f'<ul class="legend">{legend}</ul>'
    yield svg.chart(drawn, marks, start, end, "memory.current over time")


def _marks(outcome: Outcome, index: int) -> list[svg.Mark]:
    """Return marks for the call, its return, moments of its target, and each death."""
    report = outcome.calls[index]
    timeline = report.timeline
    marks = [svg.Mark(0, Moment.CALL)]
    if (took := report.result.duration_ns) is not None:
        marks.append(svg.Mark(took, Moment.RETURN))
    for stamp in timeline.stamps:
        if stamp.name in (Moment.UNPOPULATED, Moment.RELIEVED, Moment.REAPING):
            marks.append(svg.Mark(stamp.at_ns - timeline.stamps[0].at_ns, stamp.name))
    for dead in outcome.tasks:
        if dead.call == index:
            after = timeline.after_call(Moment.EXITED, dead.task.pid)
            after = dead.died_after_ns if after is None else after
            if after is not None:
                label = f"† {printable(dead.task.comm)}"
                marks.append(svg.Mark(after, label, True, dead.task.cgroup))
    return marks


def _timeline(outcome: Outcome, report: CallReport) -> Iterator[str]:
    timeline = report.timeline
    if len(timeline.stamps) < 2:
        return
    candidates = report.prediction.candidates if report.prediction else ()
    comms = {candidate.task.pid: candidate.task.comm for candidate in candidates}
    comms |= {each.task.pid: each.task.comm for each in outcome.tasks}
    comms |= {kill.pid: kill.comm for kill in report.kills}
    comms[report.result.caller] = "caller"
    start = timeline.stamps[0].at_ns
    rows = [
        [
            stamp.name,
            task_name(comms.get(stamp.pid, "?"), stamp.pid) if stamp.pid else "",
            format_duration(stamp.at_ns - start),
            format_duration(stamp.at_ns - before.at_ns),
            svg.bar(before.at_ns - start, stamp.at_ns - start, timeline.whole),
            _MEANINGS.get(stamp.name, ""),
        ]
        for before, stamp in pairwise((timeline.stamps[0], *timeline.stamps))
    ]
    headers = ["moment", "task", "after the call", "since the last", "", "meaning"]
    total = ["total", "", "", format_duration(timeline.whole), "", ""]
    yield "<h3>Timeline</h3>"
    yield html_table(Table(headers, rows, numbers=headers[2:4]), total, raw="")


def _prediction(report: CallReport, top: str | None) -> Iterator[str]:
    prediction = report.prediction
    if prediction is None:
        return
    killed = {kill.pid for kill in report.kills}
    rows = []
    for candidate in prediction.candidates:
        task = candidate.task
        should = "should die" if task.pid in prediction.victims else "should live"
        close = ", close to the first" if task.pid in prediction.close else ""
        rows.append(
            [
                str(task.pid),
                task.comm,
                relative(task.cgroup, top),
                "-" if candidate.badness is None else f"{candidate.badness}",
                format_size(task.footprint),
                str(task.oom_score_adj),
                candidate.excluded or f"{should}{close}",
                "killed" if task.pid in killed else "-",
            ]
        )
    headers = ["pid", "comm", "cgroup", "badness (pages)", "footprint", "adj"]
    numbers = ("pid", *headers[3:])
    weight = format_size(prediction.totalpages // 1000 * prediction.page_size)
    group = f" memory.oom.group of {prediction.group} kills it as a whole." * bool(prediction.group)
    yield "<h3>Prediction and actual victims</h3>"
    yield (
        f"<p>{escape(f'{predicted_text(report)}.{group}')} "
        f'<span class="dim">badness is rss + swap + page tables, plus {weight} '
        f"for each point of adj (totalpages {prediction.totalpages} / 1000).</span></p>"
    )
    yield html_table(Table([*headers, "predicted", "actual"], rows, numbers))
