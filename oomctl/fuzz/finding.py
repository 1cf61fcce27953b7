"""A finding: the smallest case that differs, as a scenario file with both sides' words. Pure."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from oomctl.fuzz.case import Case
from oomctl.fuzz.contract import expected_return, is_valid
from oomctl.fuzz.oracles import Disagreement, Judged
from oomctl.oom.as_text import returned
from oomctl.oom.enums import KFUNC_VIAS, Do, Occasion, Oracle, Via
from oomctl.oom.plan import WAIT_ON_OOM_LOCK, Action, Hog, Step
from oomctl.scenario.actions import FREEZE
from oomctl.scenario.names import TOP
from oomctl.scenario.toml_text import TomlTable, document, exact_size
from oomctl.text import counted
from oomctl.units import Duration

FILE = re.compile(r"finding-([0-9a-f]{12})\.(?:toml|c|sh)")
"""The name of a finding's file, with its form."""


@dataclass(frozen=True)
class Expected:
    """What the model expects of one step: the return value, and the names of the hogs that die.

    None may be anything: of callers at once any may be the first, and reclaim may be enough.
    """

    ret: int | None
    victims: tuple[str, ...] | None


def expected_of(judged: Judged) -> tuple[Expected, ...]:
    """Return what the model expects of each step that was made."""
    names = {row.task.pid: row.entry or row.name or "" for row in judged.outcome.tasks}
    found: list[Expected] = []
    for each in judged.calls:
        if each.call.step < len(found):
            continue
        if each.others or each.call.call.via == Via.RECLAIM:
            found.append(Expected(None, None))
            continue
        pids: Iterable[int] = each.prediction.victims if is_valid(each.call.call) else ()
        if each.call.call.via == Via.KILL:
            pids = (task.pid for task in each.prediction.tasks)
        victims = tuple(dict.fromkeys(names[pid] for pid in pids if names.get(pid)))
        ret = expected_return(each.call.call, bool(each.prediction.victims))
        found.append(Expected(ret, victims))
    return tuple(found)


@dataclass(frozen=True)
class Finding:
    """A disagreement that was shrunk; `origin` names the case that it comes from.

    It was seen again in `seen` of `tried` experiments of this case. `expected` is empty if it ended
    before its calls were made.
    """

    case: Case
    origin: str
    disagreements: tuple[Disagreement, ...]
    expected: tuple[Expected, ...]
    seen: int
    tried: int
    is_shrunk: bool
    kernel: str

    @property
    def oracles(self) -> tuple[Oracle, ...]:
        """The oracles that disagree, each once."""
        return tuple(dict.fromkeys(each.oracle for each in self.disagreements))

    @property
    def form(self) -> str:
        """Name its shape: two findings that differ only in names and amounts have the same."""
        shape = repr((sorted(self.oracles), _shape(self.case)))
        return hashlib.sha256(shape.encode()).hexdigest()[:12]

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"finding-{self.form}.toml"

    @property
    def rate(self) -> str:
        """Say how often it was seen."""
        return f"confirmed {self.seen} of {counted(self.tried, 'time')}"

    @property
    def made(self) -> str:
        """Say what was made of its case; one that is not seen again cannot be shrunk."""
        return "shrunk to" if self.is_shrunk else "not shrunk:"

    def text(self) -> str:
        """Return its scenario file."""
        steps = map(_step, self.case.actions)
        return document([self._head(), *_tree(self.case), *self._calls(), *steps])

    @property
    def about(self) -> list[str]:
        """Say where it comes from and what differs, a line each."""
        of = f"{counted(len(self.case.hogs), 'hog')} in {counted(len(self.case.files), 'cgroup')}"
        return [
            f"Found by `oomctl fuzz`, case {self.origin}, {self.made} {of}.",
            f"Kernel {self.kernel}; {self.rate}.",
            "",
            "What differs (what is expected below is the model's):",
            *(f"- {each}" for each in self.disagreements),
        ]

    def _head(self) -> TomlTable:
        table = TomlTable(comments=self.about)
        oracles = ", ".join(self.oracles)
        table.set("description", f"Kernel and model differ: {oracles}.")
        table.set("timeout", str(Duration(self.case.timeout)))
        for sysctl in self.case.sysctls:
            table.set(f"sysctl.{sysctl.name}", sysctl.value)
        return table

    def _calls(self) -> Iterator[TomlTable]:
        for place, step in enumerate(self.case.steps):
            table = TomlTable(("call",), is_item=True)
            _call(table, step)
            if place < len(self.expected):
                wanted = self.expected[place]
                if (ret := wanted.ret) is not None:
                    table.set("expect.returns", returned(ret)[1:] if ret < 0 else ret)
                if wanted.victims is not None:
                    table.set("expect.victims", wanted.victims)
            yield table


def _tree(case: Case) -> Iterator[TomlTable]:
    for cgroup, files in case.files.items():
        table = TomlTable(("cgroup", cgroup))
        for file, value in files.items():
            if file == "memory.oom.group":
                table.set(file, value == "1")
            else:
                table.set(file, exact_size(None if value == "max" else int(value)))
        yield table
    for hog in case.hogs:
        yield _hog(hog)


def _hog(hog: Hog) -> TomlTable:
    table = TomlTable(("hog", hog.name))
    table.set("size", exact_size(hog.size) or 0)
    table.set("cgroup", hog.cgroup)
    if hog.kind != "anon":
        table.set("kind", hog.kind)
    if hog.oom_score_adj:
        table.set("oom_score_adj", hog.oom_score_adj)
    if hog.kind in ("threads", "forker"):
        table.set("tasks", hog.tasks)
    if hog.leader_exits:
        table.set("leader_exits", True)
    if hog.sharer:
        table.set("sharer", hog.sharer)
    if hog.kind == "traced":
        table.set("hold", str(Duration(hog.hold)))
    if hog.path:
        table.set("path", hog.path)
    return table


def _call(table: TomlTable, step: Step) -> None:
    call = step.call
    table.set("target", call.target or TOP)
    if step.callers > 1:
        table.set("callers", step.callers)
    if call.via != Via.BPF:
        table.set("via", call.via)
        if call.amount is not None:
            table.set("amount", exact_size(call.amount) or 0)
    if call.via not in KFUNC_VIAS:
        return
    if call.order:
        table.set("order", call.order)
    if call.flags != WAIT_ON_OOM_LOCK:
        table.set("flags", call.flags)


def _step(action: Action) -> TomlTable:
    table = TomlTable(("step",), is_item=True)
    after = action.after
    if after.occasion == Occasion.RETURNED:
        table.set("after", f"call[{after.call}].returned")
    elif after.occasion == Occasion.MARKED:
        table.set("after", f"{after.hogs[0]}.marked")
    if after.delay:
        table.set("delay", str(Duration(after.delay)))
    if action.file == FREEZE:
        table.set("freeze" if action.value == "1" else "thaw", action.cgroup)
    elif action.do == Do.WRITE:
        is_switch = action.file == "memory.oom.group"
        size = None if action.value == "max" else int(action.value)
        value = action.value == "1" if is_switch else exact_size(size)
        table.set(f'cgroup."{action.cgroup}".{action.file}', value)
    elif action.do == Do.SYSCTL:
        table.set(f"sysctl.{action.file}", action.value)
    elif action.do == Do.SYSFS:
        table.set(f'sysfs."{action.file}"', action.value)
    elif action.do == Do.MOVE:
        table.set(f"move.{action.hog}", action.cgroup)
    else:
        table.set(str(action.do), action.cgroup or action.hog)
    if action.may_fail:
        table.set("may_fail", True)
    return table


def _shape(case: Case) -> object:
    """Return a case without names, its amounts by their order only."""
    names = {cgroup: number for number, cgroup in enumerate(case.files)}
    ranks = {size: rank for rank, size in enumerate(sorted({hog.size for hog in case.hogs}))}
    return (
        [sorted(files) for files in case.files.values()],
        [
            (_kind(h), ranks[h.size], _sign(h.oom_score_adj), names[h.cgroup], names.get(h.sharer))
            for h in case.hogs
        ],
        [
            (names[step.call.target or TOP], str(step.call.via), is_valid(step.call), step.callers)
            for step in case.steps
        ],
        [
            (str(each.do), each.file, str(each.after.occasion), names.get(each.cgroup))
            for each in case.actions
        ],
    )


def _kind(hog: Hog) -> str:
    return f"{hog.kind} without leader" if hog.leader_exits else hog.kind


def _sign(adj: int) -> int:
    return adj if adj == -1000 else (adj > 0) - (adj < 0)


def known_forms(names: Sequence[str]) -> frozenset[str]:
    """Return the forms of the findings among the names of files."""
    return frozenset(match[1] for name in names if (match := FILE.fullmatch(name)))
