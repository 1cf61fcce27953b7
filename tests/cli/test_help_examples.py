"""What the helps and the documents tell to type: files exist, and the command takes it."""

import re
import shlex

import pytest
import typer

from oomctl.cli import app
from tests.cli.command import run
from tests.docs.pages import PAGES, ROOT, shell


def helps(command, words=()):
    """Yield the help of a command and of all below it."""
    yield re.sub(r" \\\n +", " ", run(*words, "--help").stdout)  # continued lines
    for name in getattr(command, "commands", ()):
        yield from helps(command.commands[name], (*words, name))


HELPS = [*helps(typer.main.get_command(app))]
TEXTS = [*HELPS, *(page.read_text() for page in PAGES)]
LINES = [
    line.partition("  #")[0].strip()
    for text in HELPS
    for line in text.splitlines()
    if re.match(r"\s+oomctl (run|report|compare|scenario) [^-\[]", line)
] + [
    command.text
    for block in shell()
    for command in block.commands
    if re.match(r"oomctl (run|report|compare) ", command.text)
]
SCENARIOS = sorted({name for text in TEXTS for name in re.findall(r"[\w/*-]*\.toml\b", text)})
WRITTEN = ("DIR/", "kills/")  # the flight recorder's folder
RECORDS = {name for line in LINES for name in re.findall(r"--record (\S+)", line)}


def test_there_are_some():
    assert len(TEXTS) > 15
    assert len(LINES) > 25


@pytest.mark.parametrize("name", [n for n in SCENARIOS if "/" in n and not n.startswith(WRITTEN)])
def test_a_scenario_that_is_named_exists(name):
    assert [*ROOT.glob(name)]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("oomctl run ")])
def test_a_run_that_is_told_can_be_typed(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    new = "oomctl/scenario/new.toml"  # what `oomctl scenario new` prints
    _oomctl, *words = (new if word == "mine.toml" else word for word in shlex.split(line))
    typed = [str(path) for word in words for path in (sorted(ROOT.glob(word)) or [word])]
    if "--format" in typed:  # that of a result, which a dry run has not
        at = typed.index("--format")
        del typed[at : at + 2]
    result = run(*typed, "--dry-run")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("line", [line for line in LINES if not line.startswith("oomctl run ")])
def test_a_record_that_is_read_was_made(line):
    read = set(re.findall(r"(?<!-o )\b[\w-]+\.jsonl", line))
    assert read <= RECORDS
