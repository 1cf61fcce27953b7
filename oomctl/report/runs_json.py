"""Runs as JSON: one object, or the lines of their record; `run-schema.json` describes both.

The rounds are put in as they stand in the record, so that thousands of them are read only once.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oomctl.oom.as_json import SCHEMA
from oomctl.rounds.lines import header_line
from oomctl.rounds.run import Run, Section
from oomctl.rounds.statistics import NEVER, Statistics, wilson


def render(sections: Sequence[Section]) -> str:
    """Return the object of a run; of several one with all of them as `runs`."""
    if len(sections) == 1:
        return f"{_joined(_fields(sections[0]))}\n"
    runs = [_joined(_fields(section)) for section in sections]
    passed = [section.run.passed for section in sections if section.run.passed is not None]
    fields = {"schema": SCHEMA, "passed": all(passed) if passed else None}
    return f"{_joined([*_dumped(fields), ('runs', _array(runs))])}\n"


def render_lines(sections: Sequence[Section]) -> str:
    """Return the record's lines as they are, of one run after the other."""
    return "".join(f"{line}\n" for section in sections for line in section.lines())


def statistics_tree(one: Statistics) -> dict[str, Any]:
    """Return the statistics of a variant as plain values: ns, bytes, null for what is not known."""
    log = asdict(one.log_bytes) | {"in_all": one.log_bytes_in_all}
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
            {"value": value, "calls": occurrences.times, "rounds": occurrences.rounds}
            for value, occurrences in one.returns.items()
        ],
        "casualties": [
            {
                "name": casualty.name,
                "how": casualty.how,
                "tasks": occurrences.times,
                "rounds": occurrences.rounds,
            }
            for casualty, occurrences in one.casualties.items()
        ],
        "contention": [
            {
                "callers": kind,
                "ebusy": share.count,
                "calls": share.of,
                "interval": wilson(share.count, share.of),
            }
            for kind, share in one.contention.items()
        ],
        "recheck": asdict(one.rechecks),
        "times_ns": {name.replace(" ", "_"): asdict(found) for name, found in one.times.items()},
        "log_bytes": log,
        "events": dict(one.rises),
        "nr_dying_descendants": _span(one.dying),
        "own_rss_bytes": _span(one.own_rss),
    }


def _fields(section: Section) -> Iterator[tuple[str, str]]:
    run = section.run
    header = header_line(run.header)
    del header["kind"]
    yield from _dumped(header)
    yield from _dumped(
        {
            "end": _end(run),
            "remarks": list(run.remarks),
            "passed": run.passed,
            "statistics": [statistics_tree(one) for one in run.statistics],
        }
    )
    rounds = (line for line in section.lines() if json.loads(line)["kind"] == "round")
    yield "rounds", _array(rounds)


def _end(run: Run) -> dict[str, str] | None:
    return {"why": run.end.why, "reason": run.end.reason} if run.end else None


def _span(span: tuple[int, int] | None) -> dict[str, int] | None:
    return None if span is None else {"first": span[0], "last": span[1]}


def _dumped(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        yield name, json.dumps(value, indent=2)


def _joined(fields: Iterable[tuple[str, str]]) -> str:
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {text}" for name, text in fields) + "\n}"


def _array(texts: Iterable[str]) -> str:
    return "[\n" + ",\n".join(texts) + "\n]"
