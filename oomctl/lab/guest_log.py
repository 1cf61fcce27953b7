"""The guest's kernel log, as its /dev/kmsg comes through a port of the machine."""

from dataclasses import dataclass, field

from oomctl.oom.faults import Fault, FaultScanner
from oomctl.oom.log.logrecord import parse_record

_MAX_LINE = 1 << 14


@dataclass
class GuestLog:
    """Finds the faults in records of /dev/kmsg that arrive in any pieces, each record once.

    The guest reads the log again from its start if records were overwritten. Only the kernel's own
    records are scanned: a user may write any text.
    """

    nonce: str
    ended: bool = False
    """Whether the guest has said that the log is complete."""
    _rest: bytes = b""
    _last: int = -1
    _scanner: FaultScanner = field(default_factory=FaultScanner)

    def begin(self, nonce: str) -> None:
        """Forget the faults so far; the end of the log is now said with another nonce."""
        self.nonce, self.ended, self._scanner = nonce, False, FaultScanner()

    def take(self, data: bytes) -> None:
        """Take a piece."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_MAX_LINE:]
        for line in lines:
            self._take_line(line)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults so far."""
        return self._scanner.faults

    def _take_line(self, line: bytes) -> None:
        _, _, text = line.partition(b";")
        if text == f"oomctl-lab: {self.nonce}".encode():
            self.ended = True
            return
        record = parse_record(line)
        if record is None or record.sequence <= self._last:
            return
        self._last = record.sequence
        self._scanner.feed(record.text.split("\n"))
