"""Faults that the kernel reports of itself: panics, oopses, lockdep splats, stalls. Pure.

A report begins with a line that only its reporter prints, and ends with a line of its kind, or
where another report begins. OOM reports are not among them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from oomctl.oom.enums import FaultKind
from oomctl.text import printable

_MAX_FAULTS, _MAX_LINES = 20, 80
_STAMP = re.compile(r"(?:<\d{1,3}>)?\[ *\d+\.\d+\](?:\[ *[CT]\d+\])? ?")
_LOCKDEP = (  # kernel/locking/lockdep.c
    "possible circular locking|possible recursive locking|possible irq lock inversion|"
    "inconsistent lock state|bad unlock balance|bad contention|held lock freed|"
    "lock held when returning|Nested lock was not taken|suspicious RCU usage|"
    r"[\w-]+-(?:safe|READ-safe) -> |.{1,40} still has locks held"
)
# In this order: the first that matches names the kind.
_HEADS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (FaultKind.PANIC, "Kernel panic - not syncing"),
        (
            FaultKind.LOCKDEP,
            f"WARNING: (?:{_LOCKDEP})|\\[ BUG: Invalid wait context|BUG: MAX_LOCK|"
            "INFO: trying to register non-static key",
        ),
        # __warn() in kernel/panic.c; from 6.18 on the place stands first
        (FaultKind.WARN, r"WARNING: (?:CPU: \d+ PID: \d+|\S+:\d+) at "),
        (FaultKind.KASAN, r"BUG: K(?:A|C|M)SAN: |BUG: KFENCE: "),
        (FaultKind.UBSAN, "UBSAN: "),
        (
            FaultKind.HANG,
            "watchdog: BUG: soft lockup|(?:NMI )?watchdog: .*hard LOCKUP|BUG: workqueue lockup",
        ),
        (
            FaultKind.RCU_STALL,
            r"(?:rcu: )?INFO: \S+ (?:self-)?detected (?:expedited )?stall|rcu: .* kthread starved",
        ),
        (FaultKind.HUNG_TASK, r"INFO: task .{1,40}:\d+ (?:is )?blocked "),
        (
            FaultKind.OOPS,
            r"BUG: |BUG \S+ \(|kernel BUG at |Oops(?:: | - )|general protection fault|"
            "Internal error: |Unable to handle kernel |divide error: |invalid opcode: |"
            "stack segment: |double fault: |traps: PANIC: |Unexpected kernel BRK exception",
        ),
    )
)
_ANY_HEAD = re.compile("|".join(head.pattern for _kind, head in _HEADS))
# These begin with the name of a task, which may be any: dump_header(), show_signal_msg().
_NAMES_A_TASK = re.compile(r".{1,40}(?: invoked oom-killer: |\[\d+\]: segfault at |\[\d+\] trap )")
_RULE = re.compile("={40,}")
_CALL_TRACE_ENDS = re.compile("</TASK>|---\\[ end ")
_ENDS = {
    FaultKind.PANIC: re.compile("---\\[ end Kernel panic"),
    FaultKind.OOPS: re.compile("---\\[ end "),
    FaultKind.WARN: re.compile("---\\[ end "),
    FaultKind.UBSAN: re.compile("---\\[ end |={40,}"),
    FaultKind.KASAN: _RULE,
}


@dataclass(frozen=True)
class Fault:
    """A report of the kernel: its kind and its lines without time stamps, escaped for terminals."""

    kind: FaultKind
    lines: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its kind and its first line."""
        return f"{self.kind}: {self.lines[0]}"


@dataclass(frozen=True)
class Judgement:
    """Faults beside what was expected of them: those unexpected, and patterns without a fault."""

    unexpected: tuple[Fault, ...]
    missing: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether every fault was expected, and every expected one came."""
        return not self.unexpected and not self.missing


def judge(faults: Sequence[Fault], expected: Sequence[str]) -> Judgement:
    """Compare faults with regular expressions; each is searched in each line of a report."""
    patterns = [re.compile(text) for text in expected]
    matches = [[any(map(one.search, fault.lines)) for one in patterns] for fault in faults]
    return Judgement(
        tuple(fault for fault, row in zip(faults, matches, strict=True) if not any(row)),
        tuple(text for n, text in enumerate(expected) if not any(row[n] for row in matches)),
    )


@dataclass
class FaultScanner:
    """Finds faults in lines of a kernel log, fed in order; `left_out` counts those beyond 20."""

    left_out: int = 0
    _found: list[tuple[FaultKind, list[str]]] = field(default_factory=list)
    _open: tuple[FaultKind, list[str]] | None = None

    def feed(self, lines: Iterable[str]) -> None:
        """Take lines, with or without the time stamps of a console."""
        for line in lines:
            stamp = _STAMP.match(line)
            self._take(line[stamp.end() :] if stamp else line)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults so far; the last may be incomplete."""
        return tuple(Fault(kind, tuple(lines)) for kind, lines in self._found)

    def _take(self, text: str) -> None:
        kind = _kind(text)
        if kind and (self._open is None or self._open[0] is not kind):
            self._open = kind, []
            if len(self._found) < _MAX_FAULTS:
                self._found.append(self._open)
            else:
                self.left_out += 1
        if self._open is None:
            return
        kind, lines = self._open
        ends = _ENDS.get(kind, _CALL_TRACE_ENDS).search(text)
        if not ends or not _RULE.fullmatch(text):
            lines.append(printable(text.expandtabs()))
        if ends or len(lines) >= _MAX_LINES:
            self._open = None


def find_faults(lines: Iterable[str]) -> tuple[Fault, ...]:
    """Return the faults in the lines of a console or a kernel log."""
    scanner = FaultScanner()
    scanner.feed(lines)
    return scanner.faults


def _kind(text: str) -> FaultKind | None:
    if not _ANY_HEAD.match(text) or _NAMES_A_TASK.match(text):
        return None
    return next((kind for kind, head in _HEADS if head.match(text)), None)
