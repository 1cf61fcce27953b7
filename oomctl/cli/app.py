"""The program itself: its streams, and what `oomctl` does without a command."""

import os
import platform
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from oomctl import __version__, console
from oomctl.cli.command import exit_codes
from oomctl.cli.options import Verbose
from oomctl.cli.tree import VERBOSE, Root
from oomctl.errors import OomctlError

_EXITS = exit_codes("0 as wanted", "1 not as wanted: the wrong task or none died")

app = typer.Typer(
    name="oomctl",
    cls=Root,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo("".join(_versions(ctx.meta[VERBOSE])), nl=False)
        raise typer.Exit


def _show_man_page(wanted: bool) -> None:
    if wanted:
        from oomctl import resources

        typer.echo(resources.man_page())
        raise typer.Exit


@app.callback(epilog=_EXITS)
def oomctl(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_show_version,
            help="Show the version; with -v also libbpf, kernel, kfunc and cache.",
        ),
    ] = False,
    man: Annotated[
        bool,
        typer.Option(
            "--man",
            is_eager=True,
            callback=_show_man_page,
            help="Show the path of the manual page.",
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Fill cgroups with memory hogs, declare OOM on them, and report what the kernel did.

    Examples:
      oomctl doctor                    # can this machine do it?
      oomctl declare                   # one OOM on a fresh cgroup, and its victim
      oomctl lab run oomctl declare    # the same in a virtual machine
      oomctl --version -v              # libbpf, kernel, kfunc and cache
      man "$(oomctl --man)"            # every command and option
    """
    console.set_verbosity(int(verbose))


def _versions(verbose: bool) -> Iterator[str]:
    yield f"oomctl {__version__}\n"
    if not verbose:
        return
    from oomctl import cache
    from oomctl.bpf import btf, libbpf

    try:
        yield f"libbpf {libbpf.version()}\n"
        kfunc = btf.find_kfunc()
        shape = f"{kfunc.variant}, provided by {kfunc.provider}" if kfunc else "none"
    except OomctlError as error:
        shape = f"unknown: {error.why}"
    yield f"kernel {platform.release()}\nkfunc  {shape}\ncache  {cache.place()}\n"


def main() -> None:
    """Run the command line."""
    _fill_closed()
    app()


def _fill_closed() -> None:
    """Open what `<&-`, `>&-` or `2>&-` closed, lest the next file opened takes its number.

    sys.stdout stays None then: a result with nowhere to go is an error, see output.py.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stderr = sys.stderr or os.fdopen(2, "w")
