"""From what was seen of the OOM killer to one kill each: by tracing, or in the kernel log. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from oomctl.event import Event, Kind
from oomctl.evidence import INVOKER, KernelLog, Record
from oomctl.text import printable

Role = Literal["victim", "sharer", "exiting"]

# mm/oom_kill.c: dump_header(), dump_oom_victim()
_INVOKED = re.compile(
    r"(?P<comm>.*) invoked oom-killer: .*\border=(?P<order>-?\d{1,10})", re.DOTALL
)
_CONSTRAINT = re.compile(r"oom-kill:constraint=CONSTRAINT_(?P<name>\w+),")


@dataclass(frozen=True)
class Sighting:
    """One process that the OOM killer took; times are CLOCK_MONOTONIC in ns, sizes bytes.

    `role` is "victim", "sharer" (it died because it shares a victim's memory) or "exiting" (it was
    ending already and got no signal). `memcg_id` is None for a system-wide OOM. What the source
    does not tell is None; `exited_after_ns` also if it was not over within the patience.
    """

    at_ns: int
    pid: int
    comm: str
    role: Role
    rss: int
    cgroup_id: int | None = None
    cgroup: str | None = None
    trigger_pid: int | None = None
    trigger_comm: str | None = None
    trigger_cgroup_id: int | None = None
    order: int | None = None
    constraint: str | None = None
    memcg_id: int | None = None
    exited_after_ns: int | None = None


class Tracing:
    """Turns the observer's events into sightings, each as soon as its victim has ended."""

    def __init__(self) -> None:
        self._running: dict[int, Event] = {}
        self._open: dict[int, Sighting] = {}

    def feed(self, events: Iterable[Event]) -> list[Sighting]:
        """Take events in order of time; return what they complete."""
        done: list[Sighting] = []
        for event in events:
            match event.kind:
                case Kind.OOM_BEGIN:
                    self._running[event.pid] = event
                case Kind.SIGKILL | Kind.MARK_VICTIM:
                    self._open[event.tgid] = self._hit(event)
                case Kind.OOM_END:
                    self._running.pop(event.pid, None)
                    done += self._judge(event)
                case Kind.EXIT:
                    done += self._ended(event)
        return done

    def overdue(self, before_ns: int) -> list[Sighting]:
        """Give up on the victims that were taken before that time and have not ended."""
        late = [seen for seen in self._open.values() if seen.at_ns < before_ns]
        return [self._open.pop(seen.pid) for seen in late]

    def _hit(self, event: Event) -> Sighting:
        seen = self._open.get(event.tgid)
        if event.kind is Kind.MARK_VICTIM:
            if seen and seen.role == "sharer":  # the signal comes first, the mark after it
                return replace(seen, role="victim", at_ns=event.at_ns)
            return seen or self._sight(event, "exiting")
        if seen is None:
            return self._sight(event, "sharer")
        return replace(seen, role="victim") if seen.role == "exiting" else seen

    def _sight(self, event: Event, role: Role) -> Sighting:
        begun = self._running.get(event.trigger_pid)
        return Sighting(
            at_ns=event.at_ns,
            pid=event.tgid,
            comm=event.comm,
            role=role,
            rss=event.rss,
            cgroup_id=event.cgroup_id,
            trigger_pid=event.trigger_pid,
            trigger_comm=event.trigger_comm,
            trigger_cgroup_id=begun.cgroup_id if begun else None,
            order=begun.order if begun else None,
            memcg_id=begun.memcg_id if begun else None,
        )

    def _judge(self, end: Event) -> list[Sighting]:
        """Only at its end the OOM killer has the constraint; who has ended by then is complete."""
        done = []
        for pid, seen in list(self._open.items()):
            if seen.trigger_pid == end.pid and seen.constraint is None:
                seen = replace(
                    seen, order=end.order, memcg_id=end.memcg_id, constraint=end.constraint
                )
                self._open[pid] = seen
                if seen.exited_after_ns is not None:
                    done.append(self._open.pop(pid))
        return done

    def _ended(self, event: Event) -> list[Sighting]:
        seen = self._open.get(event.tgid)
        if seen is None:
            return []
        seen = replace(seen, exited_after_ns=event.at_ns - seen.at_ns)
        if seen.trigger_pid in self._running:
            self._open[event.tgid] = seen
            return []
        del self._open[event.tgid]
        return [seen]


class Reading:
    """Turns records of the kernel log into sightings; the log says nothing of a victim's end."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._trigger_comm: str | None = None
        self._trigger_pid: int | None = None
        self._order: int | None = None
        self._constraint: str | None = None
        self._chosen: Record | None = None

    def feed(self, records: Iterable[Record]) -> list[Sighting]:
        """Take records in order; the report around a kill is rate limited and may be missing."""
        done: list[Sighting] = []
        for record in records:
            text = record.text
            if found := _INVOKED.match(text):
                self._forget()
                self._trigger_comm = printable(found["comm"])
                self._order = int(found["order"])
            elif (found := INVOKER.match(text)) and self._trigger_comm and not self._trigger_pid:
                self._trigger_pid = int(found["pid"])
            elif found := _CONSTRAINT.match(text):
                self._constraint = found["name"].lower().replace("_", "-")
                self._chosen = record
            else:
                done += self._kills(record)
        return done

    def _kills(self, record: Record) -> list[Sighting]:
        context = (self._chosen, record) if self._chosen else (record,)
        return [
            Sighting(
                at_ns=record.time_us * 1000,
                pid=kill.pid,
                comm=kill.comm,
                role="victim",
                rss=kill.rss,
                cgroup=kill.memcg,
                trigger_pid=self._trigger_pid,
                trigger_comm=self._trigger_comm,
                order=self._order,
                constraint=self._constraint,
            )
            for kill in KernelLog(context).kills
        ]
