"""Runs one command in one virtual machine, and passes on its output."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from oomctl import cache, console
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.lab.boot import booted
from oomctl.lab.pump import Output, Pumped, Sink, Taker, pump
from oomctl.lab.qemu import Machine
from oomctl.lab.running import Guest, Job
from oomctl.lab.stream import Stream
from oomctl.oom.faults import Fault, find_faults

_QEMU_END_SECONDS = 3.0
_KEPT_CONSOLES = 9

_SEE_V = "run with -v to see why"
_REFUSALS = {
    "no-memory-controller": ("the guest's kernel has no cgroup v2 memory controller", _SEE_V),
    "no-kfunc": (
        "the guest's kernel has no bpf_out_of_memory() and no headers to build the module with",
        "unpack its headers beside it, or give the build tree",
    ),
    "no-module": ("the guest's kernel has no bpf_out_of_memory() and refused the module", _SEE_V),
    "no-folder": ("the guest could not mount a folder of this machine", _SEE_V),
    "no-scratch": (
        "the guest could not mount its scratch disk",
        "its kernel needs virtio_blk and ext4, as modules or built in; or leave out --disk",
    ),
    "no-swap": (
        "the guest could not use its swap disk",
        "its kernel needs virtio_blk and CONFIG_SWAP; or leave out --swap",
    ),
    "no-zram": (
        "the guest could not use zram as swap",
        "its kernel needs CONFIG_ZRAM and CONFIG_SWAP; or give it a swap disk with --swap",
    ),
    "no-terminal": (
        "the guest has no terminal /dev/hvc0",
        "its kernel needs CONFIG_VIRTIO_CONSOLE",
    ),
}
"""What guest-run.sh reports instead of a status if it cannot run the command."""


@dataclass(frozen=True)
class Ending:
    """How the machine ended: the command's status, or None after a timeout or a dead guest.

    `boot` is the seconds until the command started (None: it never did), `total` of the whole run;
    `qemu` says how QEMU ended if it ended by itself. `faults` are those that the kernel reported.
    """

    status: int | None
    timed_out: bool
    boot: float | None
    total: float
    console: str
    qemu: str = ""
    faults: tuple[Fault, ...] = ()


def run(vm: Machine, job: Job, timeout: float, out: Sink, err: Sink) -> Ending:
    """Do run_once(), and once more if the guest died before the command had begun.

    The first console is kept in the cache, and a note says so.
    """
    ending = run_once(vm, job, timeout, out, err)
    if ending.boot is not None or ending.timed_out or not ending.console.strip():
        return ending
    why = panic(ending.console) or ending.qemu
    console.note(
        f"the guest died before the command began ({why}), its console is in "
        f"{_keep(ending.console)}; booting it once more"
    )
    again = run_once(vm, job, timeout - ending.total, out, err)
    return replace(again, total=ending.total + again.total)


Connect = Callable[[Guest, float], AbstractContextManager[Sequence[tuple[IO[bytes], Taker]]]]
"""Connects something else with a guest, up to a deadline; returns what is to be read for it."""


def run_once(
    vm: Machine,
    job: Job,
    timeout: float,
    out: Sink,
    err: Sink,
    connect: Connect = lambda _guest, _deadline: nullcontext(()),
) -> Ending:
    """Boot, run the job, and return how it ended; stdout and stderr go to `out` and `err`.

    UnsupportedError if the guest refuses the job, OomctlError if QEMU does not start.
    """
    started = time.monotonic()
    deadline = started + timeout
    serial_to = err if vm.console and isinstance(err, int) else None
    try:
        with booted(vm, job, deadline, serial_to) as guest, connect(guest, deadline) as more:
            outputs = [Output(Stream(guest.nonce), sink, deadline) for sink in (out, err)]
            streams = [*zip((guest.stdout, guest.stderr), outputs, strict=True)]
            settled = partial(_is_settled, guest)
            pumped = pump(streams, guest.tails, deadline, settled, extras=more)
            tell_executed(outputs)
            total = time.monotonic() - started
            how = "" if pumped.word or pumped.timed_out else end_of(guest)
    except subprocess.TimeoutExpired:
        return Ending(None, True, None, time.monotonic() - started, "")
    boot = pumped.boot - started if pumped.boot is not None else None
    check(guest, pumped, how, outputs[1].tail.text())
    status = int(pumped.word) if pumped.word and pumped.word.isdigit() else None
    faults = faults_of(guest, bool(pumped.word))
    return Ending(status, pumped.timed_out, boot, total, guest.serial.text(), how, faults)


def tell_executed(outputs: Sequence[Output]) -> None:
    """Say, with -v, that the Python was not there that should have waited in a guest."""
    if any(output.stream.executed for output in outputs):
        console.detail("no Python waits in the guest: the command was executed")


def _is_settled(guest: Guest) -> bool:
    """Tell whether a guest's log and terminal have been read to the command's end."""
    return guest.log.ended and not select.select([guest.terminal], [], [], 0)[0]


def check(guest: Guest, pumped: Pumped, how: str, stderr: str) -> None:
    """Raise the error of a guest that refused its job, or of a QEMU that did not start."""
    messages = [line for line in guest.messages.lines() if line]
    for line in messages:
        if "TCG doesn't support requested feature" not in line:
            console.detail(line)
    if pumped.word in _REFUSALS:
        raise UnsupportedError(*_REFUSALS[pumped.word], f"{guest.serial.text()}\n{stderr}")
    errors = [line for line in messages if "warning:" not in line]
    if errors and how and pumped.boot is None and not guest.serial.kept:
        raise OomctlError(
            f"QEMU did not start: {errors[-1]}",
            "run with -v to see its output",
            guest.messages.text(),
        )


def faults_of(guest: Guest, is_alive: bool) -> tuple[Fault, ...]:
    """Return what the kernel reported in its log; of a guest that died, also on its console."""
    faults = guest.log.faults
    if is_alive:
        return faults
    known = {fault.lines[0] for fault in faults}
    on_console = find_faults(guest.serial.lines())
    new = {fault.lines[0]: fault for fault in on_console if fault.lines[0] not in known}
    return (*faults, *new.values())


def end_of(guest: Guest) -> str:
    """Say how QEMU ended; its descriptors are all closed."""
    try:
        status = guest.process.wait(_QEMU_END_SECONDS)
    except subprocess.TimeoutExpired:
        return "its QEMU hangs"
    if status < 0:
        return f"its QEMU was killed by {signal.Signals(-status).name}"
    return f"its QEMU ended with status {status}" if status else "it was switched off"


def _keep(text: str) -> Path:
    """Keep a console in the cache, beside the last ones."""
    folder = cache.folder("consoles")
    for old in sorted(folder.glob("*.txt"))[:-_KEPT_CONSOLES]:
        old.unlink(missing_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    path.write_text(text + "\n")
    return path


def panic(console: str) -> str | None:
    """Find why the guest's kernel panicked in the console's text; None if it did not."""
    found = re.search(r"Kernel panic - not syncing: (.*)", console)
    return found and found[1].strip()
