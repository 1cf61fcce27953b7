"""Starts one virtual machine and holds its ports; QEMU always ends with the block.

A machine is restored from a saved one if one fits; else it boots, and is saved if that is wanted.
Both then wait in guest-init.sh for a line from the host, answer it, and take their job.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import IO

from oomctl import cache, console
from oomctl.errors import OomctlError
from oomctl.lab import disks, initramfs, packed, qemu, saved, tools
from oomctl.lab.packed import Packed
from oomctl.lab.pump import Output, Tail, pump
from oomctl.lab.qemu import Machine, Wiring
from oomctl.lab.running import Guest, Job
from oomctl.lab.stream import Stream
from oomctl.proc import fork, programs

_REMOVAL_SECONDS = 5.0
_RESTORE_SECONDS = 30.0
"""A restored machine answers within a tenth of a second when it is alone."""
_SPACE = 96 << 20
"""Bytes that an initramfs, and the tables of a disk's file system, take at most."""
_PYTHON_MIB = 512
"""The memory of a guest in which a Python may wait: it takes a tenth of that."""
_OUTPUTS = ("stdout", "stderr", "kmsg")


@dataclass(frozen=True)
class _Start:
    """One start of a machine: its disks, and monotonic seconds at which it is late."""

    vm: Machine
    job: Job
    drives: list[tuple[str, IO[bytes]]]
    deadline: float
    serial_to: int | None
    nonce: str

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The lab's own files in the initramfs."""
        return initramfs.guest_files(self.job.module, self.job.look)

    @cached_property
    def python(self) -> Packed | None:
        """What a Python has loaded that waits in the machine; None if none does.

        One does in machines that are saved, if it can do the words, or some that come later.
        """
        vm, job = self.vm, self.job
        if not vm.saves or vm.memory_mib < _PYTHON_MIB or job.terminal:
            return None
        if not job.kept and packed.started(job.words, job.environment) is None:
            return None
        found = packed.find()
        return found if job.kept or (found and found.request(*job.asked)) else None

    @cached_property
    def key(self) -> str:
        """The name of the saved machine that may be restored for it."""
        python = self.python.digest if self.python else ""
        return saved.key(self.vm, self.files, self.job.modules, python)

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return max(self.deadline - time.monotonic(), 0.01)

    def archive(self) -> bytes:
        """Return what guest-init.sh unpacks: settings, and the command."""
        vm, job = self.vm, self.job
        native = vm.architecture.is_native
        settings = initramfs.settings(
            nonce=self.nonce,
            now=round(time.time()),
            modules=str(job.modules or ""),
            setsid=str(tools.setsid() if native else "/usr/bin/setsid"),
            modprobe=str(tools.modprobe() if native else "/sbin/modprobe"),
            disk="oomctl.disk" if vm.disk else "",
            scratch="yes" if vm.scratch else "",
            swap="yes" if vm.swap else "",
            zram=vm.zram or "",
            needs_zram="yes" if vm.needs_zram else "",
            terminal="{} {}".format(*job.terminal) if job.terminal else "",
            kept="yes" if job.kept else "",
            **qemu.shares(vm),
        )
        request = self.python.request(*job.asked) if self.python and not job.kept else ""
        words = initramfs.command(*job.asked, job.terminal is not None, request)
        return initramfs.archive({"settings": settings, "command": words})


@contextlib.contextmanager
def booted(vm: Machine, job: Job, deadline: float, serial_to: int | None) -> Iterator[Guest]:
    """Start a machine, and end it with the block; its console also goes to `serial_to`.

    It may be dead already, or late. subprocess.TimeoutExpired if virtme-ng takes too long,
    OomctlError if a part cannot be made.
    """
    cache.require_space(_SPACE, "booting a guest")
    with ExitStack() as stack:
        folder = stack.enter_context(cache.scratch("disk-"))
        stack.enter_context(_removed_at_end(folder))
        vm = replace(vm, disk=folder)
        drives = [
            (name, stack.enter_context(file)) for name, file in disks.made(vm, folder, deadline)
        ]
        start = _Start(vm, job, drives, deadline, serial_to, secrets.token_hex(8))
        yield (_restored(stack, start) if vm.saves else None) or _fresh(stack, start)


def _restored(stack: ExitStack, start: _Start) -> Guest | None:
    """Restore a machine, if one was saved that fits; None if none comes up."""
    with ExitStack() as attempt:
        found = attempt.enter_context(saved.found(start.key))
        if found is None:
            return None
        guest = attempt.enter_context(_machine(start, found.virtme_output, state=found.state))
        if _takes_job(guest, start, min(start.deadline, time.monotonic() + _RESTORE_SECONDS)):
            stack.push(attempt.pop_all())
            console.detail("a saved machine was restored")
            return guest
    if time.monotonic() > start.deadline:  # that says nothing of the machine
        return None
    why = [line for line in guest.messages.lines() if line and "warning:" not in line]
    console.detail(f"a saved machine did not come up: {why[-1] if why else 'it is silent'}")
    saved.discard(start.key)
    return None


def _fresh(stack: ExitStack, start: _Start) -> Guest:
    """Boot a machine, and save it if that is wanted."""
    with ExitStack() as attempt:
        virtme_output, image = _prepare(start)
        attempt.enter_context(image)
        guest = attempt.enter_context(_machine(start, virtme_output, image=image))
        is_up = _comes_up(guest, start.deadline)
        try:
            if is_up and guest.monitor:
                saved.save(start.key, guest.monitor, virtme_output, start.left)
        except (OSError, TimeoutError) as error:
            console.detail(f"a machine could not be saved: {error}")
        else:
            if is_up:
                _takes_job(guest, start, start.deadline)
            stack.push(attempt.pop_all())
            return guest
    return _fresh(stack, replace(start, vm=replace(start.vm, saves=False)))


def _comes_up(guest: Guest, deadline: float) -> bool:
    """Wait until guest-init.sh says that it is there."""
    streams = [(guest.stdout, Output(Stream("lab"), None, deadline))]
    return pump(streams, guest.tails, deadline, until_begun=True).boot is not None


def _takes_job(guest: Guest, start: _Start, deadline: float) -> bool:
    """Give the job to a guest that is up; False if it does not answer."""
    with contextlib.suppress(OSError):
        guest.control.settimeout(max(deadline - time.monotonic(), 0.01))
        guest.control.sendall(b"go\n")
        if _comes_up(guest, deadline):
            guest.control.sendall(start.archive())
            guest.control.settimeout(None)
            return True
    return False


@contextlib.contextmanager
def _machine(
    start: _Start, virtme_output: str, image: IO[bytes] | None = None, state: Path | None = None
) -> Iterator[Guest]:
    """Start QEMU: with an initramfs, or with the state of a saved machine."""
    vm = start.vm
    with ExitStack() as stack:
        pipes = [os.pipe() for _ in _OUTPUTS]
        readers = [stack.enter_context(open(read, "rb", buffering=0)) for read, _ in pipes]
        writers = [stack.enter_context(open(write, "wb", buffering=0)) for _, write in pipes]
        has_monitor = vm.saves and state is None
        names = ("control", "terminal", *(["monitor"] if has_monitor else []))
        pairs = {name: socket.socketpair() for name in names}
        for pair in pairs.values():
            for end in pair:
                stack.enter_context(end)
        ours = {name: pair[0] for name, pair in pairs.items()}
        theirs = {name: pair[1].fileno() for name, pair in pairs.items()}
        wiring = Wiring(
            initramfs=f"/proc/self/fd/{image.fileno()}" if image else "",
            saved=str(state or ""),
            outputs=tuple(zip(_OUTPUTS, (w.fileno() for w in writers), strict=True)),
            drives=tuple((name, file.fileno()) for name, file in start.drives),
            **theirs,
        )
        fds = [*wiring.fds, *([image.fileno()] if image else [])]
        command = qemu.qemu(vm, virtme_output, wiring)
        process = stack.enter_context(_started(command, fds))
        for writer in writers:
            writer.close()
        for _, end in pairs.values():
            end.close()
        out, err, log = readers
        serial = Tail(start.serial_to, start.deadline)
        control, terminal, monitor = ours["control"], ours["terminal"], ours.get("monitor")
        python = start.python.digest if start.python else ""
        yield Guest(process, out, err, log, control, terminal, start.nonce, monitor, serial, python)


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


def _prepare(start: _Start) -> tuple[str, IO[bytes]]:
    """Return the output of virtme-ng, and its initramfs with the lab's files.

    The file has no name any more, so that it cannot be left behind.
    """
    with cache.scratch("boot-") as folder:
        path = folder / "initramfs"
        virtme_output = run_virtme(qemu.with_initramfs(start.vm, path), start.left)
        image = path.open("ab+")
    image.write(initramfs.archive(start.files))
    if start.python:
        image.write(start.python.archive())
    image.flush()
    return virtme_output, image
