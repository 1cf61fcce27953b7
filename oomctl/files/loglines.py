"""The lines of a log, read in pieces: a log may be larger than the memory, and one line too."""

import codecs
from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO

_PIECE = 1 << 18
_BOMS = {
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_NOT_TEXT = {
    b"\x1f\x8b": ("compressed with gzip", "zcat {} | oomctl explain"),
    b"\xfd7zXZ\0": ("compressed with xz", "xzcat {} | oomctl explain"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "zstdcat {} | oomctl explain"),
    b"BZh": ("compressed with bzip2", "bzcat {} | oomctl explain"),
    b"LPKSHHRH": ("a file of the journal", "journalctl --file {} | oomctl explain"),
}


class NotTextError(ValueError):
    """A file is not text; `how` is a command that makes a log of it, with {} for its name."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"is {what}")
        self.how = how


def telling_lines(
    file: BinaryIO, telling: Collection[bytes], wants_all: Callable[[], bool], longest: int
) -> Iterator[bytes]:
    """Yield the lines that have a text of `telling`, and all while `wants_all`, without ends.

    What a line has beyond `longest` bytes is left out. UTF-16 becomes UTF-8. NotTextError if the
    file is of a kind that has to be unpacked.
    """
    rest, is_cut = b"", False
    for piece in _pieces(file):
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


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    piece = file.read(_PIECE)
    for magic, (what, how) in _NOT_TEXT.items():
        if piece.startswith(magic):
            raise NotTextError(what, how)
    encoding = _BOMS.get(piece[:2]) or _utf_16(piece[:64])
    decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
    while piece:
        yield decoder.decode(piece).encode("utf-8", "replace") if decoder else piece
        piece = file.read(_PIECE)


def _utf_16(head: bytes) -> str | None:
    """Return the encoding of a text that begins with ASCII in UTF-16."""
    if len(head) < 8:
        return None
    if not any(head[1::2]) and all(head[::2]):
        return "utf-16-le"
    return "utf-16-be" if not any(head[::2]) and all(head[1::2]) else None
