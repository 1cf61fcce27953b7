"""How much memory a hog filled, and how fast. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Filled:
    """The bytes it filled, the time that took in ns, and the bytes that its rate fell behind by."""

    bytes: int
    took_ns: int
    lost_bytes: int = 0
