"""Shows the progress of many rounds on stderr: a bar on a terminal, else a line a minute."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from oomctl import console
from oomctl.text import counted

_EVERY = 60.0  # seconds between two lines if there is no bar


class Progress:
    """Shows rounds, or other things with a noun, out of `total` or `seconds` of time if known."""

    def __init__(
        self,
        what: str,
        total: int | None,
        seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
        noun: str = "round",
    ) -> None:
        self._what = what
        self._total = total
        self._seconds = seconds
        self._noun = noun
        self._clock = clock
        self._has_bar = sys.stderr.isatty() and total != 1
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Draw the bar if stderr is a terminal and there is more than one round."""
        self._began = self._last_note = self._clock()
        if self._has_bar:
            self._stack.enter_context(console.quiet())
            self._stack.callback(console.end_bar)
            console.bar(self.text(0, 0.0))
        return self

    def __exit__(self, *_exc: object) -> None:
        """Wipe the bar."""
        self._stack.close()

    def done(self, rounds: int) -> None:
        """Show how many rounds are done."""
        now = self._clock()
        if self._has_bar:
            share = self.share(rounds, now - self._began)
            drawn = "" if share is None else f" [{'#' * round(20 * share):20}]"
            console.bar(self.text(rounds, now - self._began) + drawn)
        elif now - self._last_note >= _EVERY:
            self._last_note = now
            console.note(self.text(rounds, now - self._began))

    def share(self, rounds: int, seconds: float) -> float | None:
        """Return how much is done, 0 to 1; None without a limit."""
        shares = [rounds / self._total] if self._total is not None else []
        shares += [seconds / self._seconds] if self._seconds is not None else []
        return min(max(shares), 1.0) if shares else None

    def text(self, rounds: int, seconds: float) -> str:
        """Say how many rounds are done, how fast, and how long the rest will take."""
        of = f"{rounds} of " if self._total else ""
        parts = [f"{self._what}: {of}{counted(self._total or rounds, self._noun)}"]
        if rounds and seconds > 0:
            parts.append(f"{rounds / seconds:.3g} a second")
        if share := self.share(rounds, seconds):
            parts.append(f"{_clock_text(seconds / share - seconds)} left")
        return ", ".join(parts)


def _clock_text(seconds: float) -> str:
    """Return a time as hours, minutes and seconds: 1:02:03, 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
