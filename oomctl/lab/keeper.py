"""The process that keeps a guest for many commands, one after the other.

It reads the guest's console and kernel log all the time. A command's process gets the reading ends
of the guest's ports and writes its request itself; if it dies, the keeper kills the command. The
keeper ends with its owner, with the guest, after an idle time, or on SIGTERM.
"""

import contextlib
import json
import os
import secrets
import select
import socket
import struct
import time
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from oomctl.lab.pump import LateError, Output, pump
from oomctl.lab.running import Guest
from oomctl.lab.stream import Stream
from oomctl.lab.vm import end_of, faults_of

_SETTLE_SECONDS = 3.0
_KILL_SECONDS = 15.0
DONE = b"done\n"
"""What a command's process sends once it has seen the command's end."""


@dataclass
class Keeper:
    """Serves one guest at a socket; `owner` is a pidfd, or None."""

    guest: Guest
    listener: socket.socket
    owner: int | None
    idle: float
    _last: float = field(default_factory=time.monotonic)

    def serve(self) -> None:
        """Pass the guest from one command to the next until there is a reason to end."""
        while self._wait([self.listener], self._last + self.idle):
            link, _ = self.listener.accept()
            with link:
                is_alive = _is_ours(link) and self._lend(link)
            self._last = time.monotonic()
            if not is_alive:
                return

    def _wait(self, ends: list[socket.socket], deadline: float, reads_output: bool = True) -> bool:
        """Read what the guest says until one of `ends` is readable; False if it is time to end."""
        readers: dict[IO[bytes], Any] = dict(self.guest.tails)
        if reads_output:  # what a command has left running writes on
            readers |= {self.guest.stdout: None, self.guest.stderr: None}
        while (left := deadline - time.monotonic()) > 0:
            owner = [] if self.owner is None else [self.owner]
            watched: list[Any] = [*readers, *ends, *owner]
            ready = select.select(watched, [], [], min(left, 3600))[0]
            for reader in [one for one in ready if one in readers]:
                data = os.read(reader.fileno(), 1 << 16)
                if not data and reads_output:
                    return False
                if not data:
                    del readers[reader]
                elif readers[reader]:
                    readers[reader].take(data)
            if self.owner in ready and reads_output:
                return False
            if any(one in ready for one in ends):
                return True
        return False

    def _lend(self, link: socket.socket) -> bool:
        """Lend the guest to a command; return whether it is of use after that."""
        guest = self.guest
        nonce = secrets.token_hex(8)
        guest.log.begin(nonce)
        ports = [guest.stdout.fileno(), guest.stderr.fileno(), guest.control.fileno()]
        with contextlib.suppress(OSError):
            socket.send_fds(link, [json.dumps({"nonce": nonce}).encode()], ports)
        self._wait([link], float("inf"), reads_output=False)
        said = b""
        with contextlib.suppress(OSError):
            said = link.recv(len(DONE))
        if said != DONE:
            return self._kill(nonce)
        end = time.monotonic() + _SETTLE_SECONDS
        while not guest.log.ended and guest.process.poll() is None and time.monotonic() < end:
            self._wait([], time.monotonic() + 0.02, reads_output=False)
        is_alive = guest.process.poll() is None
        answer = {
            "faults": [asdict(fault) for fault in faults_of(guest, is_alive)],
            "console": "" if is_alive else guest.serial.text(),
            "qemu": "" if is_alive else end_of(guest),
        }
        with contextlib.suppress(OSError):
            link.sendall(json.dumps(answer).encode())
        return is_alive

    def _kill(self, nonce: str) -> bool:
        """Kill the command whose process has died; return whether its end came."""
        with contextlib.suppress(OSError):
            self.guest.control.sendall(b"kill\n")
        end = time.monotonic() + _KILL_SECONDS
        outputs = [Output(Stream(nonce), _nowhere, end) for _ in range(2)]
        streams = [*zip((self.guest.stdout, self.guest.stderr), outputs, strict=True)]
        with contextlib.suppress(LateError):
            return pump(streams, self.guest.tails, end).word is not None
        return False


def _nowhere(_data: bytes) -> None:
    pass


def _is_ours(link: socket.socket) -> bool:
    """Tell whether the other end belongs to this user; an abstract socket has no permissions."""
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return uid in (0, os.geteuid())
