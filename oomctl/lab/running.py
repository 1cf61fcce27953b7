"""A guest that boots or runs, and what it is to run."""

import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from oomctl.lab.guest_log import GuestLog
from oomctl.lab.pump import Tail


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

    @property
    def asked(self) -> tuple[tuple[str, ...], Mapping[str, str], str]:
        """Words, environment and folder."""
        return self.words, self.environment, self.cwd


@dataclass
class Guest:
    """A machine that boots or runs: QEMU, and the host's ends of its ports.

    The ports `stdout` and `stderr` carry the command's output with records (lab/stream.py), `kmsg`
    the kernel log; `control` takes what guest-init.sh and guest-run.sh wait for; `terminal` is its
    hvc0. `monitor` takes QEMU's own commands, of a machine that may be saved.
    `python` names what the Python that waits in it has loaded, "" if there is none.
    """

    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    kmsg: IO[bytes]
    control: socket.socket
    terminal: socket.socket
    nonce: str
    monitor: socket.socket | None
    serial: Tail
    python: str = ""
    messages: Tail = field(default_factory=Tail)

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
            (self.process.stderr, self.messages),
            (self.kmsg, self.log),
        ]
