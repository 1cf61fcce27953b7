"""`oomctl doctor`: whether this machine is fit, check by check."""

from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.doctor import CHECKS, examine
from oomctl.doctor.machine import Machine
from oomctl.errors import Exit
from oomctl.report.findings import RENDERERS, DoctorFormat, render_table


@guarded
def doctor(
    output_format: Annotated[
        DoctorFormat, typer.Option("--format", "-f", help="Form of the result.")
    ] = "table",
    output: options.OutputFile = None,
    verbose: options.Verbose = False,
) -> None:
    """Tell whether `oomctl declare` can work here, what may surprise, and what mends it.

    It asks the kernel itself, check by check, and changes nothing: the BPF programs are loaded to
    see whether they can be, not run, and unloaded. Without root it says what it could not look at.

    Exit codes: 0 it can (there may be warnings); 3 it cannot: something is missing; 2 usage; 4
    oomctl failed.
    """
    console.set_verbosity(int(verbose))
    with Output(output) as place:
        seen = examine(Machine(), CHECKS)
        if output_format == "table":
            place.write(render_table(seen, place.width))
        else:
            place.write(RENDERERS[output_format](seen))
    raise typer.Exit(Exit.OK if seen.fit else Exit.UNSUPPORTED)
