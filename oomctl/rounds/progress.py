"""Shows the progress of many rounds on stderr: a bar on a terminal, else a line a minute."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from oomctl import console
from oomctl.text import counted

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_EVERY = 60.0  # seconds between two lines if there is no bar


class Progress:
    """Shows rounds as they are done, out of `total` rounds or `seconds` of time if known.

    The bar is drawn when a round is done, not by a thread: signals must reach the main thread, and
    only while it waits.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = total
        self._seconds = seconds
        self._clock = clock
        self._bar: Bar | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Draw the bar if stderr is a terminal and there is more than one round."""
        self._began = self._last_note = self._clock()
        if sys.stderr.isatty() and self._total != 1:
            self._draw()
            self._stack.enter_context(console.quiet())
        return self

    def __exit__(self, *_exc: object) -> None:
        """Wipe the bar."""
        self._stack.close()
        if self._bar:
            self._bar.stop()

    def done(self, rounds: int) -> None:
        """Show how many rounds are done."""
        now = self._clock()
        if self._bar:
            text = self.text(rounds, now - self._began)
            share = self.share(rounds, now - self._began)
            self._bar.update(
                self._bar.task_ids[0],
                description=text,
                total=None if share is None else 1.0,
                completed=share or 0.0,
            )
            self._bar.refresh()
        elif now - self._last_note >= _EVERY:
            self._last_note = now
            console.note(self.text(rounds, now - self._began))

    def share(self, rounds: int, seconds: float) -> float | None:
        """Return how much is done, 0 to 1; None without a limit."""
        shares = []
        if self._total is not None:
            shares.append(rounds / self._total)
        if self._seconds is not None:
            shares.append(seconds / self._seconds)
        return min(max(shares), 1.0) if shares else None

    def text(self, rounds: int, seconds: float) -> str:
        """Say how many rounds are done, how fast, and how long the rest will take."""
        parts = [f"{self._what}: {_of(rounds, self._total)}"]
        if rounds and seconds > 0:
            parts.append(f"{rounds / seconds:.3g} a second")
        if share := self.share(rounds, seconds):
            parts.append(f"{_clock_text(seconds / share - seconds)} left")
        return ", ".join(parts)

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("oomctl: {task.description}", markup=False),
            BarColumn(bar_width=20),
            console=Console(file=sys.stderr),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        self._bar.add_task(self.text(0, 0.0), total=None)
        self._bar.start()


def _of(rounds: int, total: int | None) -> str:
    return f"{rounds} of {counted(total, 'round')}" if total else counted(rounds, "round")


def _clock_text(seconds: float) -> str:
    """Return a time as hours, minutes and seconds: 1:02:03, 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
