"""A guest's output stream: the command's own bytes, with the lab's records taken out of it.

The guest writes a record as NUL, nonce, blank, word, newline into the very pipe that the command
writes to, so whatever the command wrote before is known to have arrived when the record has.
"""

import re
from dataclasses import dataclass

_BEGIN = "begin"
_WORD = re.compile(rb"([a-z-]{1,31}|[0-9]{1,3})\n")
_LONGEST = 32


@dataclass
class Stream:
    """Splits bytes as they arrive; `word` tells how the command ended, once it has."""

    nonce: str
    began: bool = False
    word: str | None = None
    _held: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes as read from the guest, return those that are the command's own."""
        data = self._held + data
        mark = b"\0" + self.nonce.encode() + b" "
        own, at = [], 0
        while (found := data.find(mark, at)) >= 0:
            own.append(data[at:found])
            start = found + len(mark)
            if word := _WORD.match(data, start):
                self._met(word[1].decode())
                at = word.end()
            elif len(data) - start < _LONGEST and b"\n" not in data[start:]:
                self._held = data[found:]
                return b"".join(own)
            else:  # the command has the mark from somewhere
                own.append(mark)
                at = start
        cut = len(data) - _overlap(data[at:], mark)
        own.append(data[at:cut])
        self._held = data[cut:]
        return b"".join(own)

    def rest(self) -> bytes:
        """Return what was held back as a possible record when the stream has ended."""
        held, self._held = self._held, b""
        return held

    def _met(self, word: str) -> None:
        if word == _BEGIN:
            self.began = True
        else:
            self.word = self.word or word


def _overlap(data: bytes, mark: bytes) -> int:
    """Count the bytes at the end of `data` that may be the beginning of `mark`."""
    for length in range(min(len(data), len(mark) - 1), 0, -1):
        if data.endswith(mark[:length]):
            return length
    return 0
