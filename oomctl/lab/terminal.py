"""The user's terminal, connected to that of a guest: raw meanwhile, and always restored."""

import contextlib
import os
import signal
import socket
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from oomctl.lab.pump import Taker, write
from oomctl.lab.running import Guest

_ESCAPE = b"\x1d"
"""Ctrl-], as telnet and machinectl have it."""
_PRESSES, _WITHIN_SECONDS = 3, 1.0


class EscapedError(Exception):
    """The user asked by keys to end the guest."""


def size() -> tuple[int, int]:
    """Return rows and columns of the terminal at stdin."""
    columns, rows = os.get_terminal_size(0)
    return rows or 24, columns or 80


@contextlib.contextmanager
def connected(guest: Guest, deadline: float) -> Iterator[list[tuple[IO[bytes], Taker]]]:
    """Connect stdin and stdout with a guest's terminal for the time of the block.

    Yields what pump() is to read for that. Raw mode begins with the guest's first output, so Ctrl-C
    ends a boot. pump() raises EscapedError after Ctrl-] three times within a second.
    """
    with contextlib.ExitStack() as stack:
        resized, wake = (stack.enter_context(end) for end in socket.socketpair())
        wake.setblocking(False)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake.fileno()))
        handler = signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
        stack.callback(signal.signal, signal.SIGWINCH, handler)
        mode = termios.tcgetattr(0)
        stack.callback(termios.tcsetattr, 0, termios.TCSADRAIN, mode)
        keys = stack.enter_context(open(0, "rb", buffering=0, closefd=False))
        yield [
            (keys, _Keys(guest.terminal)),
            (_reader(stack, guest.terminal), _Screen(deadline)),
            (_reader(stack, resized), _Resizer(guest.control)),
        ]


def _reader(stack: contextlib.ExitStack, end: socket.socket) -> IO[bytes]:
    return stack.enter_context(open(end.fileno(), "rb", buffering=0, closefd=False))


@dataclass
class _Keys:
    """Sends what the user types; a guest that does not read loses it, and holds nothing up."""

    to: socket.socket
    _pressed: list[float] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Send keys; EscapedError if they ask for the end."""
        now = time.monotonic()
        if data == _ESCAPE * len(data):
            self._pressed = [*self._pressed, *[now] * len(data)][-_PRESSES:]
            if len(self._pressed) == _PRESSES and now - self._pressed[0] < _WITHIN_SECONDS:
                raise EscapedError
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self.to.send(data, socket.MSG_DONTWAIT)


@dataclass
class _Screen:
    """Writes the guest's terminal to stdout."""

    deadline: float
    _is_raw: bool = False

    def take(self, data: bytes) -> None:
        """Write output; LateError if the terminal does not take it in time."""
        if not self._is_raw:
            tty.setraw(0)
            self._is_raw = True
        write(1, data, self.deadline)


@dataclass
class _Resizer:
    """Tells the guest the size of the terminal after a signal."""

    control: socket.socket

    def take(self, _data: bytes) -> None:
        """Send the size."""
        rows, columns = size()
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self.control.send(f"size {rows} {columns}\n".encode(), socket.MSG_DONTWAIT)
