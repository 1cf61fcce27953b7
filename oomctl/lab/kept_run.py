"""Starts a kept guest in a process of its own, and runs commands in one."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import psutil

from oomctl import console
from oomctl.errors import Exit, OomctlError, UnsupportedError
from oomctl.lab import initramfs, kept, packed, vm
from oomctl.lab.boot import booted
from oomctl.lab.keeper import DONE, Keeper
from oomctl.lab.kept import Record
from oomctl.lab.pump import Output, Sink, pump
from oomctl.lab.qemu import Machine
from oomctl.lab.running import Guest, Job
from oomctl.lab.stream import Stream
from oomctl.lab.vm import Ending
from oomctl.oom.enums import FaultKind
from oomctl.oom.faults import Fault

_ANSWER = 1 << 20
_LATE = "the guest was still booting at the timeout"


@dataclass(frozen=True)
class Keeping:
    """How a guest is kept: its name, its kernel's release, its owner, its idle time in seconds."""

    name: str
    kernel: str
    owner: int | None
    idle: float


def start(
    machine: Machine, job: Job, keeping: Keeping, timeout: float
) -> tuple[float, tuple[Fault, ...]]:
    """Boot a guest in a process of its own, which keeps it.

    Returns the seconds of the boot, and faults that the kernel reported meanwhile.
    UsageError if one of that name runs; what fails in that process is raised here.
    """
    with kept.claimed(keeping.name) as file:
        read, write = os.pipe()
        with open(read, "rb") as reader:
            pid = os.fork()
            if pid == 0:
                _keep(machine, job, keeping, timeout, (file, write))
            os.close(write)
            try:
                answer = reader.read()  # the keeper closes its end when the guest is ready
            except BaseException:
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
                raise
    told = json.loads(answer or b"{}")
    if "boot" in told:
        return float(told["boot"]), _faults(told)
    os.waitpid(pid, 0)
    kind = UnsupportedError if told.get("code") == Exit.UNSUPPORTED else OomctlError
    why = told.get("why", f"the keeper of the guest (pid {pid}) died")
    raise kind(why, told.get("hint", ""), told.get("detail", ""))


def _keep(
    machine: Machine, job: Job, keeping: Keeping, timeout: float, ends: tuple[IO[str], int]
) -> NoReturn:
    """Keep a guest, in a forked process, which never returns to its parent's stack."""
    file, told = ends
    try:
        os.setsid()
        owner = None if keeping.owner is None else os.pidfd_open(keeping.owner)
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(kept.address(keeping.name))
            listener.listen(16)
            began = time.monotonic()
            guest = stack.enter_context(booted(machine, job, began + timeout, None))
            _await_boot(guest, began + timeout)
            created = psutil.Process().create_time()
            kernel, idle = keeping.kernel, keeping.idle
            told_of = (keeping.name, os.getpid(), created, kernel, keeping.owner, idle)
            kept.write(file, Record(*told_of, guest.python))
            faults = [asdict(fault) for fault in guest.log.faults]
            _tell(told, {"boot": time.monotonic() - began, "faults": faults})
            _detach(told)
            Keeper(guest, listener, owner, keeping.idle).serve()
    except OomctlError as error:
        left = {"code": error.code, "why": error.why, "hint": error.hint, "detail": error.detail}
        _tell(told, left)
    except subprocess.TimeoutExpired:
        _tell(told, {"why": _LATE, "hint": "--timeout TIME gives it longer"})
    except OSError as error:
        _tell(told, {"why": f"cannot keep a guest: {error.strerror or error}"})
    finally:
        Path(file.name).unlink(missing_ok=True)
        os._exit(0)


def _tell(told: int, what: Mapping[str, Any]) -> None:
    try:
        os.write(told, json.dumps(what).encode())
    except OSError:  # the guest was ready, and its starter has gone
        return


def _await_boot(guest: Guest, deadline: float) -> None:
    """Wait until the guest takes commands; OomctlError if it does not come up."""
    output = Output(Stream(guest.nonce), None, deadline)
    error = Output(Stream(guest.nonce), None, deadline)
    streams = [(guest.stdout, output), (guest.stderr, error)]
    pumped = pump(streams, guest.tails, deadline, until_begun=True)
    how = "" if pumped.boot or pumped.word or pumped.timed_out else vm.end_of(guest)
    vm.check(guest, pumped, how, error.tail.text())
    if pumped.boot:
        return
    if pumped.timed_out:
        raise OomctlError(_LATE, "--timeout TIME gives it longer")
    why = vm.panic(guest.serial.text()) or how
    raise OomctlError(
        f"the guest died while it booted: {why}",
        "run with -v to see its console",
        guest.serial.text(),
    )


def _detach(told: int) -> None:
    """Give up the streams of the command that has started the guest."""
    os.close(told)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)


def run(record: Record, job: Job, timeout: float, out: Sink, err: Sink) -> Ending:
    """Run words in a kept guest; after a timeout its keeper kills them.

    Waits for its turn if another command runs. OomctlError if the guest ends meanwhile.
    """
    began = time.monotonic()
    deadline = began + timeout
    with ExitStack() as stack:
        link = stack.enter_context(kept.connect(record))
        link.settimeout(timeout)
        try:
            greeting, fds, _flags, _address = socket.recv_fds(link, 4096, 3)
        except TimeoutError:
            return Ending(None, True, None, time.monotonic() - began, "")
        if len(fds) != 3:
            raise OomctlError(f"the guest {record.name!r} has ended", "start another")
        nonce = json.loads(greeting)["nonce"]
        stdout, stderr = (stack.enter_context(open(fd, "rb", buffering=0)) for fd in fds[:2])
        control = stack.enter_context(socket.socket(fileno=fds[2]))
        script = initramfs.command(*job.asked, request=_request(record, job))
        control.sendall(b"run %s %s\n" % (nonce.encode(), initramfs.escaped(script)))
        outputs = [Output(Stream(nonce), sink, deadline) for sink in (out, err)]
        pumped = pump([*zip((stdout, stderr), outputs, strict=True)], [], deadline)
        vm.tell_executed(outputs)
        total = time.monotonic() - began
        boot = pumped.boot - began if pumped.boot is not None else None
        if pumped.timed_out:  # closing the link has the command killed
            return Ending(None, True, boot, total, "")
        link.settimeout(None)
        link.sendall(DONE)
        answer = json.loads(_read_all(link))
    status = int(pumped.word) if pumped.word and pumped.word.isdigit() else None
    console, qemu = answer["console"], answer["qemu"]
    return Ending(status, False, boot, total, console, qemu, _faults(answer))


def _request(record: Record, job: Job) -> str:
    """Return what the Python that waits in a guest is to be asked for, if that is possible."""
    if not record.python or packed.started(job.words, job.environment) is None:
        return ""
    found = packed.find()
    if found is None or found.digest != record.python:
        console.detail("this oomctl is not the one that waits in the guest, and is started anew")
        return ""
    return found.request(*job.asked)


def _faults(answer: Mapping[str, Any]) -> tuple[Fault, ...]:
    return tuple(Fault(FaultKind(one["kind"]), tuple(one["lines"])) for one in answer["faults"])


def _read_all(link: socket.socket) -> bytes:
    parts = []
    while part := link.recv(_ANSWER):
        parts.append(part)
    return b"".join(parts) or b'{"faults": [], "console": "", "qemu": "its keeper died"}'


def default_owner() -> int | None:
    """Return the leader of this session, a shell or a CI runner; None if that is this process."""
    leader = os.getsid(0)
    return leader if leader not in (0, 1, os.getpid()) and psutil.pid_exists(leader) else None
