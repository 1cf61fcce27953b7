"""`oomctl scenario`: check scenario files without running them, and their schema for editors."""

import json
from dataclasses import dataclass
from pathlib import Path

import psutil

from oomctl import scenario
from oomctl.cli import options
from oomctl.cli.command import command
from oomctl.cli.output import Output
from oomctl.errors import UsageError
from oomctl.oom.plan import Plan
from oomctl.scenario.planning import Site, plan
from oomctl.text import counted, printable


@command("printed")
def schema() -> None:
    """Print the JSON schema of scenario files.

    Editors that know TOML (taplo, Even Better TOML) complete and check by it. A scenario file
    names it in its first line: `#:schema ./oomctl.schema.json`.

    Examples:
      oomctl scenario schema >oomctl.schema.json
    """
    with Output(None) as output:
        output.write(json.dumps(scenario.schema(), indent=2) + "\n")


@dataclass(frozen=True)
class NewOptions:
    """The options of `oomctl scenario new`."""

    output: options.OutputFile = None


@command("printed")
def new(given: NewOptions) -> None:
    """Print a commented scenario to start from; -o replaces no file.

    Examples:
      oomctl scenario new -o mine.toml && oomctl run mine.toml --dry-run
    """
    if given.output and given.output.is_file() and given.output.stat().st_size:
        raise UsageError(f"{given.output} is there already", "name a new file")
    with Output(given.output) as place:
        place.write((Path(scenario.__file__).parent / "new.toml").read_text())


@dataclass(frozen=True)
class CheckOptions:
    """The options of `oomctl scenario check`."""

    files: options.Scenarios
    settings: options.Set = None


@command("every file can be run; otherwise 2, and a line for every fault of every file")
def check(given: CheckOptions) -> None:
    """Check scenario files against this machine; make nothing.

    It needs neither root nor the kfunc.

    Examples:
      oomctl scenario check examples/largest-dies.toml
      oomctl scenario check examples/largest-dies.toml --set hog.large.size=1G
    """
    memory = psutil.virtual_memory().total
    site = Site(lambda: "oomctl", memory)
    loaded = scenario.load_all(given.files, given.settings or (), memory)
    lines = [
        f"{path}: valid: {_count(plan(each, site))}"
        for path, each in zip(given.files, loaded, strict=True)
    ]
    with Output(None) as output:
        output.write("".join(f"{printable(line)}\n" for line in lines))


def _count(made: Plan) -> str:
    calls = sum(step.repeat * step.callers for step in made.steps)
    counts = {"cgroup": len(made.cgroups), "hog": len(made.hogs), "call": calls}
    return ", ".join(counted(count, noun) for noun, count in counts.items())
