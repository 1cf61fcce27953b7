"""A guest's output stream: the command's own bytes, with the lab's records taken out.

The guest writes a record as NUL, nonce, blank, word, newline into the same pipe as the command, so
when the record has arrived, everything that the command wrote before it has arrived too.
"""

import re
from dataclasses import dataclass

_BEGIN, _EXECUTED = "begin", "executed"
_WORD = re.compile(rb"([a-z-]{1,31}|[0-9]{1,3})\n")
_MAX_WORD = 32


@dataclass
class Stream:
    """Splits bytes as they arrive; `word` is the command's end in a word, once it has ended.

    With `executed` the guest has executed what a Python that waits could have done.
    """

    nonce: str
    began: bool = False
    word: str | None = None
    executed: bool = False
    _pending: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the guest; return those of the command."""
        data = self._pending + data
        mark = b"\0" + self.nonce.encode() + b" "
        own, at = [], 0
        while (found := data.find(mark, at)) >= 0:
            own.append(data[at:found])
            start = found + len(mark)
            if word := _WORD.match(data, start):
                self._take_record(word[1].decode())
                at = word.end()
            elif len(data) - start < _MAX_WORD and b"\n" not in data[start:]:
                self._pending = data[found:]
                return b"".join(own)
            else:  # the command itself wrote the mark
                own.append(mark)
                at = start
        cut = len(data) - _overlap(data[at:], mark)
        own.append(data[at:cut])
        self._pending = data[cut:]
        return b"".join(own)

    def rest(self) -> bytes:
        """Return the bytes that could have become a record, once the stream has ended."""
        rest, self._pending = self._pending, b""
        return rest

    def _take_record(self, word: str) -> None:
        if word == _BEGIN:
            self.began = True
        elif word == _EXECUTED:
            self.executed = True
        else:
            self.word = self.word or word


def _overlap(data: bytes, mark: bytes) -> int:
    """Return the length of the longest end of `data` that is a beginning of `mark`."""
    lengths = range(min(len(data), len(mark) - 1), 0, -1)
    return next((length for length in lengths if data.endswith(mark[:length])), 0)
