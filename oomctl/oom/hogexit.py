"""The exit statuses with which a hog and its tasks end themselves. Pure.

A hog has no libc and handles no signal: an exit status is always its own, a signal never is.
"""

from enum import IntEnum


class HogExit(IntEnum):
    """Why a hog ended itself; equal to `enum hog_exit` in hog/hog.h."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_CHILD = 3
    NO_PARENT = 4
    CHILD_KILLED = 5


_WORDS = {
    HogExit.DONE: "its hog has ended",
    HogExit.FAILED: "a step failed",
    HogExit.USAGE: "it was told words that it does not know",
    HogExit.NO_CHILD: "it has no child left",
    HogExit.NO_PARENT: "its parent had ended before",
    HogExit.CHILD_KILLED: "a child of it was killed before it was filled",
}


def own_end(status: int) -> str | None:
    """Say why a hog ended itself, None for an exit status that no hog has."""
    try:
        return f"ended itself: {_WORDS[HogExit(status)]}"
    except ValueError:
        return None
