"""`oomctl lab`: run a command in a virtual machine whose kernel has bpf_out_of_memory()."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import compare, completion, ending, guest
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import flag, value
from oomctl.cli.output import Output
from oomctl.errors import OomctlError, UsageError
from oomctl.lab import boot, fitness, guest_kernel, kept, kernel_option, kvm, qemu, stock, tools, vm
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.qemu import Wiring
from oomctl.report.parts import Lines, as_text

_KERNEL = "{kernel}"
"""What stands for the kernel's name in a command on several kernels."""


@dataclass(frozen=True, kw_only=True)
class LabRunOptions(guest.MachineOptions):
    """The options of `oomctl lab run`; UsageError if they exclude each other."""

    command: guest.Command
    env: guest.Env = None
    kfunc: guest.Kfunc = True
    dry_run: Annotated[
        bool, flag("--dry-run", "Print the commands that would boot; boot nothing.")
    ] = False

    def __post_init__(self) -> None:
        """Check the options against each other."""
        super().__post_init__()
        guest.require_name(self.command)
        if self.module and not self.kfunc:
            raise UsageError("--module and --no-kfunc exclude each other", "give one of them")


@command(
    "and others: those of COMMAND",
    more=ending.CODES,
    environment=[CACHE],
    context_settings={"allow_interspersed_args": False},
)
def run(given: LabRunOptions) -> None:
    """Run a command as root in a virtual machine with the kfunc.

    The guest's root is this machine's, so checkout and virtual environment have the same paths.
    What the guest writes stays in its memory and is lost at its end, other than in the folders of
    --rwdir. The command starts in the caller's folder; PATH begins with this Python's; stdin is
    /dev/null; stdout and stderr are separate, byte for byte. There is no network. The
    machine is made by virtme-ng and QEMU, and is emulated unless KVM works. With several kernels
    the command runs on one after another, and the exit code is the first that is not 0; {kernel} in
    COMMAND is replaced by the kernel's name, and records of `oomctl run --record {kernel}.jsonl`
    are compared, the first with each other one.

    Examples:
      oomctl lab run -- oomctl declare --hogs 3
      oomctl lab run --kernel ~/linux --rwdir . -- oomctl smoke -o result.ktap
      oomctl lab run --kernel stock --kernel reference -- oomctl declare
    """
    environment = guest.environment(given.env or [])
    if given.dry_run:
        _show(given, environment)
        return
    with guest.all_ready(given, given.kfunc) as hosts:
        if len(hosts) == 1:
            raise typer.Exit(_run(given, hosts[0][1], given.command, environment))
        statuses = []
        for name, host in hosts:
            console.note(f"on {name}: Linux {host.kernel.release}")
            words = [word.replace(_KERNEL, _file_name(name)) for word in given.command]
            statuses.append(_run(given, host, words, environment))
    names = [name for name, _host in hosts]
    pairs = zip(statuses, names, strict=True)
    console.note(f"status {', '.join(f'{status} on {name}' for status, name in pairs)}")
    if records := _records(given.command, names):
        with Output(None) as place:
            for record in records[1:]:
                place.write(compare.render((records[0], record), "table"))
    raise typer.Exit(next(filter(None, statuses), 0))


def _file_name(kernel: str) -> str:
    return re.sub(r"[^\w.+-]", "_", kernel)


def _records(words: list[str], names: Sequence[str]) -> list[Path]:
    """Return the records that the command has made on this machine, one for each kernel."""
    for option, word in pairwise(words):
        if option == "--record" and _KERNEL in word:
            records = [Path(word.replace(_KERNEL, _file_name(name))) for name in names]
            return records if all(record.is_file() for record in records) else []
    return []


def _run(
    given: LabRunOptions, host: guest.Host, words: Sequence[str], environment: dict[str, str]
) -> int:
    """Run a command on a kernel; return the exit code of that."""
    out, err = guest.outputs()
    machine = given.machine(host.kernel.image, host.kvm)
    job = host.job(words, environment, str(Path.cwd()))
    ended = vm.run(machine, job, given.timeout, out, err)
    if ended.boot is not None:
        console.detail(f"the guest took {ended.boot:.1f} s to boot and {ended.total:.1f} s in all")
    return ending.exit_code(ended, given)


@dataclass(frozen=True)
class FetchOptions:
    """The options of `oomctl lab fetch`."""

    update: Annotated[bool, flag("--update", "Ask the archive for a newer kernel.")] = False
    kernel: Annotated[
        str,
        value(
            "KERNEL",
            "The kernel to fetch: stock, or a version such as 6.12.",
            autocompletion=completion.kernels,
        ),
    ] = "stock"


@command("kernel, module and KVM's answer are there", environment=[CACHE])
def fetch(given: FetchOptions) -> None:
    """Fetch and prepare what `lab run` needs.

    It fetches Debian's newest kernel that works here into the cache, about 130 MB, or the one of
    --kernel, with apt's own checks of the signatures, builds the module, and probes KVM. It
    installs nothing, and does nothing if all is there.

    Examples:
      oomctl lab fetch
      oomctl lab fetch --update
      oomctl lab fetch --kernel 7.3
    """
    console.verbose_steps()
    with Output(None) as place:
        tools.require()
        found = kernel_option.find(given.kernel, given.update)
        fitness.require(found, kfunc=True)
        guest_kernel.module_for(found)
        state = "with KVM" if kvm.works(found.image) else "emulated (no working KVM)"
        place.write(f"{found.release} is ready, {state}\n")


@command("shown, whatever is missing", environment=[CACHE])
def status() -> None:
    """Show what `lab run` would use, and the guests that are kept.

    It fetches, builds and boots nothing.

    Examples:
      oomctl lab status
    """
    found, lack = _look()
    answer = {True: "works", False: "does not work here", None: "not probed yet"}[kvm.known()]
    try:
        tools.require()
        programs = "all there"
    except OomctlError as error:
        programs = str(error)
    rows = [("programs", programs), ("kernel", found.release if found else lack)]
    if found:
        rows.append(("module", "built" if guest_kernel.built(found) else "to be built"))
        rows.append(("image", str(found.image)))
    rows.append(("KVM", answer))
    for each in kept.listed():
        rows.append(("guest", f"{each.name}: {each.kernel}, kept by pid {each.pid}"))
    with Output(None) as place:
        place.write(as_text([Lines(rows)], terminal=place.width))


def _look() -> tuple[Kernel | None, str]:
    """Return the stock kernel, and what to show if there is none."""
    try:
        return stock.chosen(), "none yet: oomctl lab fetch"
    except OomctlError as error:
        return None, str(error)


def _show(given: LabRunOptions, environment: dict[str, str]) -> None:
    """Print what would be run; the initramfs and descriptors get their real names only then."""
    found = kernel_option.find_local(given.only_kernel)
    fitness.require(found, given.kfunc, given.module)
    accelerated = bool(kvm.known()) if given.kvm == "auto" else given.kvm == "on"
    machine = given.machine(found.image, accelerated)
    answer = boot.run_virtme(qemu.virtme(machine))
    prepare = shlex.join(qemu.with_initramfs(machine, Path("initramfs")))
    names = [name for name, size in (("scratch", given.disk), ("swap", given.swap)) if size]
    drives = tuple((name, 8 + number) for number, name in enumerate(names))
    outputs = (("stdout", 3), ("stderr", 4), ("kmsg", 5))
    wiring = Wiring("initramfs", outputs, control=6, terminal=7, drives=drives)
    started = shlex.join(qemu.qemu(machine, answer, wiring))
    set_here = [f"{name}={value}" for name, value in environment.items()]
    faults = "".join(f"# expected of its kernel: {text}\n" for text in given.expect_console or ())
    module = given.module or ("unless the kernel has the kfunc" if given.kfunc else "none")
    with Output(None) as place:
        place.write(
            f"{prepare}\n{started}\n# module: {module}\n# at most {given.timeout}, in the guest:\n"
            f"# {shlex.join(['env', '-i', *set_here, *given.command])}\n{faults}"
        )
