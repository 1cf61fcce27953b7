"""What the forms for people share: headers and cells, for a renderer of tables to lay out. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oomctl.oom.as_text import pid_list, returned, target_name, task_name
from oomctl.oom.hogexit import own_end
from oomctl.oom.kill import OomKill
from oomctl.oom.outcome import CallReport, Evidence, Outcome, Phase, TaskReport
from oomctl.oom.paths import relative
from oomctl.oom.plan import CALLER, Call, flag_names
from oomctl.oom.verdict import meaning
from oomctl.text import counted, printable
from oomctl.units import format_duration, format_size

TASK_HEADERS = ("pid", "comm", "cgroup", "hog", "asked", "charged", "adj", "fate", "died after")


@dataclass(frozen=True)
class Table:
    """Headers and rows of text; `numbers` are the columns to be aligned to the right.

    `names` are those of names and paths, which may be shortened on a terminal.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @property
    def alignment(self) -> list[str]:
        """The alignment of each column as tabulate wants it."""
        return ["right" if header in self.numbers else "left" for header in self.headers]


def subject(outcome: Outcome) -> str:
    """Name in a title what the outcome is about."""
    if outcome.calls:
        first = outcome.calls[0]
        return printable(f"OOM on {target_name(first.call.target, first.cgroup_id)}")
    return printable(f"limits of {target_name(outcome.top)}")


def verdict_row(outcome: Outcome) -> tuple[str, str]:
    """Return the verdict of an outcome without a call as label and text."""
    return "verdict", printable(f"{outcome.verdict.name}: {outcome.verdict.reason}")


def call_rows(declared: CallReport) -> list[tuple[str, str]]:
    """Return one declaration as label and text."""
    call, answer = declared.call, declared.result
    rows = [
        ("target", target_name(call.target, declared.cgroup_id)),
        ("call", call_text(call)),
        ("returned", f"{returned(answer.ret)}: {meaning(answer, call.via)}"),
        ("took", f"{format_duration(answer.duration_ns)} {_where(declared)}"),
        ("verdict", f"{declared.verdict.name}: {declared.verdict.reason}"),
    ]
    if predicted := predicted_text(declared):
        rows.append(("predicted", predicted))
    rows.append(("evidence", evidence_text(declared.evidence)))
    return [(label, printable(text)) for label, text in rows]


def call_text(call: Call) -> str:
    """Say what was done to make the OOM killer run, or what came to the same."""
    memcg = "NULL" if call.target is None else "memcg"
    kfunc = f"bpf_out_of_memory({memcg}, order={call.order}, flags={flag_names(call.flags)})"
    amount = "" if call.amount is None else f" by {format_size(call.amount)}"
    match call.via:
        case "limit":
            return f"memory.max written below the usage{amount}"
        case "sysrq":
            return "f written to /proc/sysrq-trigger"
        case "reclaim":
            return f"memory.reclaim{amount}, and if that is not enough {kfunc}"
        case "kill":
            return "1 written to cgroup.kill"
        case _:
            return kfunc


def _where(declared: CallReport) -> str:
    answer = declared.result
    if declared.call.via in ("limit", "sysrq", "kill"):
        return "until the write returned"
    if answer.attempts > 1 or answer.spared:
        return f"in {counted(answer.attempts, 'try', 'tries')} without waiting"
    return "inside the kfunc"


def predicted_text(declared: CallReport) -> str | None:
    """Say who should have died by the kernel's arithmetic, and whether it came so."""
    prediction = declared.prediction
    if prediction is None:
        return None
    comms = {c.task.pid: c.task.comm for c in prediction.candidates}
    names = ", ".join(task_name(comms.get(pid, "?"), pid) for pid in prediction.victims)
    killed = declared.victims
    if prediction.agrees(killed | declared.gone, declared.may_repeat):
        came = "as it came"
    elif not killed:
        came = "but nobody died"
    elif declared.too_close:
        came = "the other was too close to call"
    else:
        dead = ", ".join(task_name(k.comm, k.pid) for k in declared.kills if k.pid in killed)
        came = f"but {dead} died"
    return f"{names or 'nobody'}: {came}"


def evidence_text(evidence: Evidence) -> str:
    """Say who says so, and whether the sources agree."""
    if evidence.source == "wait status":
        return "the end of each process alone: nobody logs what cgroup.kill does"
    if evidence.source == "kernel log":
        why = (
            f", without BPF tracing: {evidence.no_tracing_reason}"
            if evidence.no_tracing_reason
            else ""
        )
        return f"the kernel log alone{why}"
    if evidence.silent:
        programs = ", ".join(evidence.silent)
        return f"the kernel log, and BPF tracing in part: {programs} attached, but silent"
    if evidence.agree is None:
        return f"BPF tracing and kernel log, {counted(evidence.lost, 'event')} lost"
    if evidence.agree:
        return "BPF tracing and kernel log agree"
    seen, logged = pid_list(evidence.seen), pid_list(evidence.logged)
    return f"BPF tracing saw {seen} killed, the kernel log names {logged}"


def timeline_table(outcome: Outcome) -> Table:
    """Return the moments of a single declaration; of several, JSON has them."""
    if len(outcome.calls) != 1 or not outcome.calls[0].timeline.stamps:
        return Table((), ())
    (declared,) = outcome.calls
    line = declared.timeline
    names = _names_of(outcome, [stamp.pid for stamp in line.stamps if stamp.pid])
    rows = [
        [
            printable(stamp.name),
            printable(names[stamp.pid]) if stamp.pid else "-",
            format_duration(stamp.at_ns - line.stamps[0].at_ns),
            format_duration(part),
        ]
        for stamp, part in zip(line.stamps, (0, *line.parts), strict=True)
    ]
    headers = ["moment", "task", "after call", "after last"]
    shown = rows if len(rows) > 2 else ()
    return Table(headers, shown, frozenset(headers[2:]), frozenset({"task"}))


def _names_of(outcome: Outcome, pids: Iterable[int]) -> dict[int, str]:
    """Name the tasks of a single declaration, with the PID where others have the same name."""
    comms = {fated.task.pid: fated.task.comm for fated in outcome.tasks}
    comms[outcome.calls[0].result.caller] = "caller"
    names = {pid: comms.get(pid, str(pid)) for pid in pids}
    occurrences = Counter(names.values())
    return {pid: f"{name}:{pid}" if occurrences[name] > 1 else name for pid, name in names.items()}


def environment_line(outcome: Outcome) -> str:
    """Say which kernel answered, and where it has the kfunc from."""
    env = outcome.environment
    provider = "vmlinux" if env.kfunc_provider == "vmlinux" else f"module {env.kfunc_provider}"
    return printable(
        f"Linux {env.kernel}, kfunc {env.kfunc_variant} from {provider}, oomctl {env.oomctl}"
    )


def task_table(outcome: Outcome) -> Table:
    """Return the table of the dead and the living; cgroups are shown relative to the target."""
    headers = list(TASK_HEADERS)
    rows = [_task_row(fated, outcome.top) for fated in outcome.tasks]
    if len(outcome.calls) > 1:
        headers.append("call")
        for row, fated in zip(rows, outcome.tasks, strict=True):
            row.append("-" if fated.call is None else str(fated.call + 1))
    numbers = frozenset({"pid", "asked", "charged", "adj", "died after", "call"})
    return Table(headers, rows, numbers, frozenset({"comm", "cgroup", "hog"}))


def _task_row(fated: TaskReport, top: str | None) -> list[str]:
    task = fated.task
    cells = [
        str(task.pid),
        task.comm,
        relative(task.cgroup, top),
        _hog_name(fated),
        format_size(fated.asked),
        format_size(fated.charged),
        str(task.oom_score_adj),
        fate_text(fated, top),
        format_duration(fated.died_after_ns),
    ]
    return list(map(printable, cells))


def fate_text(fated: TaskReport, top: str | None) -> str:
    """Name a fate; where no call of ours was it, whose OOM it was."""
    if fated.kind and fated.fate.status is not None:
        return own_end(fated.fate.status) or str(fated.fate)
    why = [] if fated.phase is Phase.CALL or not fated.kill else [_whose(fated.kill, top)]
    why += ["shares memory"] if fated.collateral else []
    return f"{fated.fate} ({', '.join(why)})" if why else str(fated.fate)


def _whose(kill: OomKill, top: str | None) -> str:
    if kill.memcg is None:
        system_wide = kill.constraint not in (None, "memcg")
        return "system-wide OOM" if system_wide else "not by a call"
    place = printable(relative(kill.memcg, top))
    return f"{'call' if kill.invoker_comm == CALLER else 'limit'} of {place}"


def _hog_name(fated: TaskReport) -> str:
    """Name a hog, with its kind where that is not plain memory."""
    if fated.name is None:
        return "-"
    return fated.name if fated.kind in (None, "anon") else f"{fated.name} ({fated.kind})"


def events_table(outcome: Outcome) -> Table:
    """Return the deltas of the target's memory.events, which count its whole subtree."""
    if not outcome.events:
        return Table((), ())
    cgroup, delta = next(iter(outcome.events.items()))
    row = [printable(relative(cgroup, outcome.top))]
    row += [f"{rise:+d}" if rise else "0" for rise in delta.values()]
    headers = ["memory.events", *map(printable, delta)]
    return Table(headers, [row], frozenset(headers[1:]))


def checks_table(outcome: Outcome) -> Table:
    """Return what was expected, whether it held, and what was found."""
    words = {None: "untested", True: "yes", False: "NO"}
    found = [
        [printable(check.name), words[check.passed], printable(check.why)]
        for check in outcome.checks
    ]
    return Table(["expected", "held", "found"], found)


def memory_line(outcome: Outcome) -> str | None:
    """Say how memory.current of the counted cgroup changed."""
    if outcome.memory_before is None:
        return None
    before, after = format_size(outcome.memory_before), format_size(outcome.memory_after)
    return f"memory.current {before} before, {after} after"


def remarks(outcome: Outcome) -> Iterable[str]:
    """Return what limits the word of this report."""
    return map(printable, _remarks(outcome))


def _remarks(outcome: Outcome) -> Iterable[str]:
    if outcome.log_lost:
        what = "event or record of the kernel log was overwritten before it was read"
        them = "events or records of the kernel log were overwritten before they were read"
        yield f"{counted(outcome.log_lost, what, them)}; a kill may be missing"
    if outcome.failure:
        yield f"not carried out to its end: {outcome.failure}"
    for fated in outcome.tasks:
        if fated.kill and fated.phase is not Phase.CALL:
            yield _story(fated)
        if fated.failed:
            yield f"the hog '{fated.name}' {fated.failed}"
        elif fated.filled and fated.filled.lost_bytes:
            behind = format_size(fated.filled.lost_bytes)
            yield f"the hog '{fated.name}' fell behind its rate by {behind}"
        if fated.holds and fated.holds.differs:
            yield f"the hog '{fated.name}' {fated.holds.differs}"
    yield from outcome.notes


def _story(fated: TaskReport) -> str:
    """Tell of a kill that no call made: when, of which cgroup's OOM, and who ran into it."""
    assert fated.kill is not None  # noqa: S101
    kill = fated.kill
    when = "while the hogs filled" if fated.phase is Phase.FILLING else "beside the calls"
    whose = _whose(kill, None)
    invoker = ""
    if kill.invoker_pid:
        invoker = f", invoked by {task_name(kill.invoker_comm or '?', kill.invoker_pid)}"
    name = fated.name or fated.task.comm
    return f"{task_name(name, fated.task.pid)} was killed {when} ({whose}){invoker}"


def machine(environment: Mapping[str, Any]) -> str:
    """Say which kernel answered, and where it has the kfunc from."""
    kfunc = environment.get("kfunc")
    kfunc = kfunc if isinstance(kfunc, dict) else {}
    provider = kfunc.get("provider", "?")
    where = provider if provider == "vmlinux" else f"module {provider}"
    return printable(
        f"Linux {environment.get('kernel', '?')}, kfunc {kfunc.get('variant', '?')} from {where}, "
        f"oomctl {environment.get('oomctl', '?')}"
    )
