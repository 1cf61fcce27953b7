"""Everybody who saw it: BPF tracing where it is to be had, and the kernel log in any case."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from oomctl import talk
from oomctl.errors import UnsupportedError
from oomctl.event import Event
from oomctl.kernel.kmsg import Kmsg
from oomctl.kernel.observer import Observer
from oomctl.klog import KernelLog


@dataclass(frozen=True)
class Heard:
    """What came since the last time: events in order, and log records."""

    events: tuple[Event, ...]
    log: KernelLog
    events_lost: int

    @property
    def lost(self) -> int:
        """Events and log records that were overwritten before they were read."""
        return self.events_lost + self.log.lost

    def __add__(self, later: "Heard") -> "Heard":
        """Return both as one; `later` is what came after this."""
        return Heard(
            self.events + later.events, self.log + later.log, self.events_lost + later.events_lost
        )


NOTHING = Heard((), KernelLog(), 0)


class Witness:
    """Observer and kernel log under one roof; `why_not` says why there is no tracing, if so."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._observer: Observer | None = None
        self._lost = 0
        self.why_not = ""

    def __enter__(self) -> Self:
        """Begin to listen; UnsupportedError where not even the kernel log can be read."""
        with ExitStack() as stack:
            self._log = stack.enter_context(Kmsg())
            try:
                self._observer = stack.enter_context(Observer())
            except UnsupportedError as error:
                self.why_not = error.why
                talk.detail(f"no BPF tracing, the kernel log alone: {error}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Listen no more."""
        self._stack.close()

    def fileno(self) -> int:
        """Return a descriptor that polls readable when an event has come; only while tracing."""
        if self._observer is None:
            raise ValueError("there is no tracing")
        return self._observer.fileno()

    def hear(self) -> Heard:
        """Return what came since the last time."""
        if self._observer is None:
            return Heard((), self._log.read(), 0)
        events = tuple(self._observer.read())
        lost, self._lost = self._observer.lost - self._lost, self._observer.lost
        return Heard(events, self._log.read(), lost)
