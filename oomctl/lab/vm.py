"""Runs one command in one virtual machine: boots it, pumps its output, and ends it for certain."""

import contextlib
import os
import re
import secrets
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from oomctl import cache, talk
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.lab import initramfs, machine, tools
from oomctl.lab.machine import Machine
from oomctl.lab.stream import Stream

Sink = int | Callable[[bytes], object] | None
"""Where a stream of the guest's goes: a descriptor, who takes it piece by piece, or nowhere."""

_CONSOLE_BYTES = 65536
_GRACE = 3.0

# What the guest says instead of a status when it cannot get as far as the command.
_REFUSALS = {
    "no-memory-controller": "the guest's kernel has no cgroup v2 memory controller",
    "no-kfunc": "the guest's kernel has no bpf_out_of_memory and did not take the module",
    "no-rwdir": "the guest could not mount a folder given with --rwdir",
}


@dataclass(frozen=True)
class Job:
    """What the guest runs: words, environment, folder.

    `module` is a .ko to load first; `look` asks for a look at kallsyms, a second under emulation;
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
    """How the machine ended: the command's status, or None with timed_out or a dead guest.

    `boot` is the seconds until the command started (None: it never did), `total` all of them.
    """

    status: int | None
    timed_out: bool
    boot: float | None
    total: float
    console: str


@dataclass
class _Output:
    """One of the guest's streams on its way to a descriptor or taker of ours (None: it is kept)."""

    stream: Stream
    to: Sink
    kept: bytes = b""

    def take(self, data: bytes) -> None:
        own = self.stream.feed(data) if data else self.stream.rest()
        if self.to is None:
            self.kept = (self.kept + own)[-_CONSOLE_BYTES:]
        elif callable(self.to):
            self.to(own)
        else:
            while own:
                own = own[os.write(self.to, own) :]


@dataclass
class _Tail:
    """The end of what somebody said, optionally passed on at once."""

    to: int | None = None
    kept: bytes = field(default=b"")

    def take(self, data: bytes) -> None:
        self.kept = (self.kept + data)[-_CONSOLE_BYTES:]
        if self.to is not None and data:
            os.write(self.to, data)

    def text(self) -> str:
        return self.kept.decode(errors="replace").replace("\r", "")


def run(vm: Machine, job: Job, timeout: float, out: Sink, err: Sink) -> Ending:
    """Boot, run the job, and return how it ended; stdout and stderr go to `out` and `err`.

    UnsupportedError when the guest refuses the job, OomctlError when QEMU does not start.
    """
    nonce = secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="boot-", dir=cache.folder("boots"))
            )
        )
        image = _initramfs(vm, job, nonce, timeout, folder)
        started = time.monotonic()
        pipes = [os.pipe() for _ in range(2)]
        readers = [stack.enter_context(open(read, "rb", buffering=0)) for read, _ in pipes]
        writers = [stack.enter_context(open(write, "wb", buffering=0)) for _, write in pipes]
        fds = [writer.fileno() for writer in writers]
        command = machine.boot_command(vm, image, [("stdout", fds[0]), ("stderr", fds[1])])
        process = stack.enter_context(_group(command, fds))
        for writer in writers:
            writer.close()
        outputs = [_Output(Stream(nonce), out), _Output(Stream(nonce), err)]
        console, qemu = _Tail(err if vm.console and isinstance(err, int) else None), _Tail()
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        sources = [*zip(readers, outputs, strict=True)]
        pumped = _pump(sources, [(process.stdout, console), (process.stderr, qemu)], timeout)
        boot = pumped.boot - started if pumped.boot is not None else None
        total = time.monotonic() - started
    for line in qemu.text().splitlines():
        if "TCG doesn't support requested feature" not in line:
            talk.detail(line)
    word = pumped.word
    if word in _REFUSALS:
        said = console.text() + outputs[1].kept.decode(errors="replace")
        raise UnsupportedError(_REFUSALS[word], "run with -v to see why", said)
    complaint = [line for line in qemu.text().splitlines() if "warning:" not in line]
    if complaint and word is None and boot is None and not pumped.timed_out and not console.kept:
        raise OomctlError(
            f"QEMU did not start: {complaint[-1]}", "run with -v to see all it said", qemu.text()
        )
    status = int(word) if word is not None else None
    return Ending(status, pumped.timed_out, boot, total, console.text())


@dataclass
class _Pumped:
    word: str | None = None
    boot: float | None = None
    timed_out: bool = False


def _pump(
    sources: Sequence[tuple[IO[bytes], _Output]],
    voices: Sequence[tuple[IO[bytes], _Tail]],
    timeout: float,
) -> _Pumped:
    """Move bytes until both streams have told the command's end, all are closed, or it is late."""
    pumped = _Pumped()
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for reader, sink in [*sources, *voices]:
            selector.register(reader, selectors.EVENT_READ, sink)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(max(left, 0))
            if left <= 0:
                pumped.timed_out = True
                return pumped
            for key, _ in ready:
                data = os.read(key.fd, 1 << 18)
                key.data.take(data)
                if not data:
                    selector.unregister(key.fileobj)
            words = [[w for w in sink.stream.words if w != "begin"] for _, sink in sources]
            if pumped.boot is None and "begin" in sources[0][1].stream.words:
                pumped.boot = time.monotonic()
            if all(words):
                pumped.word = words[0][0]
                return pumped
    return pumped


@contextlib.contextmanager
def _group(command: list[str], fds: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    """Run virtme-ng in a process group of its own and leave nothing of the group behind."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=fds,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """TERM, then KILL what is left of the group.

    QEMU first, so that virtme-ng's runner reaps it and leaves: at TERM the runner itself leaves
    without waiting, and QEMU is a zombie wherever process 1 does not reap.
    """
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    pipes = [process.stdout, process.stderr]
    with contextlib.suppress(psutil.NoSuchProcess):
        runner = psutil.Process(process.pid)
        for each in runner.children() or [runner]:
            each.terminate()
    if not _drained(pipes, time.monotonic() + _GRACE):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _drained(pipes, time.monotonic() + _GRACE)
    process.wait()
    for pipe in pipes:
        pipe.close()


def _drained(pipes: list[IO[bytes]], deadline: float) -> bool:
    """Read until nobody holds the pipes' other ends: the runner and QEMU are gone."""
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in selector.select(left):
                if not os.read(key.fd, 1 << 16):
                    selector.unregister(key.fileobj)
    return True


def _initramfs(vm: Machine, job: Job, nonce: str, timeout: float, folder: Path) -> Path:
    """Write the initramfs of one boot: virtme-ng's, then the lab's files and the command."""
    image = folder / "initramfs"
    done = subprocess.run(
        machine.initramfs_command(vm, image), capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not image.exists():
        raise OomctlError(
            f"virtme-ng cannot make an initramfs for {vm.image}",
            "run with -v to see what it says",
            done.stdout + done.stderr,
        )
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
        lifetime=int(timeout) + 60,
        rwdirs=len(vm.rwdirs),
        **folders,
    )
    files["lab/command"] = initramfs.command(job.words, job.environment, job.cwd)
    with image.open("ab") as file:
        file.write(initramfs.archive(files))
    return image


def panic(console: str) -> str | None:
    """Find why the guest's kernel panicked in its console's text; None when it did not."""
    found = re.search(r"Kernel panic - not syncing: (.*)", console)
    return found[1].strip() if found else None
