"""`oomctl lab`: run a command in a virtual machine whose kernel has bpf_out_of_memory()."""

import select
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import guest, labsmoke
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.cli.smoke import BisectCommand
from oomctl.errors import OomctlError, UsageError
from oomctl.lab import guest_kernel, kvm, qemu, stock, tools, vm
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.qemu import Machine
from oomctl.lab.vm import Ending
from oomctl.text import printable

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A virtual machine whose kernel has bpf_out_of_memory(), to run a command in.",
)

TIMED_OUT = 124
VANISHED = 125
_CONSOLE_LINES = 60
_CONSOLE_COLUMNS = 240
_PATIENCE = 1.0

Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Say each step; show logs of failures.")
]


@app.command(
    context_settings={"allow_interspersed_args": False},
    epilog=f"Exit status: the command's own; {TIMED_OUT} the guest was ended at the timeout; "
    f"{VANISHED} the guest's kernel panicked or the guest vanished, the end of its console is on "
    "stderr; 127 no such command in the guest; 128+N the command died of signal N; 2 usage; "
    "3 this machine cannot; 4 oomctl failed; 130 Ctrl-C, which ends the guest.",
)
@guarded
def run(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="What to run, after `--`.")
    ],
    kernel_option: guest.KernelOption = "stock",
    memory: guest.Memory = "2G",
    cpus: guest.Cpus = 2,
    timeout: guest.Timeout = 600,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="NAME[=VALUE]",
            help="Set a variable for the command, or pass on the caller's. TERM and OOMCTL_* "
            "always pass. Repeatable.",
        ),
    ] = None,
    rwdir: Annotated[
        list[Path] | None,
        typer.Option(
            "--rwdir",
            metavar="FOLDER",
            help="Let the guest write to this folder of the host. Repeatable.",
        ),
    ] = None,
    kvm_option: guest.Kvm = "auto",
    kfunc: Annotated[
        bool,
        typer.Option("--kfunc/--no-kfunc", help="Without: load no module, as on a stock kernel."),
    ] = True,
    module_file: guest.Module = None,
    show_console: Annotated[
        bool, typer.Option("--console", help="Show the kernel's console on stderr, all levels.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands that would boot; boot nothing.")
    ] = False,
    verbose: Verbose = 0,
) -> None:
    """Boot a virtual machine whose kernel has bpf_out_of_memory() and run COMMAND in it as root.

    The guest's root is this machine's, so checkout and virtual environment are there under the
    same paths; what the guest writes is kept in its memory and lost at its end, but for folders
    given with --rwdir. The command starts in the caller's folder, PATH begins with this Python's,
    stdin is /dev/null, stdout and stderr come through apart and byte for byte. There is no
    network. The machine is virtme-ng's and QEMU's; without a working KVM it is emulated.

    Example: oomctl lab run -- oomctl declare --hogs 3
    """
    console.set_verbosity(verbose)
    guest.check_timeout(timeout)
    if not command[0]:
        raise UsageError("the name of the command is empty", "give COMMAND after `--`")
    size = guest.memory(memory)
    environment = guest.environment(env or [])
    folders = tuple(_folder(folder) for folder in rwdir or [])
    if dry_run:
        _show(kernel_option, kvm_option, Machine(Path(), size, cpus, False, show_console, folders))
        return
    if module_file and not kfunc:
        raise UsageError("--module and --no-kfunc exclude each other", "give one of them")
    with guest.ready(kernel_option, kvm_option, kfunc, module_file) as host:
        out, err = _outputs()
        booted = Machine(host.kernel.image, size, cpus, host.kvm, show_console, folders)
        ending = vm.run(booted, host.job(command, environment, str(Path.cwd())), timeout, out, err)
    if ending.boot is not None:
        console.detail(
            f"the guest took {ending.boot:.1f} s to boot and {ending.total:.1f} s in all"
        )
    status = _status(ending)
    if ending.status is None and _listens(err):
        _tell(ending, timeout, show_console)
    raise typer.Exit(status)


@app.command()
@guarded
def fetch(
    update: Annotated[
        bool, typer.Option("--update", help="Ask the archive for a newer kernel.")
    ] = False,
    verbose: Verbose = 0,
) -> None:
    """Get everything ready that `lab run` needs: kernel, module, and the answer about KVM.

    Fetches Debian's newest kernel that works here into the cache, about 130 MB, with apt's own
    checks of the signatures; installs nothing. Does nothing where all is there.
    """
    console.set_verbosity(verbose)
    console.verbose_steps()
    with Output(None) as place:
        tools.require()
        found = stock.get(update)
        guest_kernel.module_for(found)
        state = "with KVM" if kvm.works(found.image) else "emulated (no working KVM)"
        place.write(f"{found.release} is ready, {state}\n")


@app.command()
@guarded
def status(verbose: Verbose = 0) -> None:
    """Show what `lab run` would use, without fetching, building or booting anything."""
    console.set_verbosity(verbose)
    found, lack = _look()
    answer = {True: "works", False: "does not work here", None: "not probed yet"}[kvm.known()]
    try:
        tools.require()
        programs = "all there"
    except OomctlError as error:
        programs = str(error)
    lines = [f"programs  {programs}", f"kernel    {found.release if found else lack}"]
    if found:
        lines.append(f"module    {'built' if guest_kernel.built(found) else 'to be built'}")
        lines.append(f"image     {found.image}")
    lines.append(f"KVM       {answer}")
    with Output(None) as place:
        place.write("".join(f"{printable(line)}\n" for line in lines))


def _look() -> tuple[Kernel | None, str]:
    """Return the stock kernel, and what is said where there is none."""
    try:
        return stock.chosen(), "none yet: oomctl lab fetch"
    except OomctlError as error:
        return None, str(error)


def _outputs() -> tuple[int, int]:
    """Give the descriptors that the command's stdout and stderr go to."""
    sys.stdout.flush()
    return sys.stdout.fileno(), sys.stderr.fileno()


def _show(text: str, kvm_option: str, wanted: Machine) -> None:
    """Print what would be run; the initramfs and descriptors get their real names only then."""
    found = stock.chosen() if text == "stock" else guest_kernel.given(Path(text))
    if found is None:
        raise UsageError("there is no stock kernel yet to show a command for", "oomctl lab fetch")
    accelerated = bool(kvm.known()) if kvm_option == "auto" else kvm_option == "on"
    shown = replace(wanted, image=found.image, kvm=accelerated)
    said = vm.run_virtme(qemu.virtme(shown))
    asked = shlex.join(qemu.with_initramfs(shown, Path("initramfs")))
    started = shlex.join(qemu.qemu(shown, said, "initramfs", [("stdout", 3), ("stderr", 4)]))
    with Output(None) as place:
        place.write(f"{asked}\n{started}\n")


def _status(ending: Ending) -> int:
    if ending.status is not None:
        return ending.status
    return TIMED_OUT if ending.timed_out else VANISHED


def _listens(fd: int) -> bool:
    """Tell whether stderr takes more: a pipe that the guest has filled would block us."""
    return bool(select.select([], [fd], [], _PATIENCE)[1])


def _tell(ending: Ending, timeout: float, console_shown: bool) -> None:
    if ending.timed_out:
        state = "running" if ending.boot is not None else "not begun: the guest was still booting"
        console.note(
            f"ended the guest at the timeout of {timeout:g} s, the command was {state}; "
            "--timeout SECONDS gives it longer"
        )
    else:
        console.note(_why_dead(ending))
    if not console_shown:
        for line in ending.console.splitlines()[-_CONSOLE_LINES:]:
            print(f"  {line[:_CONSOLE_COLUMNS]}", file=sys.stderr)


def _why_dead(ending: Ending) -> str:
    if panic := vm.panic(ending.console):
        return f"kernel-died: the guest's kernel panicked: {panic}"
    if ending.boot is None and not ending.console.strip():
        return f"the guest's kernel said nothing, and {ending.qemu}; its image may be damaged"
    if ending.boot is None:
        return f"the guest vanished before the command began: {ending.qemu}"
    return f"the guest vanished: {ending.qemu}"


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"--rwdir: {folder} is not a folder", "make it first")
    if not qemu.can_be_given(folder.absolute()):
        raise UsageError(f"--rwdir: {folder} has a character that virtme-ng cannot take")
    return folder.absolute()


app.command(name="smoke", cls=BisectCommand, epilog=labsmoke.EPILOG)(labsmoke.smoke)
