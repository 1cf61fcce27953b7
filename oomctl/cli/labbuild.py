"""`oomctl lab build`: a small kernel with bpf_out_of_memory() built in."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from oomctl import console
from oomctl.cli import options
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import flag, value
from oomctl.cli.output import Output
from oomctl.errors import UsageError
from oomctl.lab import build as building
from oomctl.lab import source
from oomctl.lab.cached import Flavour
from oomctl.units import format_duration


@dataclass(frozen=True)
class BuildOptions:
    """The options of `oomctl lab build`."""

    source: Annotated[
        Path | None,
        value(
            "TREE|TARBALL",
            "The kernel's source: a git tree, a tree that was not built in, or a tarball. "
            "[default: the newest linux-source of 7.x that Debian offers, fetched]",
        ),
    ] = None
    config: Annotated[
        list[Path] | None,
        value(
            "FRAGMENT",
            "More lines CONFIG_X=y, which go before the lab's own; may be repeated.",
        ),
    ] = None
    flavour: Annotated[
        Literal["plain", "lockdep", "kasan"],
        value("FLAVOUR", "plain; lockdep (PROVE_LOCKING); or kasan (KASAN and UBSAN)."),
    ] = "plain"
    jobs: Annotated[
        int | None,
        value("N", "Compilers at once. [default: as many as processors]", options.integer(1, 1024)),
    ] = None
    update: Annotated[bool, flag("--update", "Ask the archive for a newer source.")] = False

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if self.source and self.update:
            raise UsageError("--update is for Debian's source, not for --source", "leave out one")


@command("the kernel is there", environment=[CACHE])
def build(given: BuildOptions) -> None:
    """Build a small kernel for the lab.

    It has what the lab needs and little else, and bpf_out_of_memory() as one more file of mm/, the
    same as in the module; it is left out if the source has the kfunc itself. The source is copied
    and not changed. An interrupted build goes on where it was; a kernel of the same source,
    configuration, kfunc and compiler is not built again. --kernel reference is the newest plain
    one, the others go by the name that is printed.

    Examples:
      oomctl lab build && oomctl lab smoke --kernel reference
      oomctl lab build --source ~/linux --flavour lockdep
    """
    console.verbose_steps()
    with Output(None) as place:
        building.require_tools()  # before a source is fetched
        flavour, began = Flavour(given.flavour), time.monotonic()
        found = source.given(given.source) if given.source else source.newest(given.update)
        plan = building.plan(found, flavour, given.config or (), given.jobs)
        kernel = building.build(plan)
        took = format_duration(round((time.monotonic() - began) * 1e9))
        place.write(f"{kernel.image.parents[1].name} is ready, after {took}\n")
