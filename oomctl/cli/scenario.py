"""`oomctl scenario`: check scenario files without running them, and their schema for editors."""

import json
from pathlib import Path
from typing import Annotated

import psutil
import typer

from oomctl import scenario
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.oom.plan import Plan
from oomctl.text import counted, printable

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check scenario files, start a new one, and print their JSON schema for editors.",
)

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...", help="Scenario files (TOML), - is stdin.", show_default=False
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of each file, such as hog.large.size=64M or call[0].wait=false; "
        "may be given again.",
    ),
]


@app.command()
@guarded
def schema() -> None:
    """Print the JSON schema of scenario files.

    Editors that know TOML (taplo, Even Better TOML) take it: `oomctl scenario schema
    >oomctl.schema.json`, then `#:schema ./oomctl.schema.json` as a file's first line.
    """
    with Output(None) as output:
        output.write(json.dumps(scenario.schema(), indent=2) + "\n")


@app.command()
@guarded
def new(output: options.OutputFile = None) -> None:
    """Print a commented scenario to start from.

    Example: oomctl scenario new -o mine.toml && oomctl run mine.toml --dry-run
    """
    with Output(output) as place:
        place.write((Path(scenario.__file__).parent / "new.toml").read_text())


@app.command()
@guarded
def check(files: Files, overrides: Set = None) -> None:
    """Check scenario files against this machine; make nothing, and need neither root nor kfunc.

    Exit codes: 0 all are sound; 2 with every fault of every file, one a line.
    """
    from oomctl.scenario.planning import Site, plan

    memory = psutil.virtual_memory().total
    site = Site(lambda: "oomctl", memory)
    sound = scenario.load_all(files, overrides or (), memory)
    lines = [
        f"{path}: sound: {_count(plan(each, site))}"
        for path, each in zip(files, sound, strict=True)
    ]
    with Output(None) as output:
        output.write("".join(f"{printable(line)}\n" for line in lines))


def _count(made: Plan) -> str:
    calls = sum(step.repeat * step.callers for step in made.steps)
    counts = {"cgroup": len(made.cgroups), "hog": len(made.hogs), "call": calls}
    return ", ".join(counted(count, noun) for noun, count in counts.items())
