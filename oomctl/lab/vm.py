"""Runs one command in one virtual machine: boots it, passes on its output, and always ends it."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from oomctl import cache, console
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.lab import initramfs, qemu, tools
from oomctl.lab.pump import Output, Sink, Tail, pump
from oomctl.lab.qemu import Machine
from oomctl.lab.stream import Stream
from oomctl.proc import fork, programs

_QEMU_END_SECONDS = 3.0
_REMOVAL_SECONDS = 5.0

_SEE_V = "run with -v to see why"
_REFUSALS = {
    "no-memory-controller": ("the guest's kernel has no cgroup v2 memory controller", _SEE_V),
    "no-kfunc": (
        "the guest's kernel has no bpf_out_of_memory() and no headers to build the module with",
        "unpack its headers beside it, or give the build tree",
    ),
    "no-module": ("the guest's kernel has no bpf_out_of_memory() and refused the module", _SEE_V),
    "no-rwdir": ("the guest could not mount a folder given with --rwdir", _SEE_V),
}
"""What guest-run.sh reports instead of a status if it cannot run the command."""


@dataclass(frozen=True)
class Job:
    """What the guest runs: words, environment, folder.

    `module` is a .ko to load first. With `look` the guest searches kallsyms for the kfunc before
    that, a second under emulation, since the host does not know whether the kernel has it.
    `modules` is the host's folder of the kernel's own modules, for modprobe.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    module: Path | None = None
    look: bool = False
    modules: Path | None = None


@dataclass(frozen=True)
class Ending:
    """How the machine ended: the command's status, or None after a timeout or a dead guest.

    `boot` is the seconds until the command started (None: it never did), `total` of the whole run;
    `qemu` says how QEMU ended if it ended by itself.
    """

    status: int | None
    timed_out: bool
    boot: float | None
    total: float
    console: str
    qemu: str = ""


def run(vm: Machine, job: Job, timeout: float, out: Sink, err: Sink) -> Ending:
    """Boot, run the job, and return how it ended; stdout and stderr go to `out` and `err`.

    UnsupportedError if the guest refuses the job, OomctlError if QEMU does not start.
    """
    nonce = secrets.token_hex(8)
    started = time.monotonic()
    deadline = started + timeout
    outputs = [Output(Stream(nonce), sink, deadline) for sink in (out, err)]
    serial = Tail(err if vm.console and isinstance(err, int) else None, deadline)
    monitor = Tail()
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(cache.scratch("disk-"))
        stack.enter_context(_removed_at_end(disk))
        vm = replace(vm, disk=disk if qemu.can_be_given(disk) else None)
        try:
            virtme_output, image = _prepare(vm, job, nonce, timeout)
        except subprocess.TimeoutExpired:
            return Ending(None, True, None, time.monotonic() - started, "")
        stack.enter_context(image)
        pipes = [os.pipe() for _ in outputs]
        readers = [stack.enter_context(open(read, "rb", buffering=0)) for read, _ in pipes]
        writers = [stack.enter_context(open(write, "wb", buffering=0)) for _, write in pipes]
        fds = [writer.fileno() for writer in writers]
        ports = [*zip(("stdout", "stderr"), fds, strict=True)]
        command = qemu.qemu(vm, virtme_output, f"/proc/self/fd/{image.fileno()}", ports)
        process = stack.enter_context(_started(command, [*fds, image.fileno()]))
        for writer in writers:
            writer.close()
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        streams = [*zip(readers, outputs, strict=True)]
        pumped = pump(streams, [(process.stdout, serial), (process.stderr, monitor)], deadline)
        boot = pumped.boot - started if pumped.boot is not None else None
        total = time.monotonic() - started
        how = "" if pumped.word or pumped.timed_out else _end(process)
    messages = [line for line in monitor.lines() if line]
    for line in messages:
        if "TCG doesn't support requested feature" not in line:
            console.detail(line)
    if pumped.word in _REFUSALS:
        raise UnsupportedError(
            *_REFUSALS[pumped.word], f"{serial.text()}\n{outputs[1].tail.text()}"
        )
    errors = [line for line in messages if "warning:" not in line]
    if errors and how and boot is None and not serial.kept:
        raise OomctlError(
            f"QEMU did not start: {errors[-1]}", "run with -v to see its output", monitor.text()
        )
    status = int(pumped.word) if pumped.word and pumped.word.isdigit() else None
    return Ending(status, pumped.timed_out, boot, total, serial.text(), how)


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


def _end(process: subprocess.Popen[bytes]) -> str:
    """Say how QEMU ended, whose descriptors are all closed."""
    try:
        status = process.wait(_QEMU_END_SECONDS)
    except subprocess.TimeoutExpired:
        return "its QEMU hangs"
    if status < 0:
        return f"its QEMU was killed by {signal.Signals(-status).name}"
    return f"its QEMU ended with status {status}" if status else "it was switched off"


def _prepare(vm: Machine, job: Job, nonce: str, timeout: float) -> tuple[str, IO[bytes]]:
    """Return the output of virtme-ng, and its initramfs with the lab's files and the command.

    The file has no name any more, so that it cannot be left behind.
    """
    with cache.scratch("boot-") as folder:
        path = folder / "initramfs"
        virtme_output = run_virtme(qemu.with_initramfs(vm, path), timeout)
        image = path.open("ab+")
    files = initramfs.guest_files()
    if job.module is not None:
        files[f"lab/{job.module.name}"] = job.module.read_bytes()
    folders = {f"rwdir{number}": str(path) for number, path in enumerate(vm.rwdirs)}
    files["lab/settings"] = initramfs.settings(
        nonce=nonce,
        module=job.module.stem if job.module else "",
        modules=str(job.modules or ""),
        look="yes" if job.look else "",
        setsid=str(tools.setsid()),
        rwdirs=len(vm.rwdirs),
        disk=f"virtme.initmount{len(vm.rwdirs)}" if vm.disk else "",
        **folders,
    )
    files["lab/command"] = initramfs.command(job.words, job.environment, job.cwd)
    image.write(initramfs.archive(files))
    image.flush()
    return virtme_output, image


def panic(console: str) -> str | None:
    """Find why the guest's kernel panicked in the console's text; None if it did not."""
    found = re.search(r"Kernel panic - not syncing: (.*)", console)
    return found[1].strip() if found else None
