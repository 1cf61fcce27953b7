"""The records of a fleet as one comparison, with the host as kernel, in its forms."""

import json
from dataclasses import replace

import pytest

from oomctl.fleet.hosts import Host
from oomctl.fleet.results import FleetResult, of_rounds, of_suite
from oomctl.oom import as_json
from oomctl.oom.enums import HostPhase
from oomctl.report.fleet_parts import render_json, render_text
from oomctl.smoke import suite
from tests.cli.test_compare import many
from tests.outcomes import ENVIRONMENT
from tests.schemas import validator

CHOSEN = suite.select(suite.cases(), ["lock"], [])
DONE = Host("a", HostPhase.DONE, 0, kernel="6.12", size=1)


def result(name, word):
    took = {"took_ns": 1, "rounds": 1, "rounds_passed": int(word == "passed")}
    checks = [] if word == "passed" else [{"name": "it holds", "passed": False, "why": "not"}]
    rest = {"reason": None, "checks": checks, "evidence": []}
    return {"kind": "case", "name": name, "result": word, **took, **rest}


def record(path, *results):
    head = {"kind": "suite", "environment": as_json.environment(ENVIRONMENT)}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (head, *results)))
    return path


@pytest.fixture
def suites(tmp_path):
    """Two hosts that differ in a case; the record of the second is cut."""
    names = [case.name for case in CHOSEN]
    good = record(tmp_path / "a", *(result(name, "passed") for name in names))
    bad = record(tmp_path / "b", *(result(name, "failed") for name in names[:2]))
    bad.write_bytes(bad.read_bytes()[:-20])
    died = replace(DONE, name="b", phase=HostPhase.KERNEL_DIED, code=1, reason="begun last: x")
    refused = Host("c", HostPhase.REFUSED, 2, "not expendable")
    return of_suite([DONE, died, refused], [good, bad, tmp_path / "c"], CHOSEN)


def test_suites_are_compared_up_to_where_they_are_cut(suites):
    a, b = suites.comparison.runs
    assert (len(a.report.results), len(b.report.results), b.error) == (10, 1, "begun last: x")
    text = render_text(suites, 80)
    assert "b     kernel-died" in text
    assert "reason    not expendable (c)" in text
    assert f"{CHOSEN[0].name}" in text
    assert max(map(len, text.splitlines())) <= 80
    validator("fleet-schema.json").validate(json.loads(render_json(suites)))


def test_rounds_are_compared_with_the_host_as_variant(tmp_path):
    (tmp_path / "a").write_text(many(3))
    (tmp_path / "b").write_text(many(3, dead="small")[:-40])
    (tmp_path / "c").write_text("junk\n")
    hosts = [replace(DONE, name=name) for name in "abc"]
    found = of_rounds(hosts, [tmp_path / name for name in "abc"])
    assert [bool(one.sections) for one in found.comparison.kernels] == [True, True, False]
    assert "is not a record" in found.comparison.kernels[2].error
    text = render_text(found)
    assert "on b" in text
    validator("fleet-schema.json").validate(json.loads(render_json(found)))


def test_hosts_without_a_record_are_a_table_alone():
    hosts = [replace(DONE, counts={"checks": {"ok": 4}}, left="cannot tell")]
    assert of_suite(hosts[:0], [], CHOSEN).comparison is None
    text = render_text(FleetResult(hosts))
    assert text.splitlines()[2].split() == ["a", "done", "6.12", "4", "ok"]
    assert "left      cannot tell (a)" in text
