"""Which record each scenario of a run has, and what it is called where nobody named it."""

import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from oomctl import console
from oomctl.rounds.record import Record
from oomctl.text import counted


@contextmanager
def open_records(names: Sequence[str], named: Path | None, kept: bool) -> Iterator[list[Record]]:
    """Open the record of each scenario, or the one of all; say where they are, before and after.

    Unless `kept` they have no name and are gone at the end.
    """
    with ExitStack() as stack:
        if named:
            records = [stack.enter_context(Record(named))] * len(names)
        else:
            paths = [_record_name(name) if kept else None for name in names]
            records = [stack.enter_context(Record(path)) for path in paths]
        told = [record for record in dict.fromkeys(records) if record.path]
        for record in told:
            console.note(f"every round goes to {record.path}")
        try:
            yield records
        finally:
            for record in told:
                if record.rounds:
                    path = record.path
                    rounds = counted(record.rounds, "round is", "rounds are")
                    console.note(f"{rounds} in {path}; see `oomctl report {path}`")


def _record_name(scenario_name: str) -> Path:
    clean = re.sub(r"[^A-Za-z0-9_.-]", "-", scenario_name).strip(".") or "scenario"
    stem = f"oomctl-{clean[:100]}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    suffixes = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    paths = (Path(f"{stem}{suffix}.jsonl") for suffix in suffixes)
    return next(path for path in paths if not path.exists())
