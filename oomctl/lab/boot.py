"""Boots one virtual machine and holds its ports; QEMU always ends with the block."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO

from oomctl import cache
from oomctl.errors import OomctlError
from oomctl.lab import disks, initramfs, qemu, tools
from oomctl.lab.guest_log import GuestLog
from oomctl.lab.pump import Tail
from oomctl.lab.qemu import Machine, Wiring
from oomctl.proc import fork, programs

_REMOVAL_SECONDS = 5.0
_SPACE = 32 << 20
"""Bytes that an initramfs, and the tables of a disk's file system, take at most."""
_OUTPUTS = ("stdout", "stderr", "kmsg")


@dataclass(frozen=True)
class Job:
    """What the guest runs: words, environment, folder.

    `module` is a .ko to load first. With `look` the guest searches kallsyms for the kfunc before
    that, a second under emulation, since the host does not know whether the kernel has it.
    `modules` is the host's folder of the kernel's own modules, for modprobe. `terminal` is the size
    of a terminal, rows and columns, on which the words run instead of on the ports. A `kept` guest
    runs no words, but what comes through its port `control`.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    module: Path | None = None
    look: bool = False
    modules: Path | None = None
    terminal: tuple[int, int] | None = None
    kept: bool = False


@dataclass
class Guest:
    """A machine that boots or runs: QEMU, and the host's ends of its ports.

    The ports `stdout` and `stderr` carry the command's output with records (lab/stream.py), `kmsg`
    the kernel log; `control` takes lines for guest-run.sh; `terminal` is its hvc0.
    """

    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    kmsg: IO[bytes]
    control: socket.socket
    terminal: socket.socket
    nonce: str
    serial: Tail
    monitor: Tail = field(default_factory=Tail)

    def __post_init__(self) -> None:
        """Prepare the scan of the kernel log."""
        self.log = GuestLog(self.nonce)

    @property
    def tails(self) -> list[tuple[IO[bytes], Tail | GuestLog]]:
        """What is to be read beside the command's output: console, QEMU's messages, kernel log."""
        assert self.process.stdout is not None  # noqa: S101
        assert self.process.stderr is not None  # noqa: S101
        return [
            (self.process.stdout, self.serial),
            (self.process.stderr, self.monitor),
            (self.kmsg, self.log),
        ]


@contextlib.contextmanager
def booted(vm: Machine, job: Job, deadline: float, serial_to: int | None) -> Iterator[Guest]:
    """Start a machine, and end it with the block; its console also goes to `serial_to`.

    subprocess.TimeoutExpired if virtme-ng takes too long, OomctlError if a part cannot be made.
    """
    nonce = secrets.token_hex(8)
    cache.require_space(_SPACE, "booting a guest")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(cache.scratch("disk-"))
        stack.enter_context(_removed_at_end(folder))
        vm = replace(vm, disk=folder if qemu.can_be_given(folder) else None)
        drives = [
            (name, stack.enter_context(file)) for name, file in disks.made(vm, folder, deadline)
        ]
        virtme_output, image = _prepare(vm, job, nonce, deadline)
        stack.enter_context(image)
        pipes = [os.pipe() for _ in _OUTPUTS]
        readers = [stack.enter_context(open(read, "rb", buffering=0)) for read, _ in pipes]
        writers = [stack.enter_context(open(write, "wb", buffering=0)) for _, write in pipes]
        pairs = [socket.socketpair() for _ in ("control", "terminal")]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
        wiring = Wiring(
            initramfs=f"/proc/self/fd/{image.fileno()}",
            outputs=tuple(zip(_OUTPUTS, (w.fileno() for w in writers), strict=True)),
            control=pairs[0][1].fileno(),
            terminal=pairs[1][1].fileno(),
            drives=tuple((name, file.fileno()) for name, file in drives),
        )
        command = qemu.qemu(vm, virtme_output, wiring)
        process = stack.enter_context(_started(command, [*wiring.fds, image.fileno()]))
        for writer in writers:
            writer.close()
        (control, _), (terminal, _) = pairs
        for _, theirs in pairs:
            theirs.close()
        serial = Tail(serial_to, deadline)
        out, err, log = readers
        yield Guest(process, out, err, log, control, terminal, nonce, serial)


@contextlib.contextmanager
def _removed_at_end(folder: Path) -> Iterator[None]:
    """Have a folder removed at the end, also by SIGKILL: a shell waits for the end of a pipe."""
    read, write = os.pipe()
    try:
        remover = subprocess.Popen(
            ["sh", "-c", 'cat >/dev/null; until rm -rf -- "$PWD"; do sleep 0.1; done'],
            cwd=folder,
            stdin=read,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a signal to oomctl's process group must not end it
        )
    finally:
        os.close(read)
    try:
        yield
    finally:
        os.close(write)
        with contextlib.suppress(subprocess.TimeoutExpired):
            remover.wait(_REMOVAL_SECONDS)


def run_virtme(command: list[str], timeout: float | None = None) -> str:
    """Run virtme-ng and return its output; subprocess.TimeoutExpired if it takes too long."""
    status, output = programs.run(*command, timeout=timeout)
    if status:
        raise OomctlError("virtme-ng failed", "run with -v to see its output", output)
    return output


@contextlib.contextmanager
def _started(command: list[str], fds: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    """Start QEMU, and end it with the block; the kernel kills it if oomctl is killed."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=fds,
        start_new_session=True,
        preexec_fn=partial(fork.die_with, os.getpid()),
    )
    try:
        yield process
    finally:
        process.kill()
        programs.reap(process)


def _prepare(vm: Machine, job: Job, nonce: str, deadline: float) -> tuple[str, IO[bytes]]:
    """Return the output of virtme-ng, and its initramfs with the lab's files and the command.

    The file has no name any more, so that it cannot be left behind.
    """
    with cache.scratch("boot-") as folder:
        path = folder / "initramfs"
        left = max(deadline - time.monotonic(), 0.01)
        virtme_output = run_virtme(qemu.with_initramfs(vm, path), left)
        image = path.open("ab+")
    files = initramfs.guest_files()
    if job.module is not None:
        files[f"lab/{job.module.name}"] = job.module.read_bytes()
    files["lab/settings"] = initramfs.settings(
        nonce=nonce,
        module=job.module.stem if job.module else "",
        modules=str(job.modules or ""),
        look="yes" if job.look else "",
        setsid=str(tools.setsid() if vm.architecture.is_native else "/usr/bin/setsid"),
        modprobe=str(tools.modprobe() if vm.architecture.is_native else "/sbin/modprobe"),
        disk=f"virtme.initmount{len(vm.rwdirs)}" if vm.disk else "",
        scratch="yes" if vm.scratch else "",
        swap="yes" if vm.swap else "",
        terminal="{} {}".format(*job.terminal) if job.terminal else "",
        kept="yes" if job.kept else "",
        **qemu.shares(vm),
    )
    files["lab/command"] = initramfs.command(
        job.words, job.environment, job.cwd, terminal=job.terminal is not None
    )
    image.write(initramfs.archive(files))
    image.flush()
    return virtme_output, image
