"""Every result as JSON: a round, runs, a comparison, a prediction, findings of doctor.

The schemas beside this file describe them. run-schema.json refers to schema.json by `$ref`, which a
validator resolves if it knows both files by their names; docs/rounds.md shows how.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oomctl import __version__, commandline
from oomctl.doctor import Examination
from oomctl.oom import as_json
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.outcome import Outcome
from oomctl.oom.prediction import Candidate, Prediction
from oomctl.oom.reason import reason
from oomctl.report.comparison_parts import ratio
from oomctl.report.prediction_parts import Asked
from oomctl.rounds.comparison import ALPHA, Comparison, Difference, Pair, TimeChange
from oomctl.rounds.lines import header_line
from oomctl.rounds.run import Section
from oomctl.rounds.statistics import NEVER, Distribution, Statistics, wilson
from oomctl.text import printable


def render_outcome(outcome: Outcome) -> str:
    """Return an outcome as one object (schema.json)."""
    return _object(as_json.tree(outcome))


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


def render_comparison(comparison: Comparison, names: tuple[str, str]) -> str:
    """Return a comparison as one object (run-schema.json, $defs/comparison)."""
    return _object(
        {
            "schema": SCHEMA,
            "environment": commandline.origin(),
            "records": [
                {"name": name, "environment": dict(environment)}
                for name, environment in zip(names, comparison.environments, strict=True)
            ],
            "changed": bool(comparison.changes),
            "too_slow": bool(comparison.too_slow),
            "allowed_slowdown": comparison.allowed,
            "alpha": ALPHA,
            "options": [{"name": name, "a": a, "b": b} for name, a, b in comparison.options],
            "machine": [{"name": name, "a": a, "b": b} for name, a, b in comparison.machines],
            "only_a": list(comparison.only_a),
            "only_b": list(comparison.only_b),
            "pairs": [_pair(pair) for pair in comparison.pairs],
        }
    )


def render_prediction(
    prediction: Prediction, target: str | None, top: int | None, asked: Asked = ()
) -> str:
    """Return a prediction as one object (schema.json, $defs/predict)."""
    shown = prediction.candidates[:top]
    per_point = prediction.totalpages // 1000

    def candidate(one: Candidate) -> dict[str, Any]:
        return as_json.candidate(one) | {
            "rss_read_bytes": one.task.rss_read,
            "slack_bytes": one.task.slack,
            "adj_pages": one.task.oom_score_adj * per_point,
        }

    return _object(
        {
            "schema": SCHEMA,
            "environment": commandline.origin(),
            "target": target,
            "totalpages": prediction.totalpages,
            "page_size_bytes": prediction.page_size,
            "pages_per_adj_point": per_point,
            "victims": list(prediction.victims),
            "group": prediction.group,
            "close": list(prediction.close),
            "reason": as_json.reason(reason(prediction)),
            "asked": [
                {"reason": as_json.reason(one), "flips": [asdict(flip) for flip in flips]}
                for one, flips in asked
            ],
            "candidates": [candidate(one) for one in shown],
            "candidates_left_out": len(prediction.candidates) - len(shown),
        }
    )


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
            "checks": [
                {
                    "name": finding.name,
                    "state": finding.state,
                    "found": printable(finding.found),
                    "fix": printable(finding.fix) or None,
                }
                for finding in examination.findings
            ],
        }
    )


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


def _pair(pair: Pair) -> dict[str, Any]:
    a, b = pair.a, pair.b
    return {
        "scenario": pair.scenario,
        "variant": a.variant,
        "rounds": {"a": a.rounds, "b": b.rounds},
        "enough": pair.enough,
        "same_file": pair.same_file,
        "differences": [_difference(each) for each in pair.differences],
        "time_changes": [_time_change(each) for each in pair.times],
        "contention": {
            kind: {
                side: asdict(one.contention[kind]) if kind in one.contention else None
                for side, one in (("a", a), ("b", b))
            }
            for kind in dict.fromkeys([*a.contention, *b.contention])
        },
        "times_ns": {
            name: _times(a.times.get(name, Distribution()), b.times.get(name, Distribution()))
            for name in dict.fromkeys([*a.times, *b.times])
        },
        "events": {
            name: {"a": a.rises.get(name, 0), "b": b.rises.get(name, 0)}
            for name in dict.fromkeys([*a.rises, *b.rises])
        },
    }


def _difference(each: Difference) -> dict[str, Any]:
    return {
        "what": each.what,
        "a": asdict(each.a),
        "b": asdict(each.b),
        "p": each.chance,
        "p_corrected": each.corrected,
        "changed": each.changed,
    }


def _time_change(each: TimeChange) -> dict[str, Any]:
    return {
        "name": each.name,
        "rounds": dict(zip("ab", each.rounds, strict=True)),
        "ratio": each.ratio.estimate,
        "interval": each.ratio.interval,
        "slower": each.test.slower,
        "p": each.test.chance,
        "p_corrected": each.corrected,
        "changed": each.changed,
        "too_slow": each.too_slow,
    }


def _times(a: Distribution, b: Distribution) -> dict[str, Any]:
    return {
        "a": asdict(a),
        "b": asdict(b),
        "p50_ratio": ratio(a.p50, b.p50),
        "p95_ratio": ratio(a.p95, b.p95),
    }
