"""The documents are complete: every verdict, fate, key, field, case and layer that there is."""

import json
import re
import tomllib
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from oomctl.describe.call_text import call_rows
from oomctl.oom.enums import FateKind, Moment, Until, VerdictName, Via
from oomctl.oom.fate import Fate
from oomctl.oom.plan import HogKind
from oomctl.report import RENDERERS, outcome_parts
from oomctl.rounds.round import TIMES
from oomctl.scenario import model
from oomctl.scenario.model import Table
from oomctl.smoke import suite
from tests.docs.pages import ROOT
from tests.outcomes import OUTCOMES

REPORT = ROOT / "oomctl/report"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def in_code(text: str) -> set[str]:
    """Return the words in backticks."""
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.split(r"[ ,]+", code)}


def rows(text: str) -> set[str]:
    """Return the words in backticks in the first cells of a page's tables."""
    return in_code("\n".join(line.split(" | ")[0] for line in text.splitlines() if line[:1] == "|"))


@pytest.mark.parametrize(
    "words",
    [VerdictName, Moment, tuple(RENDERERS), Via, Until],
    ids=["verdicts", "moments", "formats", "triggers", "until"],
)
def test_words(words):
    assert {*words} <= in_code(page("output.md") + page("scenarios.md"))


def test_lines_and_columns():
    found = rows(page("output.md"))
    for outcome in OUTCOMES.values():
        lines = {
            label.rstrip(" 0123456789")
            for report in outcome.calls
            for label, _ in call_rows(report)
        }
        assert lines | {*outcome_parts.task_table(outcome).headers} <= {*found, "died after"}
    assert "`died after`" in page("output.md")


def test_rows_of_variants():
    text = page("rounds.md")
    words = ("as expected", "spared by recheck", "log bytes", "dying cgroups", "lock_wait")
    code = (ROOT / "oomctl/report/run_parts.py").read_text()
    for word in (*TIMES, *words):
        assert f"`{word}`" in text, word
        assert word in code or word in TIMES, word


def test_fates():
    fates = {str(Fate(kind, 0, 9)) for kind in FateKind}
    shown = {each.replace("exited 0", "exited N").replace("SIGKILL", "SIGx") for each in fates}
    assert {each for each in shown if f"| `{each}`" not in page("output.md")} == set()


def test_kinds_of_hogs():
    assert {*get_args(HogKind)} <= rows(page("scenarios.md"))


@pytest.mark.parametrize("table", [model.File, model.Hog, model.Call, model.Step, model.Expect])
def test_scenario_keys(table):
    nested = {
        model.File: {"sysctl", "hog", "call", "step", "cgroup", "expect"},
        model.Call: {"expect"},
        model.Step: {"cgroup", "sysctl", "sysfs", "move"},
    }
    keys = {model.key_of(field.name) for field in fields(table)}
    assert keys - nested.get(table, set()) <= rows(page("scenarios.md"))


def files(table: type[Table], prefix: str = "") -> set[str]:
    found = set()
    for field in fields(table):
        if isinstance(field.type, type) and issubclass(field.type, Table):
            found |= files(field.type, f"{prefix}{field.name}.")
        else:
            found.add(f"{prefix}{field.name}")
    return found


def test_files_of_cgroups():
    assert files(model.Cgroup) <= rows(page("scenarios.md"))


def names(schema: dict) -> set[str]:
    return set(schema.get("properties", ()))


def test_fields_of_a_result():
    schema = json.loads((REPORT / "schema.json").read_text())
    definitions = schema["$defs"]
    wanted = names(schema)
    for each in (
        "environment",
        "call",
        "task",
        "evidence",
        "stamp",
        "prediction",
        "reason",
        "score",
        "check",
    ):
        wanted |= names(definitions[each])
    assert wanted - in_code(page("output.md")) == set()
    assert f"`schema` | {schema['properties']['schema']['const']}" in page("output.md")


def test_fields_of_a_run():
    definitions = json.loads((REPORT / "run-schema.json").read_text())["$defs"]
    wanted = names(definitions["run"]) | names(definitions["statistics"])
    wanted -= {"took_ns", "rounds_per_s", "calls", "variant"}
    assert wanted - in_code(page("rounds.md")) == set()


def test_fields_of_the_doctor():
    schema = json.loads((REPORT / "doctor-schema.json").read_text())
    wanted = names(schema) | names(schema["$defs"]["check"])
    assert wanted - in_code(page("doctor.md")) == set()


def test_smoke_cases():
    counts = Counter(case.group for case in suite.cases())
    found = re.findall(r"^\| `(\w+)` \| (\d+) \|", page("smoke.md"), re.MULTILINE)
    assert {group: int(number) for group, number in found} == counts


def test_mutants():
    from tests.lab import mutants

    assert f"Each of {len(mutants.MUTATIONS)} changes" in page("smoke.md")


def test_examples():
    listed = {name for name in in_code(page("scenarios.md")) if name.startswith("examples/")}
    files = {f"examples/{path.name}" for path in (ROOT / "examples").iterdir() if path.is_file()}
    assert files <= listed


def test_the_targets_of_make():
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"\bmake (?:-\w+ )*([a-z][a-z-]*)", text))
    assert targets - named <= {"packages", "demo", "clean"}
    assert named <= targets


def test_the_picture_of_the_layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [one["layers"] for one in contracts["contracts"] if one["type"] == "layers"]
    assert [re.sub(r"\s{2,}.*", "", line) for line in layer_lines()] == layers


def layer_lines() -> list[str]:
    after = page("architecture.md").partition("## Layers")[2]
    return re.search(r"```text\n(.*?)```", after, re.DOTALL)[1].splitlines()


def test_each_folder_has_a_layer():
    package = ROOT / "oomctl"
    folders = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert folders <= set(re.findall(r"\w+", "\n".join(layer_lines())))


WALKED = re.findall(r"`(\w+)(?:\.\w+)?`\s+\(((?:oomctl|bpf)/[\w/.]+)", page("architecture.md"))


def test_the_walk_names_functions():
    assert len(WALKED) > 20


@pytest.mark.parametrize(("name", "file"), WALKED, ids="-".join)
def test_a_function_of_the_walk_is_there(name, file):
    text = (ROOT / file).read_text()
    found = rf"^\s*(?:def|class) {name}\b|^(?:int |struct |.*\bint ){name}\b"
    assert re.search(found, text, re.MULTILINE), f"{file} has no {name}"


def test_the_glossary_is_in_order():
    words = re.findall(r"^\| ([^|]+?) \|", page("glossary.md"), re.MULTILINE)[1:]
    words = [word for word in words if not word.startswith("-")]
    assert words == sorted(words, key=str.casefold)
    assert 20 <= len(words) <= 40


def test_no_path_of_a_machine():
    texts = [path.read_text() for path in Path(ROOT / "docs").glob("*.md")]
    assert not any(re.search(r"/(?:work|root|home)/", text) for text in texts)
