"""One call as moments on one clock. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from oomctl.oom.call import CallResult
from oomctl.oom.enums import Moment
from oomctl.oom.event import Event, EventKind

_MOMENTS = {
    EventKind.OOM_BEGIN: Moment.LOCKED,
    EventKind.SIGKILL: Moment.KILLED,
    EventKind.MARK_VICTIM: Moment.MARKED,
    EventKind.OOM_END: Moment.UNLOCKING,
    EventKind.WAKE_REAPER: Moment.REAPER_WOKEN,
    EventKind.START_REAPING: Moment.REAPING,
    EventKind.FINISH_REAPING: Moment.REAPED,
    EventKind.SKIP_REAPING: Moment.REAPING_SKIPPED,
    EventKind.EXIT: Moment.EXITED,
}


@dataclass(frozen=True)
class Stamp:
    """One moment: its name, CLOCK_MONOTONIC in ns, and the task it is about, if any."""

    name: Moment
    at_ns: int
    pid: int | None = None


@dataclass(frozen=True)
class Timeline:
    """Stamps in order of time: the first is `call`; `parts` are the gaps between them."""

    stamps: tuple[Stamp, ...] = ()

    @property
    def parts(self) -> tuple[int, ...]:
        """The time from each stamp to the next, in ns; their sum is the whole."""
        times = [stamp.at_ns for stamp in self.stamps]
        return tuple(after - before for before, after in pairwise(times))

    @property
    def whole(self) -> int:
        """The time from the first stamp to the last, in ns."""
        return self.stamps[-1].at_ns - self.stamps[0].at_ns if self.stamps else 0

    def after_call(self, moment: Moment, pid: int | None = None) -> int | None:
        """Return the time from the call to a moment, in ns; None if it was not seen."""
        for stamp in self.stamps:
            if stamp.name == moment and pid in (None, stamp.pid):
                return stamp.at_ns - self.stamps[0].at_ns
        return None


def timeline(result: CallResult, events: Iterable[Event], later: Sequence[Stamp] = ()) -> Timeline:
    """Return the moments of one call in order.

    `events` are those of this call only; `later` are moments that user space saw, such as
    `unpopulated` or `relieved`.
    """
    stamps = [Stamp(Moment.CALL, result.began_ns)]
    stamps += [Stamp(_MOMENTS[event.kind], event.at_ns, event.tgid) for event in events]
    if result.ret is not None:
        stamps.append(Stamp(Moment.RETURN, result.ended_ns))
    stamps += later
    return Timeline(tuple(sorted(stamps, key=lambda stamp: stamp.at_ns)))
