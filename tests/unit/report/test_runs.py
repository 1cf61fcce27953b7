"""Runs of many rounds in every form."""

import json
import shutil
import subprocess
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from jsonschema import ValidationError

from oomctl.report import COMPARISON_RENDERERS as COMPARISONS
from oomctl.report import RUN_RENDERERS as RENDERERS
from oomctl.rounds.comparison import compare
from oomctl.rounds.run import End
from tests import schemas
from tests.outcomes import ENVIRONMENT
from tests.rounds import RECORDS, alone, busy, five, happened, head, recorded, section, sections
from tests.rounds import called as call

SUFFIX = {
    "table": "txt",
    "markdown": "md",
    "json": "json",
    "jsonl": "jsonl",
    "ktap": "ktap",
    "junit": "xml",
}


def validator(name=""):
    return schemas.validator("run-schema.json", f"#/$defs/{name}" if name else "")


@pytest.mark.parametrize("form", SUFFIX)
@pytest.mark.parametrize("name", RECORDS)
def test_golden(golden, name, form):
    golden(f"run-{name}.{SUFFIX[form]}", RENDERERS[form]([section(RECORDS[name])]))


@pytest.mark.parametrize("name", RECORDS)
def test_a_table_fits_80_columns(name):
    text = RENDERERS["table"]([section(RECORDS[name])])
    assert max(map(len, text.splitlines())) <= 80, text


def test_many_and_long_variants_fit_80_columns():
    labels = [f"call.{n}.wait=true, via=bpf, size=64M" for n in range(9)]
    text = recorded(head(*labels), [each for label in labels for each in five(label=label)])
    table = RENDERERS["table"]([section(text)])
    assert max(map(len, table.splitlines())) <= 80, table
    assert table.count("\nrounds ") == 2  # two tables
    assert f"I         {labels[8]}" in table


def test_long_names_of_expectations_are_wrapped():
    checks = busy(1).checks
    long = replace(checks[0], name=f"victims are {', '.join(f'worker-{n}' for n in range(30))}")
    came = happened(call(1), checks=(long,))
    for labels in ([""], ["bpf", "limit"]):
        text = recorded(head(*labels), [(label, 1, came) for label in labels])
        table = RENDERERS["table"]([section(text)])
        assert max(map(len, table.splitlines())) <= 80, table


@pytest.mark.parametrize("name", RECORDS)
def test_json_and_lines_are_as_the_schema_says(name):
    found = section(RECORDS[name])
    whole = json.loads(RENDERERS["json"]([found]))
    validator().validate(whole)
    (tree,) = whole["runs"]
    validator("run").validate(tree)
    assert len(tree["rounds"]) == sum(one["rounds"] for one in tree["statistics"])
    lines = RENDERERS["jsonl"]([found])
    assert lines == RECORDS[name]
    for line in lines.splitlines():
        validator("line").validate(json.loads(line))


def test_json_of_several_runs_is_one_object():
    tree = json.loads(RENDERERS["json"](sections("".join(RECORDS.values()))))
    validator("runs").validate(tree)
    validator().validate(tree)
    assert [run["scenario"] for run in tree["runs"]] == ["busy", "largest-dies", "busy"]
    assert tree["passed"] is False


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: tree.pop("statistics"),
        lambda tree: tree.update(more=1),
        lambda tree: tree["rounds"][0].update(round=0),
        lambda tree: tree["rounds"][0]["outcome"]["calls"][0].update(ret="1"),
        lambda tree: tree["statistics"][0]["times_ns"]["dying"].update(p50=1.5),
    ],
)
def test_the_schema_is_strict(spoil):
    (tree,) = json.loads(RENDERERS["json"]([section(RECORDS["alone"])]))["runs"]
    spoil(tree)
    with pytest.raises(ValidationError):
        validator("run").validate(tree)


def test_a_run_without_expectations_reports():
    text = recorded(head("", judged=False), [("", 1, happened(call(1)))])
    assert "nothing: this run reports, it does not judge" in RENDERERS["table"]([section(text)])
    (tree,) = json.loads(RENDERERS["json"]([section(text)]))["runs"]
    assert (tree["passed"], tree["statistics"][0]["held"]) == (None, None)
    assert RENDERERS["ktap"]([section(text)]).endswith("\nok 1 busy\n")


def test_ktap_skips_what_the_machine_cannot():
    text = recorded(head("a", "b#"), [], End("unsupported", "no huge pages; sysctl"))
    assert RENDERERS["ktap"]([section(text)]).splitlines()[2:] == [
        "1..2",
        "ok 1 busy: a # SKIP no huge pages; sysctl",
        "ok 2 busy: b_ # SKIP no huge pages; sysctl",
    ]
    root = ET.fromstring(RENDERERS["junit"]([section(text)]))
    assert (root.get("tests"), root.get("skipped"), root.get("failures")) == ("2", "2", "0")


@pytest.mark.skipif(shutil.which("prove") is None, reason="perl's prove is not installed")
@pytest.mark.parametrize(("name", "code"), [("alone", 1), ("beside", 0)])
def test_prove_reads_it(name, code, tmp_path):
    path = tmp_path / "result.tap"
    path.write_text(RENDERERS["ktap"]([section(RECORDS[name])]))
    done = subprocess.run(["prove", "-e", "cat", path], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr


HOSTILE = "a|b`*\x1b[31m#\udcff<x>"


@pytest.mark.parametrize("form", RENDERERS)
def test_nothing_from_outside_reaches_a_terminal_as_it_is(form):
    check = replace(busy(1).checks[0], name=HOSTILE, passed=False, why=HOSTILE)
    came = happened(call(1), checks=(check,))
    came = replace(
        came,
        tasks=tuple(replace(row, name=HOSTILE) for row in came.tasks),
        verdict=replace(came.verdict, name=HOSTILE, reason=HOSTILE),
    )
    of = head(HOSTILE, "b", scenario=HOSTILE, description=HOSTILE)
    text = recorded(of, [(HOSTILE, 1, came), ("b", 1, ("failed", HOSTILE))], End("failed", HOSTILE))
    shown = RENDERERS[form]([section(text)])
    assert "\x1b" not in shown
    shown.encode()
    if form == "junit":
        ET.fromstring(shown)


def pair():
    """The same scenario on another kernel, which does not refuse."""
    other = replace(ENVIRONMENT, kernel="7.3.4", sysctls={"vm.panic_on_oom": 1})
    a = recorded(head("", "old"), [("", n, busy(n, shift=n * 10**5)) for n in range(4, 34)])
    b = recorded(
        head("", "new", environment=other, source="x"),
        [("", n, busy(n, flags=1, shift=n * 10**5 + 10**6)) for n in range(4, 24)],
    )
    return compare([section(a).run], [section(b).run])


@pytest.mark.parametrize("form", [form for form in COMPARISONS if form in SUFFIX])
def test_golden_comparison(golden, form):
    golden(f"run-compare.{SUFFIX[form]}", COMPARISONS[form](pair(), ("old.jsonl", "new.jsonl")))


def test_a_comparison_fits_a_mail():
    text = COMPARISONS["table"](pair(), ("old.jsonl", "new.jsonl"))
    assert max(map(len, text.splitlines())) <= 72, text


def test_a_comparison_in_json_is_as_the_schema_says():
    validator("comparison").validate(json.loads(COMPARISONS["json"](pair(), ("a", "b"))))


def test_few_rounds_tell_no_change_but_say_so():
    a = section(recorded(head(""), [("", 1, busy(1))])).run
    b = section(recorded(head(""), [("", 1, busy(1, flags=1))])).run
    found = compare([a], [b])
    assert found.changes == ()
    text = COMPARISONS["table"](found, ("a", "b"))
    assert "too few rounds to tell from chance: " in text
    assert "returned -EBUSY 1/1 -> 0/1" in text.replace("\n          ", " ")


def test_the_same_record_has_no_change():
    run = section(alone()).run
    found = compare([run], [run])
    assert (found.changes, found.machines, found.only_a, found.only_b) == ((), (), (), ())
    assert "unchanged" in COMPARISONS["table"](found, ("a", "a"))
