"""`oomctl scenario`: start, check and rebuild scenario files, and their schema for editors."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from oomctl import scenario
from oomctl.cgroup import hierarchy
from oomctl.cli import options
from oomctl.cli.command import command
from oomctl.cli.output import Output, require_new
from oomctl.cli.rebuilt import tell
from oomctl.cli.scale import Scale
from oomctl.experiment.subtree import read_subtree
from oomctl.oom.plan import Plan
from oomctl.proc import meminfo
from oomctl.scenario.planning import Site, plan
from oomctl.scenario.rebuild import rebuild
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
    require_new(given.output)
    with Output(given.output) as place:
        place.write((Path(scenario.__file__).parent / "new.toml").read_text())


@dataclass(frozen=True)
class FromOptions:
    """The options of `oomctl scenario from`."""

    cgroup: Annotated[
        str,
        typer.Argument(
            metavar="CGROUP",
            help="A directory below the cgroup2 mount, or a path as in /proc/PID/cgroup.",
        ),
    ]
    scale: Scale = Fraction(1)
    with_paths: Annotated[
        bool,
        options.flag(
            "--with-paths", "Put the cgroup's path and the command lines in, as comments."
        ),
    ] = False
    output: options.OutputFile = None


@command("printed")
def from_(given: FromOptions) -> None:
    """Print the scenario of an existing cgroup, at any scale.

    It has the limits, OOM groups and tasks of the cgroup and of all below it, the tasks as hogs.
    The task dies that OOM on the cgroup would kill now, at a smaller scale too: oom_score_adj
    weighs by the limit, which is scaled as well. Comments say what is not as it was. Names of
    cgroups and tasks are kept; paths and command lines are left out unless asked for.

    It changes nothing, but reading /proc/PID/smaps_rollup of other users needs root. -o replaces
    no file.

    Examples:
      oomctl scenario from web.slice --scale 1/64 -o mine.toml && oomctl run mine.toml
    """
    require_new(given.output)
    with Output(given.output) as place:
        root = hierarchy.unified_root()
        node = hierarchy.find_cgroup(root, given.cgroup, "CGROUP")
        hierarchy.require_memory(root)
        hierarchy.require_target(node, "CGROUP: ")
        subtree = read_subtree(node, commands=given.with_paths)
        shown = node.cgroup if given.with_paths else subtree.name
        made = rebuild(subtree, source=f"The cgroup {printable(shown)}", scale=given.scale)
        place.write(made.text)
    tell(made, given.scale)


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
    memory = meminfo.total()
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
    if made.actions:
        counts["step"] = len({action.step for action in made.actions})
    return ", ".join(counted(count, noun) for noun, count in counts.items())
