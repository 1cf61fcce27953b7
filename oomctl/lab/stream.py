"""A guest's output stream: the command's own bytes, with the lab's records taken out of it.

The guest writes a record as NUL, nonce, blank, word, newline into the very pipe that the command
writes to, so whatever the command wrote before is known to have arrived when the record has.
"""

from dataclasses import dataclass, field


@dataclass
class Stream:
    """Splits bytes as they arrive; `words` collects the records seen so far."""

    nonce: str
    words: list[str] = field(default_factory=list)
    _held: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes as read from the guest, return those that are the command's own."""
        self._held += data
        out = b""
        mark = b"\0" + self.nonce.encode() + b" "
        while True:
            before, found, after = self._held.partition(mark)
            if not found:
                keep = _overlap(self._held, mark)
                cut = len(self._held) - keep
                out, self._held = out + self._held[:cut], self._held[cut:]
                return out
            word, newline, rest = after.partition(b"\n")
            out += before
            if not newline:
                self._held = found + after
                return out
            self.words.append(word.decode())
            self._held = rest

    def rest(self) -> bytes:
        """Return what was held back as a possible record when the stream has ended."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, mark: bytes) -> int:
    """Count the bytes at the end of `data` that may be the beginning of `mark`."""
    for length in range(min(len(data), len(mark) - 1), 0, -1):
        if data.endswith(mark[:length]):
            return length
    return 0
