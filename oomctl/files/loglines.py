"""The lines of a log, read in pieces: a log may be larger than the memory, and one line too."""

from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO

_PIECE = 1 << 18


def telling_lines(
    file: BinaryIO, telling: Collection[bytes], wants_all: Callable[[], bool], longest: int
) -> Iterator[bytes]:
    """Yield the lines that have a text of `telling`, and all while `wants_all`, without ends.

    What a line has beyond `longest` bytes is left out.
    """
    rest, is_cut = b"", False
    while piece := file.read(_PIECE):
        block, newline, end = piece.rpartition(b"\n")
        if not newline:
            if not is_cut:
                rest += piece[: longest - len(rest)]
                is_cut = len(rest) >= longest
            continue
        first, newline, others = block.partition(b"\n")
        block = rest + (b"" if is_cut else first) + newline + others
        rest, is_cut = end, False
        if wants_all() or _has(block, telling):
            for line in block.split(b"\n"):
                if wants_all() or _has(line, telling):
                    yield line[:longest]
    if rest and (wants_all() or _has(rest, telling)):
        yield rest[:longest]


def _has(data: bytes, texts: Collection[bytes]) -> bool:
    return any(text in data for text in texts)
