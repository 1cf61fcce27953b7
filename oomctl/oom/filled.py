"""How a hog came to its size. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Filled:
    """Bytes that a hog has filled and the nanoseconds that took it.

    `lost_bytes` are those that its rate asked for but that it was too slow for, and never made up.
    """

    bytes: int
    took_ns: int
    lost_bytes: int = 0
