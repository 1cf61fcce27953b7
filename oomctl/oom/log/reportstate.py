"""What is open while a kernel log is read: the reports and groups of each caller. Pure."""

from collections import deque
from dataclasses import dataclass, field

from oomctl.oom.log.logrecord import Record
from oomctl.oom.log.oomreport import OomReport
from oomctl.oom.log.reportfacts import Facts
from oomctl.oom.log.reportparser import OpenReport
from oomctl.oom.log.reporttext import SplitText

_REPORTS, _WINDOW_US = 10, 6_000_000  # DEFAULT_RATELIMIT_BURST; _INTERVAL is 5 s, and some more
_KILLED_MAX = 1 << 15


@dataclass
class OomRun:
    """One run of the OOM killer, its cause and the facts of its report."""

    cause: str
    facts: Facts
    first: OomReport


@dataclass
class Group:
    """A cgroup whose tasks are killed together because one of them was chosen."""

    oom: OomRun
    text: SplitText


@dataclass
class CallerState:
    """What one caller, or all if the log does not name them, is in the middle of printing."""

    report: OpenReport | None = None
    oom: OomRun | None = None
    group: Group | None = None
    split: SplitText | None = None
    parts: int = 0

    def begin(self, report: OpenReport, split: SplitText | None = None) -> None:
        """Begin a report, of another run of the OOM killer than what was there."""
        self.report, self.split, self.parts = report, split, 0
        self.oom = self.group = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it matters any more."""
        return not (self.report or self.oom or self.group or self.split)


@dataclass
class HostState:
    """What is known of one machine's kernel log."""

    callers: dict[str, CallerState] = field(default_factory=dict)
    reported: deque[int] = field(default_factory=lambda: deque(maxlen=_REPORTS))
    killed_us: dict[int, int] = field(default_factory=dict)
    suppressed: int = 0

    def lose(self, record: Record) -> None:
        """Forget what is open: records before this one are lost."""
        self.callers.clear()
        self.reported.extend([record.time_us] * _REPORTS)  # as many as there may be

    def killed(self, thread: int, now_us: int) -> int | None:
        """Keep the time at which a thread was named as killed; return the time before."""
        before = self.killed_us.pop(thread, None)
        self.killed_us[thread] = now_us
        if len(self.killed_us) > _KILLED_MAX:
            del self.killed_us[next(iter(self.killed_us))]
        return before

    def limited(self, record: Record) -> bool:
        """Tell whether a report may have been left out just before this record."""
        reported = self.reported
        return len(reported) == _REPORTS and record.time_us - reported[0] < _WINDOW_US
