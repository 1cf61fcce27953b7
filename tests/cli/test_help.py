"""Every help has one form: whole summaries, no types, examples, exit codes last, any width."""

import re
import subprocess
import sys

import pytest
import typer

from oomctl.cli import app
from oomctl.cli.command import CODES

ROOT = typer.main.get_command(app)


def below(command, words=()):
    """Yield the words of a command and of all below it."""
    yield words
    for name in getattr(command, "commands", ()):
        yield from below(command.commands[name], (*words, name))


COMMANDS = list(below(ROOT))


def help_of(words, width):
    formatter = typer._click.formatting.HelpFormatter(width=min(width, 100) - 2)
    command, context = ROOT, typer.Context(ROOT, info_name="oomctl")
    context.help_option_names = ["-h", "--help"]
    for word in words:
        command = command.commands[word]
        context = typer.Context(command, info_name=word, parent=context)
    command.format_help(context, formatter)
    return formatter.getvalue()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_exit_codes_are_the_last_paragraph_in_the_same_words(words):
    paragraphs = help_of(words, 80).rstrip("\n").split("\n\n")
    last = " ".join(paragraphs[-1].split())
    assert last.startswith("Exit codes: ")
    assert last.endswith(CODES)
    assert sum("Exit codes" in each for each in paragraphs) == 1


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_type_and_no_metavar_of_typers(words):
    text = help_of(words, 100)
    names = re.findall(r"^  (\S.*?)(?:  |$)", text.partition("ptions:\n")[2], re.M)
    assert names
    assert not re.search(r"<|list\[|Path\b|\bint\b|range|TEXT|INTEGER|FLOAT|\{", "".join(names))
    assert not re.search(
        r"<|\{|\]\.\.\.|\.\.\. *\.\.\.", text.splitlines()[0].replace("[ARGS]...", "")
    )
    assert "[default: 0]" not in text.replace(
        "memory.swap.max of the fresh cgroup. [default: 0]", ""
    ) or (words == ("declare",))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples(words):
    command = ROOT
    for word in words:
        command = command.commands[word]
    text = help_of(words, 100)
    assert ("\nExamples:\n  " in text) is (not words or not hasattr(command, "commands"))


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_it_fits_the_terminal(words, width):
    long = [line for line in help_of(words, width).splitlines() if len(line) > width]
    assert [line for line in long if "'" not in line] == []  # a quoted word is not broken


def test_summaries_are_whole_and_on_one_line():
    for words in ((), ("scenario",), ("kfunc",), ("lab",)):
        lines = help_of(words, 80).partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
        assert len(lines) == len([each for each in COMMANDS if each[:-1] == words and each])
        assert all(line.endswith(".") and not line.endswith("...") for line in lines)


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_the_summary_in_the_list_is_the_commands_own(words):
    group = ROOT
    for word in words[:-1]:
        group = group.commands[word]
    listed = group.commands.summaries[words[-1]]
    assert listed == group.commands[words[-1]].get_short_help_str()


@pytest.mark.parametrize(("columns", "widest"), [(60, 60), (80, 80), (100, 100), (300, 100)])
def test_the_width_is_the_terminals_up_to_100(columns, widest):
    program = [sys.executable, "-m", "oomctl", "run", "--help"]
    done = subprocess.run(program, capture_output=True, text=True, env={"COLUMNS": str(columns)})
    lines = [line for line in done.stdout.splitlines() if "'" not in line]
    assert widest - 12 < max(map(len, lines)) <= widest


CACHING = (
    "fuzz",
    "doctor",
    "fleet",
    "smoke",
    "kfunc",
    "lab",
    "compare",
    "explain",
    "predict",
    "report",
    "declare",
    "run",
    "watch",
)


def test_the_environment_is_named_at_the_top_and_where_it_applies():
    for words in COMMANDS:
        text = help_of(words, 80)
        cache, run_dir = "OOMCTL_CACHE  " in text, "OOMCTL_RUN_DIR  " in text
        first = words[0] if words else ""
        assert cache is (first in {"", *CACHING} and words[1:] != ("unload",))
        assert run_dir is (first in {"", "doctor", "smoke", "declare", "run", "clean", "fuzz"})
