"""An outcome as one HTML page that needs nothing else: no script, no other file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape as escape_html
from importlib.resources import files
from itertools import pairwise

from oomctl.describe.call_text import call_rows, predicted_text, subject
from oomctl.describe.evidence_text import outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.describe.task_text import fate_text
from oomctl.oom.as_text import task_name
from oomctl.oom.enums import FateKind, Moment
from oomctl.oom.outcome import CallReport, Outcome, TaskReport
from oomctl.oom.paths import is_within, relative
from oomctl.oom.prediction import Candidate
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
    Moment.REAPER_WOKEN: "the OOM reaper is told",
    Moment.REAPING: "the OOM reaper begins to take its memory",
    Moment.REAPED: "the OOM reaper is done",
    Moment.REAPING_SKIPPED: "the OOM reaper has nothing to take",
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


def render(outcome: Outcome) -> str:
    """Return the page: what holds for the run, then a section for each declaration."""
    verdict = outcome.verdict
    title = f"{verdict.name}: {subject(outcome)}"
    style = (files("oomctl.report") / "page.css").read_text()
    parts = [
        f"{_BEGIN}{_POLICY}<title>{_escape(title)}</title>\n<style>\n{style}</style>\n</head>",
        f'<body>\n<h1><span class="{"good" if verdict.as_wanted else "bad"}">'
        f"{_escape(verdict.name)}</span></h1>",
        f"<p>{_escape(verdict.reason)}</p>",
        f'<p class="dim">{_escape(_machine(outcome))}</p>',
        *(f"<p>Note: {_escape(remark)}</p>" for remark in outcome_notes(outcome)),
        "<h3>Cgroups and their tasks before the call</h3>",
        _tree(outcome),
        "<h3>What became of the tasks</h3>",
        _table(task_table(outcome)),
    ]
    if outcome.checks:
        parts += ["<h3>What was expected</h3>", _table(checks_table(outcome))]
    if (events := events_table(outcome)).rows:
        headers = ["cgroup", *events.headers[1:]]
        parts += ["<h3>Rise of memory.events</h3>", _table(replace(events, headers=headers))]
    if memory := memory_line(outcome):
        parts.append(f"<p>{_escape(memory)}</p>")
    for index in range(len(outcome.calls)):
        parts += _declaration(outcome, index)
    return "\n".join([*parts, "</body>\n</html>"]) + "\n"


def _escape(text: str) -> str:
    return escape_html(printable(text))


def _machine(outcome: Outcome) -> str:
    env = outcome.environment
    swap = f"{format_size(env.swap)} swap" if env.swap else "no swap"
    size = f"{env.machine}, {env.cpus} CPUs, {format_size(env.memory)} RAM, {swap}"
    sysctls = ", ".join(f"{name} {value}" for name, value in env.sysctls.items() if value)
    return "; ".join(filter(None, [machine_line(env), size, sysctls]))


def _table(table: Table, foot: Iterable[str] = (), raw: str = "") -> str:
    """Return a table; cells of the column named `raw` are HTML already."""

    def cell(tag: str, header: str, text: str, html: bool = False) -> str:
        kind = "number" if header in table.numbers else ""
        kind += " bad" * (text == "oom-killed" or text.startswith("oom-killed "))
        kind = f' class="{kind.strip()}"' if kind.strip() else ""
        return f"<{tag}{kind}>{text if html else _escape(text)}</{tag}>"

    parts = ['<div class="wide"><table><thead><tr>']
    parts += [cell("th", header, header) for header in table.headers]
    parts.append("</tr></thead><tbody>")
    for row in table.rows:
        parts.append("<tr>")
        parts += [cell("td", h, t, h == raw) for h, t in zip(table.headers, row, strict=True)]
        parts.append("</tr>")
    parts.append("</tbody>")
    if foot := list(foot):
        parts += ["<tfoot><tr>"]
        parts += [cell("td", h, t) for h, t in zip(table.headers, foot, strict=True)]
        parts += ["</tr></tfoot>"]
    return "".join([*parts, "</table></div>"])


@dataclass(frozen=True)
class _Node:
    children: dict[str, "_Node"]
    tasks: list[TaskReport]


def _tree(outcome: Outcome) -> str:
    """Draw the target's cgroups as nested lists; those elsewhere stand beside it by their paths."""
    target = outcome.top
    roots: dict[str, _Node] = {}
    if target is not None:
        roots[target] = _Node({}, [])
    sampled = dict.fromkeys(sample.cgroup for sample in outcome.samples)
    tasks = [(fated.task.cgroup, fated) for fated in outcome.tasks]
    for cgroup, fated in [*tasks, *((name, None) for name in (*outcome.moved, *sampled))]:
        if target is not None and cgroup != target and is_within(cgroup, target):
            node = roots[target]
            for name in relative(cgroup, target).split("/")[1:]:
                node = node.children.setdefault(name, _Node({}, []))
        else:
            node = roots.setdefault(cgroup, _Node({}, []))
        if fated is not None:
            node.tasks.append(fated)
    return f'<ul class="tree">{_branches(roots)}</ul>'


def _branches(nodes: Mapping[str, _Node]) -> str:
    parts = []
    for name, node in nodes.items():
        leaves = "".join(f"<li>{_leaf(fated)}</li>" for fated in node.tasks)
        below = leaves + _branches(node.children)
        parts.append(f"<li><code>{_escape(name)}</code>{f'<ul>{below}</ul>' if below else ''}</li>")
    return "".join(parts)


def _leaf(fated: TaskReport) -> str:
    task = fated.task
    asked = f"asked {format_size(fated.asked)}, " if fated.asked is not None else ""
    kind = ' class="bad"' if fated.fate.kind == FateKind.OOM_KILLED else ""
    return (
        f"{_escape(task_name(task.comm, task.pid))}: {asked}charged {format_size(fated.charged)}, "
        f"adj {task.oom_score_adj}, <span{kind}>{_escape(fate_text(fated, None))}</span>"
    )


def _declaration(outcome: Outcome, index: int) -> Iterator[str]:
    declared = outcome.calls[index]
    several = len(outcome.calls) > 1
    number = f" {index + 1} of {len(outcome.calls)}" if several else ""
    kind = "good" if declared.verdict.as_wanted else "bad"
    name = f'<span class="{kind}">{_escape(declared.verdict.name)}</span>'
    yield f"<h2>Declaration{number}: {name}</h2>"
    pressure = ", ".join(
        f"{kind} {format_duration(rise * 1000)}" for kind, rise in declared.pressure.items()
    )
    about = [*call_rows(declared), *([("pressure", pressure)] if pressure else [])]
    yield "<dl>"
    yield from (f"<dt>{_escape(label)}</dt><dd>{_escape(text)}</dd>" for label, text in about)
    yield "</dl>"
    yield from _drawing(outcome, index)
    yield from _timeline(outcome, declared)
    yield from _prediction(declared, outcome.top)
    if declared.log:
        log = "\n".join(f"[{r.time_us / 1e6:12.6f}] {printable(r.text)}" for r in declared.log)
        yield (
            "<h3>Kernel log</h3>"
            f"<details><summary>{counted(len(declared.log), 'record')} during the call</summary>"
            f"<pre>{_escape_lines(log)}</pre></details>"
        )


def _escape_lines(text: str) -> str:
    return "\n".join(_escape(line) for line in text.split("\n"))


def _drawing(outcome: Outcome, index: int) -> Iterator[str]:
    """Draw memory from somewhat before the call to somewhat after its last moment."""
    declared = outcome.calls[index]
    began = declared.result.began_ns
    marks = _marks(outcome, index)
    span = max(max(mark.after_ns for mark in marks), 10_000_000)
    lines = svg.lines(outcome.samples, began, -span // 5, span + span // 5)
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
    yield svg.chart(drawn, marks, -span // 5, span + span // 5, "memory.current over time")


def _marks(outcome: Outcome, index: int) -> list[svg.Mark]:
    """Return the call, its return, what came of it, and a mark for each death."""
    declared = outcome.calls[index]
    line = declared.timeline
    marks = [svg.Mark(0, Moment.CALL)]
    if (took := declared.result.duration_ns) is not None:
        marks.append(svg.Mark(took, Moment.RETURN))
    for stamp in line.stamps:
        if stamp.name in (Moment.UNPOPULATED, Moment.RELIEVED, Moment.REAPING):
            marks.append(svg.Mark(stamp.at_ns - line.stamps[0].at_ns, stamp.name))
    for fated in outcome.tasks:
        if fated.call == index:
            after = line.after_call(Moment.EXITED, fated.task.pid)
            after = fated.died_after_ns if after is None else after
            if after is not None:
                label = f"† {printable(fated.task.comm)}"
                marks.append(svg.Mark(after, label, True, fated.task.cgroup))
    return marks


def _timeline(outcome: Outcome, declared: CallReport) -> Iterator[str]:
    line = declared.timeline
    if len(line.stamps) < 2:
        return
    comms = {candidate.task.pid: candidate.task.comm for candidate in _candidates(declared)}
    comms |= {fated.task.pid: fated.task.comm for fated in outcome.tasks}
    comms |= {kill.pid: kill.comm for kill in declared.kills}
    comms[declared.result.caller] = "caller"
    start = line.stamps[0].at_ns
    cells = []
    for before, stamp in pairwise((line.stamps[0], *line.stamps)):
        who = task_name(comms.get(stamp.pid, "?"), stamp.pid) if stamp.pid else ""
        cells.append(
            [
                stamp.name,
                who,
                format_duration(stamp.at_ns - start),
                format_duration(stamp.at_ns - before.at_ns),
                svg.bar(before.at_ns - start, stamp.at_ns - start, line.whole),
                _MEANINGS.get(stamp.name, ""),
            ]
        )
    headers = ["moment", "task", "after the call", "since the last", "", "meaning"]
    table = Table(headers, cells, frozenset(headers[2:4]))
    yield "<h3>Timeline</h3>"
    yield _table(table, ["whole", "", "", format_duration(line.whole), "", ""], raw="")


def _candidates(declared: CallReport) -> Iterable[Candidate]:
    return declared.prediction.candidates if declared.prediction else ()


def _prediction(declared: CallReport, top: str | None) -> Iterator[str]:
    prediction = declared.prediction
    if prediction is None:
        return
    killed = {kill.pid for kill in declared.kills}
    cells = []
    for candidate in prediction.candidates:
        task = candidate.task
        predicted, died = task.pid in prediction.victims, task.pid in killed
        close = ", close to the first" if task.pid in prediction.close else ""
        cells.append(
            [
                str(task.pid),
                task.comm,
                printable(relative(task.cgroup, top)),
                "-" if candidate.badness is None else f"{candidate.badness}",
                format_size(task.footprint),
                str(task.oom_score_adj),
                candidate.excluded or f"{'should die' if predicted else 'should live'}{close}",
                "killed" if died else "-",
            ]
        )
    headers = ["pid", "comm", "cgroup", "badness (pages)", "footprint", "adj", "predicted", "came"]
    weight = format_size(prediction.totalpages // 1000 * prediction.page_size)
    group = f" memory.oom.group of {prediction.group} takes all of it." if prediction.group else ""
    yield "<h3>Prediction against what came</h3>"
    yield (
        f"<p>{_escape(predicted_text(declared) or '')}.{_escape(group)} "
        f'<span class="dim">badness is rss + swap + page tables, plus {weight} '
        f"for each point of adj (totalpages {prediction.totalpages} / 1000).</span></p>"
    )
    yield _table(Table(headers, cells, frozenset({"pid", *headers[3:6]})))
