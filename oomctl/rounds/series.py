"""Scenarios run one after the other in one session, each with its head, rounds and end recorded."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from oomctl import console
from oomctl.errors import OomctlError, UnsupportedError, while_ending
from oomctl.oom import as_json
from oomctl.oom.outcome import Outcome
from oomctl.rounds.lines import end_line, head_line
from oomctl.rounds.loop import Limits, PlannedVariant, RoundLoop, Session
from oomctl.rounds.progress import Progress
from oomctl.rounds.record import Record
from oomctl.rounds.run import End, Run, RunHeader, Section


@dataclass(frozen=True)
class RecordedScenario:
    """One scenario to be run: what its file says of itself, its variants, where it is recorded."""

    name: str
    description: str
    source: str
    planned: tuple[PlannedVariant, ...]
    record: Record


@dataclass
class Series:
    """Runs scenes; `sections` has what came of each so far, whatever ended it."""

    scenes: Sequence[RecordedScenario]
    limits: Limits
    options: Mapping[str, Any]
    same_tree: bool = False
    sections: list[Section] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """The rounds done, of all scenes."""
        return sum(one.rounds for section in self.sections for one in section.run.statistics)

    def run(self, session: Session) -> Iterator[tuple[RecordedScenario, Outcome | None]]:
        """Run each scene and yield it with its last outcome.

        Raises what ended one; but what this machine cannot do does not keep it from the others.
        """
        for recorded in self.scenes:
            soak = RoundLoop(
                recorded.planned,
                self.limits,
                session,
                recorded.record.write,
                lambda _rounds: None,
                self.same_tree,
            )
            failure: OomctlError | None = None
            try:
                self._run(recorded, soak, session)
            except OomctlError as error:
                if while_ending(error):
                    raise
                failure = error
            yield recorded, soak.last
            if failure is None:
                continue
            if len(self.scenes) == 1 or not isinstance(failure, UnsupportedError):
                raise failure
            console.note(f"{recorded.name}: {failure}")

    def _run(self, recorded: RecordedScenario, soak: RoundLoop, session: Session) -> None:
        start = recorded.record.length
        head = RunHeader(
            scenario=recorded.name,
            description=recorded.description,
            source=recorded.source,
            ways=tuple(each.way for each in recorded.planned),
            options=self.options,
            environment=as_json.environment(session.environment),
            started=_now(),
        )
        recorded.record.write(head_line(head))
        end = End("done")
        try:
            total = self.limits.rounds and self.limits.rounds * len(recorded.planned)
            with Progress(recorded.name, total, self.limits.seconds) as progress:
                soak.done = progress.done
                end = soak.run()
        except BaseException as error:
            end = _end_by(error)
            with suppress(OomctlError):  # the disk may be full
                recorded.record.write(end_line(end, soak.rounds, _now()))
            raise
        else:
            recorded.record.write(end_line(end, soak.rounds, _now()))
        finally:
            run = Run(head, soak.statistics(), end)
            self.sections.append(recorded.record.section(run, start))


def _end_by(error: BaseException) -> End:
    """Say why a run ended by an exception: a signal unwinds with its number."""
    if isinstance(error, UnsupportedError):
        return End("unsupported", error.why)
    if isinstance(error, Exception):
        return End("failed", str(error) or type(error).__name__)
    number = getattr(error, "number", signal.SIGINT)
    return End("interrupted", signal.Signals(number).name)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
