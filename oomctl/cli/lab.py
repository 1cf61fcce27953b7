"""`oomctl lab`: run a command in a virtual machine whose kernel has bpf_out_of_memory()."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from oomctl import cache, console
from oomctl.cli import compare, ending, forms, guest, kept, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import flag
from oomctl.cli.output import Output
from oomctl.errors import OomctlError, UsageError
from oomctl.lab import boot, fitness, guest_root, kernel_option, kvm, qemu, vm
from oomctl.lab.pump import Sink
from oomctl.lab.qemu import Wiring
from oomctl.report import KERNELS_RENDERERS, ShortFormat
from oomctl.rounds.kernels import KernelRecord, KernelsComparison
from oomctl.rounds.record import read_record

_FILE, _MANY = {"--record", "--output", "-o"}, {"--repeat", "--for", "--until-differs"}
_FORM_IN_FILE = re.compile(r"(-f|--format)[ =]?[\w-]+=")
_OWN_FORM = ("--record", "--no-record", "--format", "-f", "--output", "-o", "--dry-run", "-h")
"""Options of `declare` and `run` by which their own output is asked for."""
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
    formats: Annotated[
        forms.Given,
        forms.option(ShortFormat, "Of the comparison of several kernels."),
    ] = None
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the options against each other."""
        super().__post_init__()
        guest.require_name(self.command)
        if (self.formats or self.output) and not self.compared:
            raise UsageError(
                "--format and --output are for a comparison of several kernels",
                "give --kernel twice, and `oomctl declare` or `oomctl run` without --record and "
                "--format; options of COMMAND go after it",
            )
        if self.module and not self.kfunc:
            raise UsageError("--module and --no-kfunc exclude each other", "give one of them")

    @property
    def compared(self) -> bool:
        """Whether the command makes rounds that are recorded and compared by kernel."""
        name, *words = self.command
        return (
            len(self.kernels) > 1
            and Path(name).name == "oomctl"
            and words[:1] in (["declare"], ["run"])
            and not any(word.startswith(_OWN_FORM) for word in words)
        )

    @property
    def loses_files(self) -> bool:
        """Whether oomctl will write files in the guest, none of whose folders stays."""
        name, *words = self.command
        options = {word.partition("=")[0] for word in words}
        in_form = any(_FORM_IN_FILE.match(f"{one} {two}") for one, two in pairwise([*words, ""]))
        of_rounds = words[:1] == ["run"] and options & _MANY and "--no-record" not in options
        writes = bool(options & _FILE or in_form or of_rounds)
        return Path(name).name == "oomctl" and writes and not (self.rwdir or self.compared)


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
    the command runs on one after another, and the exit code is the first that is not 0. If it is
    `oomctl declare` or `oomctl run`, one comparison of the kernels is printed instead of its
    output. In other commands {kernel} is replaced by the kernel's name.

    Examples:
      oomctl lab run -- oomctl declare --hogs 3
      oomctl lab run --kernel ~/linux --rwdir . -- oomctl smoke -o result.ktap
      oomctl lab run --kernel stock --kernel reference -- oomctl declare
    """
    environment = guest.environment(given.env or [])
    if given.dry_run:
        _show(given, environment)
        return
    wanted = forms.of(given.formats)
    with forms.Places(wanted, given.output) as places, guest.all_ready(given, given.kfunc) as hosts:
        if given.loses_files:
            console.note(
                "files of oomctl go with the guest: `--rwdir .` keeps those of this folder"
            )
        if len(hosts) == 1:
            raise typer.Exit(_run(given, hosts[0][1], given.command, environment))
        if given.compared:
            kernels = KernelsComparison(_recorded(given, hosts, environment))
            kept.keep("lab-run", lambda: KERNELS_RENDERERS["json"](kernels))
            places.write(KERNELS_RENDERERS, kernels)
            kept.next_step(given.formats)
            raise typer.Exit(kernels.exit)
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


def _recorded(
    given: LabRunOptions, hosts: Sequence[tuple[str, guest.Host]], environment: dict[str, str]
) -> list[KernelRecord]:
    """Run `declare` or `run` on each kernel; a kernel that fails does not end it."""
    found = []
    with cache.scratch("records-") as folder:
        for number, (name, host) in enumerate(hosts):
            console.progress(f"testing {name}: {host.kernel.release}")
            record = folder / f"{number}.jsonl"
            program, verb, *rest = given.command
            words = [program, verb, "--record", str(record), *rest]
            status, error = None, ""
            try:
                status = _run(given, host, words, environment, folder)
                sections = read_record(record) if record.exists() else []
            except OomctlError as failed:
                error, sections = str(failed), []
            if not sections:
                error = error or f"the command ended with status {status}, without a round"
                console.note(f"{name}: {error}")
            # the file goes with the folder
            kept = [replace(one, lines=partial(list, list(one.lines()))) for one in sections]
            found.append(KernelRecord(name, status, kept, error))
    return found


def _run(
    given: LabRunOptions,
    host: guest.Host,
    words: Sequence[str],
    environment: dict[str, str],
    records: Path | None = None,
) -> int:
    """Run a command on a kernel; return the exit code of that.

    With `records`, a folder that the guest may write to, its stdout is not passed on.
    """
    out: Sink
    out, err = guest.outputs()
    machine = given.machine(host)
    if records:
        out, machine = _drop, replace(machine, rwdirs=(*machine.rwdirs, records))
    job = host.job(words, environment, str(Path.cwd()))
    ended = vm.run(machine, job, given.timeout, out, err)
    if ended.boot is not None:
        console.detail(f"the guest took {ended.boot:.1f} s to boot and {ended.total:.1f} s in all")
    return ending.exit_code(ended, given)


def _drop(_data: bytes) -> None:
    """Take what a guest prints, of which the comparison has all."""


def _show(given: LabRunOptions, environment: dict[str, str]) -> None:
    """Print what would be run; the initramfs and descriptors get their real names only then."""
    found = kernel_option.find_local(given.only_kernel, given.arch or "")
    fitness.require(found, given.kfunc, given.module)
    accelerated = bool(kvm.known()) if given.kvm == "auto" else given.kvm == "on"
    root = guest_root.find(found.architecture)
    host = guest.Host(found, accelerated and found.architecture.is_native, None, False, root)
    machine = given.machine(host)
    answer = boot.run_virtme(qemu.virtme(machine))
    prepare = shlex.join(qemu.with_initramfs(machine, Path("initramfs")))
    names = [name for name, size in (("scratch", given.disk), ("swap", given.swap)) if size]
    drives = tuple((name, 8 + number) for number, name in enumerate(names))
    outputs = (("stdout", 3), ("stderr", 4), ("kmsg", 5))
    wiring = Wiring("initramfs", outputs, control=6, terminal=7, drives=drives)
    started = shlex.join(qemu.qemu(machine, answer, wiring))
    set_here = [
        f"{name}={value}" for name, value in host.job((), environment, "").environment.items()
    ]
    faults = "".join(f"# expected of its kernel: {text}\n" for text in given.expect_console or ())
    swap = f"# swap on zram: {given.zram}\n" if given.zram else ""
    module = given.module or ("unless the kernel has the kfunc" if given.kfunc else "none")
    with Output(None) as place:
        place.write(
            f"{prepare}\n{started}\n# module: {module}\n# at most {given.timeout}, in the guest:\n"
            f"{swap}# {shlex.join(['env', '-i', *set_here, *given.command])}\n{faults}"
        )
