"""Passes on the output of a virtual machine, in bounded memory and not past a deadline."""

import os
import select
import selectors
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Protocol

from oomctl.lab.stream import Stream
from oomctl.text import printable

Sink = int | Callable[[bytes], object] | None
"""Where a stream of the guest goes: a descriptor, a function that takes each piece, or nowhere."""

_TAIL_BYTES = 65536
_SETTLE_SECONDS = 3.0
_MAX_WAIT = 1e5  # seconds: poll(2) takes milliseconds of 31 bits


class Taker(Protocol):
    """Takes the pieces of an output, b"" at its end."""

    def take(self, data: bytes) -> None:
        """Take a piece."""


class LateError(Exception):
    """The deadline has passed."""


@dataclass
class Tail:
    """The end of an output, optionally passed on to a descriptor at once."""

    to: int | None = None
    deadline: float = float("inf")
    kept: bytes = b""

    def take(self, data: bytes) -> None:
        """Take a piece; LateError if it cannot be passed on in time."""
        self.kept = (self.kept + data)[-_TAIL_BYTES:]
        if self.to is not None:
            write(self.to, data, self.deadline)

    def lines(self) -> list[str]:
        """Return its lines, without control characters."""
        text = self.kept.decode(errors="replace").replace("\r", "")
        return [printable(line.expandtabs()) for line in text.split("\n")]

    def text(self) -> str:
        """Return its lines as one text."""
        return "\n".join(self.lines())


@dataclass
class Output:
    """A stream of the guest on its way to a sink; its tail is kept if there is no sink."""

    stream: Stream
    to: Sink
    deadline: float
    tail: Tail = field(default_factory=Tail)

    def take(self, data: bytes) -> None:
        """Take a piece, b"" at the end; LateError if it cannot be passed on in time."""
        own = self.stream.feed(data) if data else self.stream.rest()
        if callable(self.to):
            self.to(own)
        elif self.to is not None:
            write(self.to, own, self.deadline)
        else:
            self.tail.take(own)


@dataclass
class Pumped:
    """The command's end in a word, when the command began, and whether the deadline passed."""

    word: str | None = None
    boot: float | None = None
    timed_out: bool = False


def pump(
    streams: Sequence[tuple[IO[bytes], Output]],
    tails: Sequence[tuple[IO[bytes], Taker]],
    deadline: float,
    is_settled: Callable[[], bool] = lambda: True,
    until_begun: bool = False,
    extras: Sequence[tuple[IO[bytes], Taker]] = (),
) -> Pumped:
    """Pass on bytes until both streams have the command's end, all are closed, or it is late.

    After the command's end, what comes is passed on for a short time more, until it is settled.
    With `until_begun` the command's beginning is enough. `extras` are read too, but may stay open.
    """
    pumped = Pumped()
    with selectors.DefaultSelector() as selector:
        for reader, taker in [*streams, *tails, *extras]:
            selector.register(reader, selectors.EVENT_READ, taker)
        registered = selector.get_map()
        while any(reader in registered for reader, _ in [*streams, *tails]):
            try:
                _pass_on(selector, deadline - time.monotonic())
            except LateError:
                pumped.timed_out = True
                return pumped
            if pumped.boot is None and any(output.stream.began for _, output in streams):
                pumped.boot = time.monotonic()
                if until_begun:
                    return pumped
            words = [output.stream.word for _, output in streams]
            if all(words):
                pumped.word = words[0]
                deadline = min(deadline, time.monotonic() + _SETTLE_SECONDS)
                with suppress(LateError):
                    while selector.get_map() and not is_settled():
                        _pass_on(selector, deadline - time.monotonic())
                return pumped
    return pumped


def _pass_on(selector: selectors.BaseSelector, left: float) -> None:
    if left <= 0:
        raise LateError
    for key, _ in selector.select(min(left, _MAX_WAIT)):
        data = os.read(key.fd, 1 << 18)
        key.data.take(data)
        if not data:
            selector.unregister(key.fileobj)


def write(to: int, data: bytes, deadline: float) -> None:
    """Write everything to a descriptor; LateError if its reader does not read in time.

    A pipe that is ready takes PIPE_BUF bytes without blocking, but may block on more.
    """
    left = memoryview(data)
    poll = select.poll()
    poll.register(to, select.POLLOUT)
    while left:
        wait = deadline - time.monotonic()
        if wait <= 0 or not poll.poll(min(wait, _MAX_WAIT) * 1000):
            raise LateError
        left = left[os.write(to, left[: select.PIPE_BUF]) :]
