"""Sizes as the kernel's memparse() reads them (64M = 67108864), and durations."""

import re

from oomctl.text import cut

BLANKS = " \t\n\r\f\v"
"""Characters that may surround a size or a duration."""
_SUFFIXES = "KMGTPE"
# compiled at the first use, which most starts of oomctl do not have
# as for memparse(), E is a digit of a hexadecimal number, never its suffix
_SIZE = (
    r"(?P<number>0[xX][0-9a-fA-F]+(?![0-9a-fA-F])|[0-9]{1,40})"
    r"(?:(?P<suffix>[KMGTPEkmgtpe])(?:iB?)?)?"
)
SIZE_LIMIT = 1 << 63
"""The first number of bytes that is too large for a size."""
_SECONDS = {"us": (1, 1e6), "ms": (1, 1e3), "s": (1, 1), "m": (60, 1), "h": (3600, 1)}
"""Factor and divisor of each unit: a float cannot be exactly 1e-6."""
_DURATION = r"(?P<number>0*[0-9]{1,15}(?:\.[0-9]{1,9})?) ?(?P<unit>us|ms|s|m|h)?"


def parse_size(text: str) -> int:
    """Return a size in bytes: a number, then K, M, G, T, P or E as powers of 1024.

    Lower case, `Ki` and `KiB` are accepted; `KB` is not, since it means 1000 elsewhere. Raises
    ValueError with a sentence that says what to write. Kernel: lib/cmdline.c, memparse().
    """
    match = re.fullmatch(_SIZE, text.strip(BLANKS), re.ASCII)
    if not match:
        raise ValueError(
            f"{cut(text)!r} is not a size; write bytes, or K, M, G as powers of 1024 (such as 64M)"
        )
    is_hex = match["number"][:2] in ("0x", "0X")
    if match["number"][0] == "0" and len(match["number"]) > 1 and not is_hex:
        raise ValueError(
            f"{cut(text)!r} begins with 0, which the kernel reads as octal; leave it out"
        )
    size = int(match["number"], 16 if is_hex else 10)
    if match["suffix"]:
        size <<= 10 * (_SUFFIXES.index(match["suffix"].upper()) + 1)
    if size >= SIZE_LIMIT:
        raise ValueError(f"{cut(text)!r} is larger than any address space")
    return size


def parse_duration(text: str) -> float:
    """Return a duration in seconds: a number, then us, ms, s (the default), m (minutes) or h.

    Raises ValueError with a sentence that says what to write.
    """
    match = re.fullmatch(_DURATION, text.strip(BLANKS), re.ASCII)
    if not match:
        raise ValueError(
            f"{cut(text)!r} is not a time; write seconds, or such as '100ms', '2s', '1m'"
        )
    times, parts = _SECONDS[match["unit"] or "s"]
    return float(match["number"]) * times / parts


class Size(int):
    """Bytes that are shown as they are written: 64M, 2G."""

    def __str__(self) -> str:
        return format_size(self)


class Duration(float):
    """Seconds that are shown as they are written: 10m, 90s, 1.5s, 100ms."""

    def __str__(self) -> str:
        for unit, seconds in (("h", 3600), ("m", 60)):
            if self and self % seconds == 0:
                return f"{self // seconds:.0f}{unit}"
        return f"{float(self):g}s" if self >= 1 or not self else f"{self * 1000:g}ms"


def format_size(size: float | None) -> str:
    """Format bytes for people: exact if a suffix divides them, else with one decimal."""
    if size is None:
        return "-"
    if size == float("inf"):
        return "max"
    sign, size = ("-" if size < 0 else ""), abs(int(size))
    power = min(max((size.bit_length() - 1) // 10, 0), len(_SUFFIXES))
    if power == 0:
        return f"{sign}{size}"
    unit = 1 << (10 * power)
    number = str(size // unit) if size % unit == 0 else f"{size / unit:.1f}"
    return f"{sign}{number}{_SUFFIXES[power - 1]}"


def format_duration(nanoseconds: int | None) -> str:
    """Format a duration with three significant digits and its unit; `-` for None."""
    if nanoseconds is None:
        return "-"
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(nanoseconds) >= factor:
            value = nanoseconds / factor
            digits = max(0, 2 - len(str(abs(int(value)))) + 1)
            return f"{value:.{digits}f} {unit}"
    return f"{nanoseconds} ns"
