"""Jobs that run beside each other, each in a child of this process.

What a job sends arrives here as it was sent; what it says on stderr is shown line by line.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from oomctl import console
from oomctl.errors import OomctlError
from oomctl.proc import fork

Job = Callable[[Callable[[Any], None]], object]
"""Does something, and sends what comes of it: values that can be pickled."""

_FORK = multiprocessing.get_context("fork")
_END_SECONDS = 30.0


class _Ended:
    """What a job sends last."""


class _Lane:
    """One job in its child; `running` is empty once it has ended."""

    def __init__(self, job: Job) -> None:
        self.received, sent = _FORK.Pipe(duplex=False)
        self.said, say = os.pipe()
        self._foreign = console.Foreign()
        self.has_ended = False
        self.process: BaseProcess = _FORK.Process(
            target=_run, args=(os.getpid(), job, sent, say), daemon=True
        )
        try:
            self.process.start()
        except OSError as error:
            raise fork.cannot_start("a child of oomctl", error) from error
        sent.close()
        os.close(say)
        self.running: list[Connection | int] = [self.received, self.said]

    def show(self) -> None:
        """Show what was said."""
        if data := os.read(self.said, 1 << 16):
            self._foreign.take(data)
        else:
            self._foreign.end()
            self.running.remove(self.said)

    def receive(self, take: Callable[[Any], object]) -> None:
        """Pass on what was sent; raise what the job has raised, OomctlError if its child died."""
        try:
            sent = self.received.recv()
        except EOFError:
            self.running.remove(self.received)
            if not self.has_ended:
                self.process.join(_END_SECONDS)
                how = f"status {self.process.exitcode}"
                raise OomctlError(
                    f"a child of oomctl (pid {self.process.pid}) ended with {how}",
                    "if the OOM killer took it, dmesg names it; run it again",
                ) from None
            return
        if isinstance(sent, Exception):
            raise sent
        if isinstance(sent, _Ended):
            self.has_ended = True
        else:
            take(sent)

    def close(self) -> None:
        """Wait for the child, and close what is read of it."""
        self.process.join(_END_SECONDS)
        self.process.kill()
        self.process.join(_END_SECONDS)
        self.process.close()
        self.received.close()
        os.close(self.said)


@dataclass
class Lanes:
    """Runs at most `most` jobs at once. With the block all of them end, and clean up."""

    most: int
    _lanes: list[_Lane] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.process.terminate()
        while self._lanes:
            self._lanes.pop().close()

    def run(self, jobs: Sequence[Job], take: Callable[[Any], object]) -> None:
        """Run all jobs, in their order; `take` gets each value that one sends, as it comes.

        Raises what a job raises, OomctlError if its child dies.
        """
        left = list(jobs)
        while left or self._lanes:
            while left and len(self._lanes) < self.most:
                self._lanes.append(_Lane(left.pop(0)))
            ready = wait([one for lane in self._lanes for one in lane.running])
            for lane in [*self._lanes]:
                if lane.said in ready:
                    lane.show()
                if lane.received in ready:
                    lane.receive(take)
                if not lane.running:
                    self._lanes.remove(lane)
                    lane.close()


def _run(parent: int, job: Job, sent: Connection, say: int) -> None:
    fork.die_with(parent)
    os.dup2(say, 2)
    os.close(say)
    with suppress(BrokenPipeError):
        try:
            job(sent.send)
            sent.send(_Ended())
        except Exception as error:
            sent.send(error)
        except BaseException:  # a signal: the parent ends too
            os._exit(1)
