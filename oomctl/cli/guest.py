"""What commands that boot a virtual machine have in common: their options, and the machine."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from oomctl import console, units
from oomctl.cli import options
from oomctl.errors import UsageError
from oomctl.lab import guest_kernel, kvm, stock, tools
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.vm import Job

_SMALLEST = 256 << 20
_LONGEST = 1e8

KernelOption = Annotated[
    str,
    typer.Option(
        "--kernel",
        metavar="stock|FOLDER|IMAGE",
        help="Debian's newest kernel that works here, fetched into the cache; or a build tree, a "
        "folder of unpacked packages, or an image of your own.",
    ),
]
Memory = Annotated[
    str, typer.Option(metavar="SIZE", help="Memory of the guest, 256M or more; no swap.")
]
Cpus = Annotated[int, typer.Option(min=1, help="Processors of the guest.")]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", help="End the guest after so long, boot included.")
]
Kvm = Annotated[
    Literal["auto", "on", "off"],
    typer.Option("--kvm", help="auto: only where a probe boot has proven that it works."),
]
Module = options.Module


@dataclass(frozen=True)
class Host:
    """What was got ready for a boot: kernel, module if one is to be loaded, whether KVM works."""

    kernel: Kernel
    kvm: bool
    module: Path | None
    look: bool

    def job(self, words: Sequence[str], environment: Mapping[str, str], cwd: str) -> Job:
        """Return what the guest is to run."""
        return Job(tuple(words), environment, cwd, self.module, self.look, self.kernel.modules)


@contextmanager
def ready(kernel_option: str, kvm_option: str, kfunc: bool, module: Path | None) -> Iterator[Host]:
    """Get everything ready that a boot needs, and keep it from being removed for the block.

    Raises the errors of what it fetches and builds.
    """
    tools.require()
    with ExitStack() as stack:
        chosen = stack.enter_context(_kernel(kernel_option))
        look = kfunc and module is None and chosen.provides is None
        if kfunc and module is None:
            module = stack.enter_context(guest_kernel.module_in_use(chosen))
        accelerated = kvm.works(chosen.image) if kvm_option == "auto" else kvm_option == "on"
        how = "KVM" if accelerated else "emulation"
        console.progress(f"booting {chosen.release} under {how}")
        yield Host(chosen, accelerated, module, look)


def check_timeout(timeout: float) -> None:
    """Raise UsageError where no guest could be ended after so long."""
    if not 0 < timeout < _LONGEST:
        raise UsageError(f"--timeout {timeout:g} makes no sense", "give seconds above 0")


@contextmanager
def _kernel(text: str) -> Iterator[Kernel]:
    if text == "stock":
        with stock.in_use() as found:
            yield found
        return
    found = guest_kernel.given(Path(text))
    with guest_kernel.in_use(found) as there:
        if not there:
            raise UsageError(f"--kernel: {text} was just removed", "give another")
        yield found


def memory(text: str) -> str:
    """Return the size of a guest as QEMU reads it; UsageError where it is none."""
    try:
        size = units.parse_size(text)
    except ValueError as error:
        raise UsageError(f"--memory: {error}") from None
    if size < _SMALLEST:
        raise UsageError(f"--memory {text} is too small for the guest to boot", "give 256M or more")
    return f"{size >> 20}M"


def environment(wanted: list[str]) -> dict[str, str]:
    """Make the command's environment of what always passes and what `--env` asks for."""
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    made = {"PATH": f"{Path(sys.executable).parent}:{system}", "HOME": "/root"}
    made |= {"USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh", "TERM": "dumb"}
    names = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
    passing = (n for n in os.environ if n == "TERM" or n.startswith("OOMCTL_"))
    made |= {name: os.environ[name] for name in passing if names.fullmatch(name)}
    for text in wanted:
        name, given, value = text.partition("=")
        if not names.fullmatch(name):
            raise UsageError(f"--env {text!r}: {name!r} is no name of a variable")
        if not given and name not in os.environ:
            raise UsageError(f"--env {name}: not set here, so there is nothing to pass on")
        made[name] = value if given else os.environ[name]
    return made
