"""Runs scenarios one after the other in one session and records each: header, rounds, end."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from oomctl import console
from oomctl.errors import OomctlError, UnsupportedError, while_ending
from oomctl.experiment.session import Session
from oomctl.oom import as_json
from oomctl.oom.outcome import Outcome
from oomctl.rounds.lines import end_line, header_line
from oomctl.rounds.loop import Limits, RoundLoop
from oomctl.rounds.progress import Progress
from oomctl.rounds.record import Record
from oomctl.rounds.run import End, Run, RunHeader, Section
from oomctl.rounds.variant import PlannedVariant


@dataclass(frozen=True)
class RecordedScenario:
    """A scenario to run: name, description and text of its file, its variants, its record."""

    name: str
    description: str
    source: str
    planned: tuple[PlannedVariant, ...]
    record: Record


@dataclass
class Series:
    """Runs scenarios; `sections` has each run so far, even if an exception ended it."""

    scenarios: Sequence[RecordedScenario]
    limits: Limits
    options: Mapping[str, Any]
    same_tree: bool = False
    summary: bool = False
    sections: list[Section] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """The number of rounds done, of all scenarios."""
        return sum(one.rounds for section in self.sections for one in section.run.statistics)

    def run(self, session: Session) -> Iterator[tuple[RecordedScenario, Outcome | None]]:
        """Run each scenario and yield it with its last outcome.

        Raises what ended one, but a scenario that this machine cannot run does not keep it from
        running the others.
        """
        for scenario in self.scenarios:
            write = scenario.record.write
            loop = RoundLoop(
                scenario.planned, self.limits, session, write, self.same_tree, self.summary
            )
            failure: OomctlError | None = None
            try:
                self._run(scenario, loop)
            except OomctlError as error:
                if while_ending(error):
                    raise
                failure = error
            yield scenario, loop.last
            if failure is None:
                continue
            if len(self.scenarios) == 1 or not isinstance(failure, UnsupportedError):
                raise failure
            console.note(f"{scenario.name}: {failure}")

    def _run(self, scenario: RecordedScenario, loop: RoundLoop) -> None:
        record, start = scenario.record, scenario.record.length
        header = RunHeader(
            scenario=scenario.name,
            description=scenario.description,
            source=scenario.source,
            variants=tuple(each.record for each in scenario.planned),
            options=self.options,
            environment=as_json.environment(loop.session.environment),
            started=_now(),
        )
        record.write(header_line(header))
        end = End("done")
        try:
            total = self.limits.rounds and self.limits.rounds * len(scenario.planned)
            with Progress(scenario.name, total, self.limits.seconds) as progress:
                loop.done = progress.done
                end = loop.run()
        except BaseException as error:
            end = _end_by(error)
            with suppress(OomctlError):  # the disk may be full
                record.write(end_line(end, loop.rounds, _now()))
            raise
        else:
            record.write(end_line(end, loop.rounds, _now()))
        finally:
            self.sections.append(record.section(Run(header, loop.statistics(), end), start))


def _end_by(error: BaseException) -> End:
    """Return the end of a run that an exception ended; that of a signal has its number."""
    if isinstance(error, UnsupportedError):
        return End("unsupported", error.why)
    if isinstance(error, Exception):
        return End("failed", str(error) or type(error).__name__)
    number = getattr(error, "number", signal.SIGINT)
    return End("interrupted", signal.Signals(number).name)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
