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
from oomctl.report import DOCTOR_RENDERERS, DoctorFormat, render


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
        place.write(render(DOCTOR_RENDERERS, output_format, seen, terminal=place.width))
    raise typer.Exit(Exit.OK if seen.fit else Exit.UNSUPPORTED)
