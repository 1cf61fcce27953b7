"""One thing that was expected, and whether it came so. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A named test: `passed` is None where it could not be made; `why` says what was found."""

    name: str
    passed: bool | None
    why: str = ""
