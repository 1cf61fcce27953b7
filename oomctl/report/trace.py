"""An outcome as Chrome trace JSON, which Perfetto and chrome://tracing draw.

Times are CLOCK_MONOTONIC in microseconds, so that other traces of the machine line up.
"""

import json
from collections.abc import Iterator
from typing import Any

from oomctl.outcome import Declared, Outcome
from oomctl.report import rows
from oomctl.text import printable

_PROCESS = 1
_CALLS, _REAPER = 1, 2  # as threads; a victim's thread is its PID, and neither init nor kthreadd is


def render(outcome: Outcome) -> str:
    """Return the object form: a track for the calls, the OOM reaper and each victim; counters."""
    spans = [event for declared in outcome.declared for event in _spans(declared, outcome)]
    target = outcome.top
    counters = [
        {
            "ph": "C",
            "name": f"memory.current {printable(rows.relative(sample.cgroup, target))}",
            "ts": sample.at_ns / 1000,
            "pid": _PROCESS,
            "args": {"bytes": sample.bytes},
        }
        for sample in outcome.samples
    ]
    # at one moment the longer span first: it is the outer one
    timed = sorted([*spans, *counters], key=lambda event: (event["ts"], -event.get("dur", 0)))
    trace = {
        "traceEvents": [*_names(outcome), *timed],
        "displayTimeUnit": "ms",
        "otherData": {
            "verdict": f"{outcome.verdict.name}: {printable(outcome.verdict.reason)}",
            "environment": rows.environment_line(outcome),
            "clock": "CLOCK_MONOTONIC",
        },
    }
    return json.dumps(trace, indent=1) + "\n"


def _names(outcome: Outcome) -> Iterator[dict[str, Any]]:
    tracks = {_CALLS: "calls", _REAPER: "oom_reaper"}
    for declared in outcome.declared:
        tracks |= {kill.pid: f"{printable(kill.comm)} (pid {kill.pid})" for kill in declared.kills}
        for stamp in declared.timeline.stamps:
            if stamp.pid not in (None, declared.answer.caller):
                tracks.setdefault(stamp.pid, f"pid {stamp.pid}")
    name = rows.subject(outcome)
    yield {"ph": "M", "name": "process_name", "pid": _PROCESS, "args": {"name": name}}
    for order, (thread, name) in enumerate(tracks.items()):
        where = {"ph": "M", "pid": _PROCESS, "tid": thread}
        yield {**where, "name": "thread_name", "args": {"name": name}}
        yield {**where, "name": "thread_sort_index", "args": {"sort_index": order}}


def _spans(declared: Declared, outcome: Outcome) -> Iterator[dict[str, Any]]:
    answer, line = declared.answer, declared.timeline
    if answer.ret is not None:
        about = dict(rows.call_rows(declared))
        yield _span("bpf_out_of_memory()", _CALLS, answer.began_ns, answer.ended_ns, **about)
    began = line.stamps[0].at_ns if line.stamps else answer.began_ns
    locked, unlocking = line.after_call("locked"), line.after_call("unlocking")
    if locked is not None and unlocking is not None:
        yield _span("out_of_memory()", _CALLS, began + locked, began + unlocking)
    noticed = {fated.task.pid: fated.died_after_ns for fated in outcome.tasks}
    for pid in [kill.pid for kill in declared.kills]:
        start = line.after_call("killed", pid) or line.after_call("marked", pid) or 0
        end = line.after_call("exited", pid) or noticed.get(pid)
        if end is not None and end >= start:
            yield _span("dying", pid, began + start, began + end)
        reaping, reaped = line.after_call("reaping", pid), line.after_call("reaped", pid)
        if reaping is not None and reaped is not None:
            yield _span("reaping", _REAPER, began + reaping, began + reaped, pid=pid)
    for stamp in line.stamps:
        if stamp.name in ("call", "return") and answer.ret is not None:
            continue  # the ends of the span above
        thread = _CALLS if stamp.pid in (None, answer.caller) else stamp.pid
        yield {
            "ph": "i",
            "s": "t",
            "name": stamp.name,
            "ts": stamp.at_ns / 1000,
            "pid": _PROCESS,
            "tid": thread,
        }


def _span(name: str, thread: int, start: int, end: int, **args: object) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": name,
        "ts": start / 1000,
        "dur": (end - start) / 1000,
        "pid": _PROCESS,
        "tid": thread,
        "args": args,
    }
