"""Results as JSON: a round, runs, findings of doctor.

The schemas beside this file describe them. run-schema.json refers to schema.json by `$ref`, which a
validator resolves if it knows both files by their names; docs/rounds.md shows how.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oomctl import __version__, commandline
from oomctl.doctor import Examination, Finding
from oomctl.oom import as_json
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.outcome import Outcome
from oomctl.report.rows import as_csv
from oomctl.rounds.lines import header_line
from oomctl.rounds.run import Section
from oomctl.rounds.statistics import NEVER, Statistics, wilson
from oomctl.text import printable


def render_outcome(outcome: Outcome) -> str:
    """Return an outcome as one object (schema.json)."""
    return _object(as_json.tree(outcome))


def render_kept(outcome: Outcome) -> str:
    """Return the same in one line: json has C for that, and Python for an indent, which is slow."""
    return f"{json.dumps(as_json.tree(outcome))}\n"


def render_outcome_lines(outcome: Outcome) -> str:
    """Return a line for each call with the tasks that died of it (schema.json, $defs/line)."""
    lines = [
        {
            "schema": SCHEMA,
            "environment": as_json.environment(outcome.environment),
            "index": index,
            "call": as_json.call(call, outcome.top),
            "tasks": [
                as_json.task(task, outcome.top) for task in outcome.tasks if task.call == index
            ],
            "verdict": call.verdict.name,
            "reason": call.verdict.reason,
        }
        for index, call in enumerate(outcome.calls)
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def render_runs(sections: Sequence[Section]) -> str:
    """Return one object whose `runs` are those of the record, one or several (run-schema.json).

    The rounds are copied as they are in the record, so that thousands of them are parsed only once.
    """
    runs = [_joined(_run_fields(section)) for section in sections]
    passed = [section.run.passed for section in sections if section.run.passed is not None]
    fields = {"schema": SCHEMA, "passed": all(passed) if passed else None}
    return f"{_joined([*_dumped(fields), ('runs', _array(runs))])}\n"


def render_run_lines(sections: Sequence[Section]) -> str:
    """Return the lines of the record as they are (run-schema.json, $defs/record_line)."""
    return "".join(f"{line}\n" for section in sections for line in section.lines())


def render_examination(examination: Examination) -> str:
    """Return the findings of doctor as one object (doctor-schema.json)."""
    return _object(
        {
            "schema": SCHEMA,
            "environment": {
                "oomctl": __version__,
                "kernel": examination.kernel,
                "machine": examination.architecture,
                **commandline.origin(),
            },
            "fit": examination.fit,
            "checks": [_finding(each) for each in examination.findings],
        }
    )


def render_examination_csv(examination: Examination) -> str:
    """Return a row for each finding."""
    return as_csv(map(_finding, examination.findings))


def read_examination(tree: Mapping[str, Any]) -> Examination:
    """Read render_examination() back."""
    rows = tree["checks"]
    found = (Finding(r["state"], r["found"], r["fix"] or "", r["name"]) for r in rows)
    machine = tree["environment"]
    return Examination(machine["kernel"], machine["machine"], tuple(found))


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "state": finding.state,
        "found": printable(finding.found),
        "fix": printable(finding.fix) or None,
    }


def _object(tree: Mapping[str, Any]) -> str:
    return f"{json.dumps(tree, indent=2)}\n"


def _run_fields(section: Section) -> Iterator[tuple[str, str]]:
    run = section.run
    header = header_line(run.header)
    del header["kind"]
    yield from _dumped(header)
    yield from _dumped(
        {
            "end": {"why": run.end.why, "reason": run.end.reason} if run.end else None,
            "remarks": list(run.remarks),
            "passed": run.passed,
            "statistics": [statistics_tree(one) for one in run.statistics],
        }
    )
    yield "rounds", _array(line for line in section.lines() if json.loads(line)["kind"] == "round")


def _dumped(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        yield name, json.dumps(value, indent=2)


def _joined(fields: Iterable[tuple[str, str]]) -> str:
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {text}" for name, text in fields) + "\n}"


def _array(texts: Iterable[str]) -> str:
    return "[\n" + ",\n".join(texts) + "\n]"


def statistics_tree(one: Statistics) -> dict[str, Any]:
    """Return the statistics of a variant as plain values: ns, bytes, null for what is unknown."""
    return {
        "variant": one.variant,
        "rounds": one.rounds,
        "ran": one.ran,
        "took_ns": one.took_ns,
        "rounds_per_s": one.rate,
        "held": one.held,
        "passed": one.passed,
        "expectations": [
            {
                "name": check.name,
                "held": check.held,
                "failed": check.failed,
                "untested": one.rounds - check.held - check.failed,
                "first_failed_round": check.first,
                "why": check.why or None,
            }
            for check in one.checks
        ],
        "verdicts": [
            {
                "verdict": name,
                "rounds": one.verdicts.get(name, 0),
                "interval": wilson(one.verdicts.get(name, 0), one.rounds),
                "calls": one.call_verdicts.get(name, NEVER).times,
            }
            for name in dict.fromkeys([*one.verdicts, *one.call_verdicts])
        ],
        "calls": one.calls,
        "returns": [
            {"value": value, "calls": seen.times, "rounds": seen.rounds}
            for value, seen in one.returns.items()
        ],
        "casualties": [
            {**asdict(casualty), "tasks": seen.times, "rounds": seen.rounds}
            for casualty, seen in one.casualties.items()
        ],
        "contention": [
            {
                "callers": kind,
                "ebusy": busy.count,
                "calls": busy.of,
                "interval": wilson(busy.count, busy.of),
            }
            for kind, busy in one.contention.items()
        ],
        "recheck": asdict(one.rechecks),
        "times_ns": {name: asdict(times) for name, times in one.times.items()},
        "log_bytes": asdict(one.log_bytes) | {"in_all": one.log_bytes_in_all},
        "events": dict(one.rises),
        "nr_dying_descendants": _first_and_last(one.dying),
        "own_rss_bytes": _first_and_last(one.own_rss),
    }


def _first_and_last(span: tuple[int, int] | None) -> dict[str, int] | None:
    return dict(zip(("first", "last"), span, strict=True)) if span else None
