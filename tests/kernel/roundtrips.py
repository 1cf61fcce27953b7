"""Round trips: a random tree, the kernel's own report of it, the scenario made of that. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import Outcome
from tests.kernel.trees import Tree


def as_dmesg(records: Sequence[Record]) -> str:
    """Return records as dmesg prints them; what printk() has split is one line again."""
    lines: list[str] = []
    for record in records:
        if record.continued and lines:
            lines[-1] += record.text
        else:
            seconds, micros = divmod(record.time_us, 1_000_000)
            lines.append(f"[{seconds:5}.{micros:06}] {record.text}")
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class RoundTrip:
    """A tree, its outcome, the report as `explain` has it in JSON, and the scenario's outcome.

    `report` is None if the log had no report, `again` if there was no scenario.
    """

    tree: Tree
    outcome: Outcome
    report: Mapping[str, Any] | None
    again: Outcome | None

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with victim, limit, reason, or the death in the scenario."""
        killed = {one.task.pid for one in self.outcome.tasks if one.fate.kind == "oom-killed"}
        if self.report is None:
            if killed:
                yield f"no report, but {sorted(killed)} were killed"
            return
        # if its leader has ended, a member is named by a thread, which only the dump could tell
        listed = {each["pid"] for each in self.report["candidates"]}
        members = {each["pid"] for each in self.report["members"]} & listed
        victims = members | ({self.report["victim"]["pid"]} if self.report["victim"] else set())
        if not victims <= killed:
            yield f"victims are {sorted(killed)}, not {sorted(victims)}"
        if self.report["memcg"] != self.tree.target:
            yield f"it was declared on {self.tree.target}, not {self.report['memcg']}"
        limit = self.report["counters"]["memory"]["limit_bytes"]
        if self.tree.call.via == "bpf" and limit != self._limit:
            yield f"the limit is {self._limit}, not {limit}"
        if self.report["follows"] is False:
            yield f"the choice does not follow: {self.report['choice']}"
        if self.again is None:
            yield "the scenario was not run"
        else:
            failed = [check for check in self.again.checks if not check.passed]
            yield from (f"made again: {check.name}: {check.why}" for check in failed)

    @property
    def doubt(self) -> str:
        """Why the kernel may choose another task than computed; empty if it may not."""
        if self.report and self.report["follows"] is None and self.report["victim"]:
            return self.report["choice"]
        calls = [call for one in (self.outcome, self.again) if one for call in one.calls]
        close = any(call.prediction and call.prediction.close for call in calls)
        return "the first tasks are too close to call" if close else ""

    @property
    def _limit(self) -> int | None:
        written = {
            setting.cgroup: setting.value
            for setting in self.tree.plan.settings
            if setting.file == "memory.max"
        }
        limit = written.get(self.tree.target)
        return None if limit is None else int(limit) // 4096 * 4096
