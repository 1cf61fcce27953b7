"""An outcome as Chrome trace JSON, which Perfetto and chrome://tracing draw.

Times are CLOCK_MONOTONIC in microseconds, so other traces of the same machine line up.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from oomctl.describe.call_text import call_rows, subject
from oomctl.describe.machine_text import machine_line
from oomctl.oom.as_text import task_name
from oomctl.oom.enums import Moment, Phase, Via
from oomctl.oom.outcome import CallReport, Outcome
from oomctl.oom.paths import relative
from oomctl.text import printable

_PROCESS = 1
_NO_PID = 1 << 22  # include/linux/threads.h, PID_MAX_LIMIT
_WRITES = {
    Via.LIMIT: "write memory.max",
    Via.SYSRQ: "write sysrq-trigger",
    Via.KILL: "write cgroup.kill",
    Via.RECLAIM: "write memory.reclaim, bpf_out_of_memory()",
}
_OF_THE_CALLER = frozenset({Moment.CALL, Moment.LOCKED, Moment.UNLOCKING, Moment.RETURN})


class Track(NamedTuple):
    """The subject of a row of the drawing; a task that calls and dies has two."""

    kind: Literal["caller", "oom_reaper", "task"]
    pid: int = 0


_REAPER = Track("oom_reaper", 2)


@dataclass(frozen=True)
class Span:
    """A duration on a track; times are in ns."""

    track: Track
    name: str
    start: int
    end: int
    args: dict[str, object] = field(default_factory=dict)


def render(outcome: Outcome) -> str:
    """Return the object form: a track for each caller, the OOM reaper and each victim; counters."""
    spans = [span for call in outcome.calls for span in _spans(call, outcome)]
    instants = [instant for call in outcome.calls for instant in _instants(call)]
    instants += _beside(outcome)
    laid = [(lane, span) for lane, span in lanes(spans)]
    used = [(track, 0) for track, _name, _at in instants] + [
        (span.track, lane) for lane, span in laid
    ]
    threads = _threads(used)
    events = [_drawn(span, threads[span.track, lane]) for lane, span in laid]
    events += [_instant(name, threads[track, 0], at) for track, name, at in instants]
    events += _counters(outcome)
    # of spans that begin at the same time the longer one comes first: it is the outer one
    events.sort(key=lambda event: (event["ts"], -event.get("dur", 0)))
    trace = {
        "traceEvents": [*_names(outcome, threads), *events],
        "displayTimeUnit": "ms",
        "otherData": {
            "verdict": f"{outcome.verdict.name}: {printable(outcome.verdict.reason)}",
            "environment": printable(machine_line(outcome.environment)),
            "clock": "CLOCK_MONOTONIC",
        },
    }
    return json.dumps(trace, indent=1) + "\n"


def lanes(spans: Iterable[Span]) -> Iterator[tuple[int, Span]]:
    """Yield each span with a lane of its track in which no other span overlaps it partly.

    Viewers drop a span that begins inside another span and ends after it.
    """
    ends: dict[Track, list[list[int]]] = {}
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        of_track = ends.setdefault(span.track, [])
        for lane in itertools.count():
            if lane == len(of_track):
                of_track.append([])
            still = [end for end in of_track[lane] if end > span.start]
            if not still or span.end <= still[-1]:
                of_track[lane] = [*still, span.end]
                yield lane, span
                break


def _threads(used: Iterable[tuple[Track, int]]) -> dict[tuple[Track, int], int]:
    """Number the tracks, callers first: by PID, unless another track has that number."""
    order = ("caller", "oom_reaper", "task")
    wanted = sorted(dict.fromkeys(used), key=lambda one: (order.index(one[0].kind), one[1] > 0))
    taken = {track.pid for track, _lane in wanted if track.kind != "caller"} | {0}
    free = itertools.count(_NO_PID)
    threads = {}
    for track, lane in wanted:
        alone = lane == 0 and (track.kind != "caller" or track.pid not in taken)
        threads[track, lane] = track.pid if alone else next(free)
    return threads


def _names(outcome: Outcome, threads: dict[tuple[Track, int], int]) -> Iterator[dict[str, Any]]:
    comms = {each.task.pid: each.task.comm for each in outcome.tasks}
    comms |= {kill.pid: kill.comm for call in outcome.calls for kill in call.kills}
    callers = {call.result.caller for call in outcome.calls}
    name = printable(subject(outcome))
    yield {"ph": "M", "name": "process_name", "pid": _PROCESS, "args": {"name": name}}
    for order, ((track, lane), thread) in enumerate(threads.items()):
        match track:
            case Track("oom_reaper"):
                name = "oom_reaper"
            case Track("caller", pid) if pid in callers:
                name = task_name("caller", pid) if pid else "caller"
            case Track(_, pid):
                comm = printable(comms.get(pid, ""))
                name = task_name(comm, pid) if comm else f"pid {pid}"
        name += f" ({lane + 1})" if lane else ""
        where = {"ph": "M", "pid": _PROCESS, "tid": thread}
        yield {**where, "name": "thread_name", "args": {"name": name}}
        yield {**where, "name": "thread_sort_index", "args": {"sort_index": order}}


def _spans(report: CallReport, outcome: Outcome) -> Iterator[Span]:
    result, line = report.result, report.timeline
    caller = Track("caller", result.caller)
    if result.ret is not None:
        about: dict[str, object] = {label: printable(text) for label, text in call_rows(report)}
        name = _WRITES.get(report.call.via, "bpf_out_of_memory()")
        yield Span(caller, name, result.began_ns, result.ended_ns, about)
    began = line.stamps[0].at_ns if line.stamps else result.began_ns
    locked, unlocking = line.after_call(Moment.LOCKED), line.after_call(Moment.UNLOCKING)
    if locked is not None and unlocking is not None:
        invoker = next(stamp.pid for stamp in line.stamps if stamp.name == Moment.LOCKED)
        track = caller if invoker is None else Track("caller", invoker)
        yield Span(track, "out_of_memory()", began + locked, began + unlocking)
    noticed = {each.task.pid: each.died_after_ns for each in outcome.tasks}
    for pid in [kill.pid for kill in report.kills]:
        start = line.after_call(Moment.KILLED, pid) or line.after_call(Moment.MARKED, pid) or 0
        end = line.after_call(Moment.EXITED, pid) or noticed.get(pid)
        if end is not None and end >= start:
            yield Span(Track("task", pid), "dying", began + start, began + end)
        reaping, reaped = line.after_call(Moment.REAPING, pid), line.after_call(Moment.REAPED, pid)
        if reaping is not None and reaped is not None:
            yield Span(_REAPER, "reaping", began + reaping, began + reaped, {"pid": pid})


def _instants(report: CallReport) -> Iterator[tuple[Track, str, int]]:
    result = report.result
    for stamp in report.timeline.stamps:
        if stamp.name in (Moment.CALL, Moment.RETURN) and result.ret is not None:
            continue  # the ends of the span
        if stamp.pid is None:
            yield Track("caller", result.caller), stamp.name, stamp.at_ns
        else:
            kind: Literal["caller", "task"] = "caller" if stamp.name in _OF_THE_CALLER else "task"
            yield Track(kind, stamp.pid), stamp.name, stamp.at_ns


def _beside(outcome: Outcome) -> Iterator[tuple[Track, str, int]]:
    """Yield the kills that no call made, with the exits that tracing saw."""
    for report in outcome.tasks:
        if report.kill and report.phase is not Phase.CALL:
            kill, track = report.kill, Track("task", report.task.pid)
            yield track, Moment.KILLED, kill.at_ns
            if kill.exited_after_ns is not None:
                yield track, Moment.EXITED, kill.at_ns + kill.exited_after_ns


def _counters(outcome: Outcome) -> Sequence[dict[str, Any]]:
    return [
        {
            "ph": "C",
            "name": f"memory.current {printable(relative(sample.cgroup, outcome.top))}",
            "ts": sample.at_ns / 1000,
            "pid": _PROCESS,
            "args": {"bytes": sample.bytes},
        }
        for sample in outcome.samples
    ]


def _drawn(span: Span, thread: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.name,
        "ts": span.start / 1000,
        "dur": (span.end - span.start) / 1000,
        "pid": _PROCESS,
        "tid": thread,
        "args": span.args,
    }


def _instant(name: str, thread: int, at: int) -> dict[str, Any]:
    return {
        "ph": "i",
        "s": "t",
        "name": name,
        "ts": at / 1000,
        "pid": _PROCESS,
        "tid": thread,
    }
