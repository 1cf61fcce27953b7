"""Moves what a machine says to where it belongs, in bounded memory and never past a deadline."""

import os
import select
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from oomctl.lab.stream import Stream
from oomctl.text import printable

Sink = int | Callable[[bytes], object] | None
"""Where a stream of the guest's goes: a descriptor, who takes it piece by piece, or nowhere."""

_KEPT_BYTES = 65536
_LONGEST = 1e5  # seconds of one wait: the kernel takes milliseconds of 31 bits


class LateError(Exception):
    """The deadline has passed."""


@dataclass
class Tail:
    """The end of what somebody said, optionally passed on at once."""

    to: int | None = None
    deadline: float = float("inf")
    kept: bytes = b""

    def take(self, data: bytes) -> None:
        """Take a piece; LateError where it cannot be passed on in time."""
        self.kept = (self.kept + data)[-_KEPT_BYTES:]
        if self.to is not None:
            write(self.to, data, self.deadline)

    def lines(self) -> list[str]:
        """Return its lines without anything that a terminal acts on."""
        text = self.kept.decode(errors="replace").replace("\r", "")
        return [printable(line.expandtabs()) for line in text.split("\n")]

    def text(self) -> str:
        """Return its lines as one text."""
        return "\n".join(self.lines())


@dataclass
class Output:
    """One of the guest's streams on its way to a descriptor or taker of ours (None: it is kept)."""

    stream: Stream
    to: Sink
    deadline: float
    tail: Tail = field(default_factory=Tail)

    def take(self, data: bytes) -> None:
        """Take a piece, b"" at the end; LateError where it cannot be passed on in time."""
        own = self.stream.feed(data) if data else self.stream.rest()
        if callable(self.to):
            self.to(own)
        elif self.to is not None:
            write(self.to, own, self.deadline)
        else:
            self.tail.take(own)


@dataclass
class Pumped:
    """What came of it: the command's end in a word, when it began, whether it was too late."""

    word: str | None = None
    boot: float | None = None
    timed_out: bool = False


def pump(
    sources: Sequence[tuple[IO[bytes], Output]],
    voices: Sequence[tuple[IO[bytes], Tail]],
    deadline: float,
) -> Pumped:
    """Move bytes until both streams have told the command's end, all are closed, or it is late."""
    pumped = Pumped()
    with selectors.DefaultSelector() as selector:
        for reader, sink in [*sources, *voices]:
            selector.register(reader, selectors.EVENT_READ, sink)
        while selector.get_map():
            left = deadline - time.monotonic()
            try:
                _move(selector, left)
            except LateError:
                pumped.timed_out = True
                return pumped
            if pumped.boot is None and any(sink.stream.began for _, sink in sources):
                pumped.boot = time.monotonic()
            words = [sink.stream.word for _, sink in sources]
            if all(words):
                pumped.word = words[0]
                return pumped
    return pumped


def _move(selector: selectors.BaseSelector, left: float) -> None:
    if left <= 0:
        raise LateError
    for key, _ in selector.select(min(left, _LONGEST)):
        data = os.read(key.fd, 1 << 18)
        key.data.take(data)
        if not data:
            selector.unregister(key.fileobj)


def write(to: int, data: bytes, deadline: float) -> None:
    """Write everything to a descriptor, LateError where its reader does not read.

    A pipe that is ready takes PIPE_BUF bytes without blocking, more only perhaps.
    """
    left = memoryview(data)
    poll = select.poll()
    poll.register(to, select.POLLOUT)
    while left:
        wait = deadline - time.monotonic()
        if wait <= 0 or not poll.poll(min(wait, _LONGEST) * 1000):
            raise LateError
        left = left[os.write(to, left[: select.PIPE_BUF]) :]
