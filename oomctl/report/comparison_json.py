"""Two records compared as JSON, which is read back, and as rows of CSV."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from oomctl import commandline
from oomctl.oom.as_json import SCHEMA
from oomctl.report.comparison_parts import ratio
from oomctl.report.rows import as_csv
from oomctl.rounds.comparison import ALPHA, Comparison, Difference, Pair, TimeChange
from oomctl.rounds.significance import RankTest, Ratio
from oomctl.rounds.statistics import Distribution, Share, Statistics

_NUMBERS = re.compile(r"\[[\s\d,]+\]")
"""A list of whole numbers, which may be long: all on one line."""


def render_comparison(comparison: Comparison, names: tuple[str, str]) -> str:
    """Return a comparison as one object (run-schema.json, $defs/comparison)."""
    text = json.dumps(
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
        },
        indent=2,
    )
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def render_csv(comparison: Comparison, _names: tuple[str, str]) -> str:
    """Return a row for each share and each time that is compared."""
    return as_csv(_rows(comparison))


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for pair in comparison.pairs:
        about = {"scenario": pair.scenario, "variant": pair.a.variant}
        yield from (about | _difference(each) for each in pair.differences)
        for each in pair.times:
            row = _time_change(each)
            yield about | {"what": row.pop("name")} | row


def read(tree: Mapping[str, Any]) -> tuple[Comparison, tuple[str, str]]:
    """Read render_comparison() back: the comparison, and the names of its records."""
    first, second = tree["records"]
    found = Comparison(
        environments=(first["environment"], second["environment"]),
        options=tuple((row["name"], row["a"], row["b"]) for row in tree["options"]),
        machines=tuple((row["name"], row["a"], row["b"]) for row in tree["machine"]),
        pairs=tuple(map(_read_pair, tree["pairs"])),
        only_a=tuple(tree["only_a"]),
        only_b=tuple(tree["only_b"]),
        allowed=tree["allowed_slowdown"],
    )
    return found, (first["name"], second["name"])


def _read_pair(row: Mapping[str, Any]) -> Pair:
    def side(name: str) -> Statistics:
        return Statistics(
            variant=row["variant"],
            rounds=row["rounds"][name],
            ran=row["ran"][name],
            contention={
                kind: Share(**of[name]) for kind, of in row["contention"].items() if of[name]
            },
            times={
                time: Distribution(**of[name])
                for time, of in row["times_ns"].items()
                if of[name]["n"]
            },
            round_times={time: of[name] for time, of in row["round_times_ns"].items() if of[name]},
            rises={event: of[name] for event, of in row["events"].items()},
        )

    return Pair(
        scenario=row["scenario"],
        a=side("a"),
        b=side("b"),
        differences=tuple(map(_read_difference, row["differences"])),
        times=tuple(map(_read_time, row["time_changes"])),
        same_file=row["same_file"],
        enough=row["enough"],
    )


def _read_difference(row: Mapping[str, Any]) -> Difference:
    shares = Share(**row["a"]), Share(**row["b"])
    return Difference(row["what"], *shares, row["p"], row["p_corrected"])


def _read_time(row: Mapping[str, Any]) -> TimeChange:
    interval = row["interval"] and (row["interval"][0], row["interval"][1])
    return TimeChange(
        row["name"],
        (row["rounds"]["a"], row["rounds"]["b"]),
        Ratio(row["ratio"], interval),
        RankTest(row["slower"], row["p"], row["p_beyond"]),
        row["p_corrected"],
        row["p_beyond_corrected"],
    )


def _pair(pair: Pair) -> dict[str, Any]:
    a, b = pair.a, pair.b
    return {
        "scenario": pair.scenario,
        "variant": a.variant,
        "rounds": {"a": a.rounds, "b": b.rounds},
        "ran": {"a": a.ran, "b": b.ran},
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
        "round_times_ns": {
            name: {"a": [*a.round_times.get(name, ())], "b": [*b.round_times.get(name, ())]}
            for name in dict.fromkeys([*a.round_times, *b.round_times])
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
        "p_beyond": each.test.beyond,
        "p_beyond_corrected": each.beyond,
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
