"""A scenario file that makes a subtree again: its cgroups, hogs, call and victim. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from oomctl.oom.plan import MAX_HOGS
from oomctl.oom.subtree import CgroupState, MemberTask, Subtree
from oomctl.oom.task import badness
from oomctl.scenario.names import TOP, join, parent
from oomctl.scenario.naming import cgroup_names, comm_key, hog_names, shown_name, unused
from oomctl.scenario.scaling import Scaled, ScaledTask, scaled
from oomctl.scenario.toml_text import TomlTable, document, exact_size
from oomctl.text import counted, cut, printable
from oomctl.units import format_size

_FILL_RATE = 64 << 20
"""Bytes per second that even an emulated machine fills."""
_MOST_THREADS = 4096


@dataclass(frozen=True)
class Rebuilt:
    """A scenario's text, the bytes that its hogs fill, and what it could not keep.

    `victim` names the hog that should die first; None if none should.
    """

    text: str
    wanted: int
    victim: str | None
    notes: tuple[str, ...]


def rebuild(
    subtree: Subtree,
    *,
    source: str,
    scale: Fraction = Fraction(1),
    victim: int | None = None,
    order: int = 0,
) -> Rebuilt:
    """Write the scenario of a subtree; sizes and limits at a scale that keeps the first victim.

    `source` says in a sentence what the subtree is, `victim` is the PID of the task that died, if
    one is known; without one the predicted task is expected to die.
    """
    subtree, left_out = _limited(subtree)
    writer = _Writer(subtree, scaled(subtree, scale, victim), scale, source, order)
    notes = (*left_out, *writer.notes(victim))
    text = document([writer.head(notes), *writer.cgroups(), *writer.hogs(), *writer.end()])
    wanted = sum(each.size for each in writer.written)
    return Rebuilt(text, wanted, next(iter(writer.victims), None), notes)


def _limited(subtree: Subtree) -> tuple[Subtree, list[str]]:
    """Leave out the smallest tasks of more than a scenario may have."""
    tasks = subtree.tasks
    if len(tasks) <= MAX_HOGS:
        return subtree, []
    pages = subtree.totalpages
    by_size = sorted(tasks, key=lambda each: -badness(each.task, pages, subtree.page_size))
    kept = {each.task.pid for each in by_size[:MAX_HOGS]}
    few = tuple(each for each in tasks if each.task.pid in kept)
    what = counted(len(tasks) - MAX_HOGS, "task of the least badness is", "tasks of the least are")
    return replace(subtree, tasks=few), [f"{what} left out: a scenario has {MAX_HOGS} hogs at most"]


@dataclass(frozen=True)
class _Writer:
    """Makes the tables of one scenario."""

    subtree: Subtree
    scaled: Scaled
    scale: Fraction
    source: str
    order: int

    @cached_property
    def paths(self) -> dict[str, str]:
        """The scenario's path of each cgroup."""
        return cgroup_names(each.path for each in self.subtree.cgroups)

    @cached_property
    def written(self) -> list[ScaledTask]:
        """The tasks that become hogs: all but those that share the memory of another."""
        return [e for e in self.scaled.tasks if e.member.task.pid not in self.subtree.sharers]

    @cached_property
    def names(self) -> dict[int, str]:
        """The name of each hog by PID; those that share its memory have the same."""
        names = hog_names({e.member.task.pid: e.member.task.comm for e in self.written})
        for pid, shares in self.subtree.sharers.items():
            if shares in names:
                names[pid] = names[shares]
        return names

    @cached_property
    def victims(self) -> list[str]:
        """The hogs that should die, the chosen one first."""
        pids = [each.task.pid for each in self.scaled.after.candidates]
        dying = sorted(self.scaled.after.victims, key=pids.index)
        return list(dict.fromkeys(self.names[pid] for pid in dying if pid in self.names))

    @cached_property
    def places(self) -> dict[str, str]:
        """The scenario's cgroup of the tasks of each cgroup: a leaf below one that has children."""
        inner = {parent(path) for path in self.paths.values() if path != TOP}
        taken = {path.rpartition("/")[2] for path in self.paths.values()}
        return {
            path: join(place, unused("tasks", taken)) if place in inner else place
            for path, place in self.paths.items()
        }

    def notes(self, victim: int | None) -> Iterator[str]:
        """Yield what is not as it was, and would make the scenario another experiment."""
        before, after = self.scaled.before, self.scaled.after
        dead = {self.names.get(pid) for pid in after.victims}
        if victim is not None and self.names.get(victim) not in dead:
            name = self.names.get(victim, f"PID {victim}")
            yield f"by these numbers {name} would not be chosen, which died"
        elif victim is not None and victim not in before.victims and after.victims:
            first = before.candidates[0].task if before.victims else None
            chosen = f"{printable(first.comm)} ({first.pid})" if first else "no task"
            yield (
                f"by the numbers known {chosen} would have been chosen, so that "
                f"{self.names[victim]} was enlarged"
            )
        if count := self.scaled.out_of_order:
            yield (
                f"the order of badness is not kept for {counted(count, 'task')}: "
                "they are too small for a hog, or too close to each other"
            )

    def head(self, notes: Sequence[str]) -> TomlTable:
        """Return the description and the comments on all of it."""
        count = (
            f"{counted(len(self.subtree.cgroups), 'cgroup')} and "
            f"{counted(len(self.subtree.tasks), 'task')}"
        )
        at = "" if self.scale == 1 else f", sizes and limits x {self.scale}"
        about = [
            f"{self.source}: {count}{at}.",
            "`oomctl run FILE` makes it again and declares OOM on its top.",
        ]
        remarks = [*notes, *self._assumptions(), *self.subtree.gaps]
        if remarks:
            about += ["", "Not as it was, or assumed:", *(f"- {each}" for each in remarks)]
        table = TomlTable(comments=about)
        dying = f"{', '.join(self.victims[:4])} {'dies' if len(self.victims) == 1 else 'die'}"
        name = shown_name(f"/{self.subtree.name}")
        table.set("description", f"{name} made again: {dying if self.victims else 'no task dies'}.")
        seconds = max(sum(e.size for e in self.written) // _FILL_RATE, len(self.written))
        if seconds > 20:
            table.set("timeout", f"{30 + seconds}s", "an emulated machine is slow to fill")
        return table

    def _assumptions(self) -> Iterator[str]:
        tasks = self.subtree.tasks
        top, was = self.scaled.cgroups[0], self.subtree.top
        if any(each.file or (each.shmem and each.anon) for each in tasks):
            yield (
                "a hog has one kind of memory, that of the largest part; mapped files are held as "
                "anonymous memory, which no reclaim takes"
            )
        if any(each.task.swap for each in tasks):
            yield "what was in swap is held in memory"
        if was.max is not None and self.subtree.swap and was.swap_max != 0:
            yield (
                "the swap that a cgroup might use is a part of its memory.max: the kernel weighs "
                "oom_score_adj by the sum of both"
            )
        if top.max is not None and was.max is not None:
            pages = self.subtree.totalpages * self.subtree.page_size * self.scale
            if top.max - pages > self.subtree.page_size:
                yield (
                    f"memory.max of the top is {format_size(top.max)}, not "
                    f"{format_size(int(pages))}, so that all hogs fit below it; oom_score_adj is "
                    "lowered as much"
                )
        if any(each.hugetlb for each in tasks):
            yield "huge pages of hugetlbfs are left out; badness does not count them"

    def cgroups(self) -> Iterator[TomlTable]:
        """Yield the tables of the cgroups, parents first."""
        done = set()
        for was, now in zip(self.subtree.cgroups, self.scaled.cgroups, strict=True):
            path = self.paths[was.path]
            table = TomlTable(("cgroup", path))
            self._limits(table, was, now)
            if path in done:  # it is nested too deeply, and has become its ancestor
                continue
            done.add(path)
            if path.rpartition("/")[2] not in (TOP, was.path.rpartition("/")[2]):
                table.comments = [f"{shown_name(was.path)!r} cannot be a name in a scenario"]
            if was.usage is not None:
                held = sum(each.task.rss for each in self.subtree.below(was.path))
                other = f", its tasks {format_size(held)}" if held else ""
                table.comments = [*table.comments, f"usage {format_size(was.usage)}{other}"]
            yield table
        lived_in = {each.task.cgroup for each in self.subtree.tasks}
        for path, place in self.places.items():
            if place not in done and path in lived_in:
                done.add(place)
                why = "processes of a cgroup that has children live in a leaf of their own"
                yield TomlTable(("cgroup", place), [why])

    def _limits(self, table: TomlTable, was: CgroupState, now: CgroupState) -> None:
        for key in ("max", "high", "low", "min"):
            old, new = getattr(was, key), getattr(now, key)
            unset = 0 if key in ("low", "min") else None
            if old == unset:
                continue
            if new == unset:
                why = "is left out: the hogs would be throttled while they fill"
                table.comments = [*table.comments, f"memory.{key} = {exact_size(old)} {why}"]
                continue
            remark = "" if new == old else f"it was {format_size(old) if old else 'max'}"
            table.set(f"memory.{key}", exact_size(new), remark)
        if was.oom_group:
            table.set("memory.oom.group", True)

    def hogs(self) -> Iterator[TomlTable]:
        """Yield the tables of the hogs, in the OOM killer's scan order."""
        sharers: dict[int, list[MemberTask]] = {}
        for member in self.subtree.tasks:
            if (shares := self.subtree.sharers.get(member.task.pid)) is not None:
                sharers.setdefault(shares, []).append(member)
        for each in self.written:
            yield self._hog(each, sharers.get(each.member.task.pid, []))

    def _hog(self, each: ScaledTask, sharers: Sequence[MemberTask]) -> TomlTable:
        member, task = each.member, each.member.task
        name = self.names[task.pid]
        table = TomlTable(("hog", name), [_about(member)])
        table.set("size", exact_size(each.size), _added(each))
        if place := self.places[task.cgroup]:
            table.set("cgroup", place)
        if adj := each.oom_score_adj:
            was = "" if adj == task.oom_score_adj else f"it was {task.oom_score_adj}"
            table.set("oom_score_adj", adj, was)
        if sharers:
            more = f", which {len(sharers)} did" if len(sharers) > 1 else ""
            table.set("kind", "shared", f"another process uses its memory too{more}")
            table.set("sharer", self.places[sharers[0].task.cgroup])
        elif member.threads > 1:
            table.set("kind", "threads")
            table.set("tasks", min(member.threads, _MOST_THREADS))
            if task.thread:
                table.set("leader_exits", True, "as its leader has")
        elif member.shmem > member.anon + member.file + task.swap:
            table.set("kind", "shmem")
        if comm := comm_key(task.comm, name):
            table.set("comm", comm)
        return table

    def end(self) -> Iterator[TomlTable]:
        """Yield the call and the expected victims."""
        about = [
            "one call of bpf_out_of_memory() on the top: it chooses as memory.max does when it is",
            "hit, and kills one task or group",
        ]
        if self.scaled.after.victims:
            same = self.scaled.by_limit.victims == self.scaled.after.victims
            about += [
                "`oomctl run FILE --via limit` lowers memory.max below the usage instead, which",
                "may kill a second task while the first is dying"
                if same
                else "kills another task, because oom_score_adj weighs by the lower limit",
            ]
        call = TomlTable(("call",), about, is_item=True)
        if self.order:
            call.set("order", self.order)
        yield call
        expect = TomlTable(("expect",))
        expect.set("victims", self.victims)
        yield expect


def _about(member: MemberTask) -> str:
    task = member.task
    parts = [("anon", member.anon), ("file", member.file), ("shmem", member.shmem)]
    parts += [("swap", task.swap), ("page tables", task.pgtables)]
    said = ", ".join(f"{name} {format_size(size)}" for name, size in parts if size)
    pss = "" if member.pss is None else f"; pss {format_size(member.pss)}"
    command = f"; {cut(printable(member.command))}" if member.command else ""
    return f"pid {task.pid}: {said or 'no memory'}{pss}{command}"


def _added(each: ScaledTask) -> str:
    if not each.added:
        return ""
    return f"{format_size(each.added)} of it make it the first with certainty"
