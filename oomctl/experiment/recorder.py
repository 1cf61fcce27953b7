"""The flight recorder of `oomctl watch`: the last states of a subtree, one written at a kill."""

import os
import re
import select
import time
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import OomctlError, UsageError
from oomctl.experiment.sampling import sample_again
from oomctl.experiment.subtree import read_subtree
from oomctl.oom.enums import Role
from oomctl.oom.kill import OomKill
from oomctl.oom.laststate import State, last_state
from oomctl.oom.paths import is_within
from oomctl.oom.subtree import TOP, Subtree
from oomctl.scenario.rebuild import rebuild
from oomctl.text import printable

_KEPT = 16  # states
_KEPT_NS = 4_000_000_000  # and for at least this long one: a kill is told up to 2 s afterwards
_SHARE, _INTERVAL = 0.02, 1.0  # of one CPU, and the least seconds between two samples
_SHARE_PRESSED, _INTERVAL_PRESSED = 0.1, 0.2  # after an event of the kernel
_FULL_EVERY = 10  # samples
_GROUP_NS = 2_000_000_000  # within this time the members of a group are killed
_MOST_FILES = 1000
# Documentation/accounting/psi.rst: some task stalls for 50 ms within 1 s
_TRIGGER = b"some 50000 1000000\0"
_NAME = re.compile(r"kill-(\d{1,9})-[\w.-]{1,15}\.toml", re.ASCII)


class FlightRecorder:
    """Samples the cgroup `top`, or all in the root, and writes a scenario for each kill there.

    `files` are those written, in `folder`; `missed` counts the kills of cgroups that no sample was
    taken of before. `samples` counts the samples, `cpu_ns` is the CPU time that they took: at most
    2 % of a CPU, and 10 % while the kernel reports pressure.
    """

    def __init__(self, root: UnifiedNode, top: UnifiedNode | None, folder: Path) -> None:
        self._root = root
        self._top = top
        self._folder = folder
        self._stack = ExitStack()
        self._events: dict[int, bool] = {}
        self._states: dict[str, deque[State]] = {}
        self._pressed = False
        self._began_ns = self._next_ns = 0
        self._last: OomKill | None = None
        self._number = 0
        self.samples = self.cpu_ns = self.missed = 0
        self.files: list[Path] = []

    def __enter__(self) -> Self:
        """Make the folder, and take the first sample; UsageError if it has other files."""
        self._number = _prepared(self._folder)
        place = (self._top or self._root).directory
        pressure = place / "memory.pressure" if self._top else Path("/proc/pressure/memory")
        with ExitStack() as stack:
            self._open(stack, pressure, _TRIGGER)
            if self._top:
                self._open(stack, place / "memory.events")
            self._stack = stack.pop_all()
        self._began_ns = time.monotonic_ns()
        self.tick(())
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the files."""
        self._stack.close()

    def _open(self, stack: ExitStack, path: Path, trigger: bytes = b"") -> None:
        """Open a file that polls with POLLPRI; one that the kernel lacks is left out."""
        with suppress(OSError):
            flags = (os.O_RDWR | os.O_NONBLOCK) if trigger else os.O_RDONLY
            fd = os.open(path, flags | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            if trigger:
                os.write(fd, trigger)
            else:
                os.pread(fd, 4096, 0)
            self._events[fd] = not trigger

    def descriptors(self) -> Collection[int]:
        """Return the descriptors whose POLLPRI asks for a sample."""
        return tuple(self._events)

    def due(self) -> float:
        """Return the seconds until the next sample."""
        return max(self._next_ns - time.monotonic_ns(), 0) / 1e9

    def tick(self, ready: Iterable[tuple[int, int]]) -> None:
        """Sample if it is time, or if descriptors are `ready`; these are pairs with the events."""
        for fd, events in ready:
            if fd in self._events:
                self._pressed = True
                self._next_ns = min(self._next_ns, self._earliest_ns)
                self._acknowledge(fd, events)
        if time.monotonic_ns() >= self._next_ns:
            self._sample()

    def _acknowledge(self, fd: int, events: int) -> None:
        """Read a file of events, which polls until it is read; forget that of a removed cgroup."""
        try:
            if self._events[fd]:
                os.pread(fd, 4096, 0)
            elif events & select.POLLERR:
                del self._events[fd]
        except OSError:
            del self._events[fd]

    def _sample(self) -> None:
        began = time.thread_time_ns()
        full = self._pressed or self.samples % _FULL_EVERY == 0
        tops = [self._top] if self._top else _children(self._root)
        for top in tops:
            with suppress(OomctlError, OSError):  # removed in the meantime
                self._keep(top, full)
        gone = self._states.keys() - {top.cgroup for top in tops}
        for path in gone:
            if self._states[path][-1].at_ns < time.monotonic_ns() - _KEPT_NS:
                del self._states[path]
        took = time.thread_time_ns() - began
        self.samples += 1
        self.cpu_ns += took
        now = time.monotonic_ns()
        pause = max(int(_INTERVAL * 1e9), int(took / _SHARE) - took)
        pressed = max(int(_INTERVAL_PRESSED * 1e9), int(took / _SHARE_PRESSED) - took)
        self._next_ns, self._earliest_ns = now + pause, now + pressed
        self._pressed = False

    def _keep(self, top: UnifiedNode, full: bool) -> None:
        states = self._states.setdefault(top.cgroup, deque(maxlen=_KEPT))
        at_ns = time.monotonic_ns()
        found: Subtree | None = None
        if states and not full:
            found = sample_again(top, states[-1].subtree)
        found = found or read_subtree(top, rollup=False)
        states.append(State(at_ns, printable(top.cgroup), found))
        while len(states) > 1 and states[1].at_ns < at_ns - _KEPT_NS:
            states.popleft()

    def record(self, kill: OomKill) -> Path | None:
        """Write the last state before a kill, and return the file; None if there is nothing to."""
        if kill.role != Role.VICTIM or _is_member(kill, self._last):
            return None
        states = sorted((one for kept in self._states.values() for one in kept), key=_moment)
        subtree = last_state(states, kill)
        if subtree is None:
            self.missed += self._is_inside(kill)
            return None
        if len(self.files) >= _MOST_FILES:
            return None
        self._last = kill
        source = f"Recorded before the OOM killer took {kill.comm} (pid {kill.pid})"
        made = rebuild(subtree, source=source, victim=kill.pid, order=max(kill.order or 0, 0))
        self._number += 1
        path = self._folder / f"kill-{self._number}-{_file_name(kill.comm)}.toml"
        with path.open("x", encoding="utf-8") as file:
            file.write(made.text)
        self.files.append(path)
        return path

    def _is_inside(self, kill: OomKill) -> bool:
        top = self._top.cgroup if self._top else TOP
        return kill.cgroup is None or is_within(kill.cgroup, top)

    @property
    def share(self) -> float:
        """The CPU time of all samples as a share of one CPU."""
        return self.cpu_ns / max(time.monotonic_ns() - self._began_ns, 1)


def _is_member(kill: OomKill, last: OomKill | None) -> bool:
    """Tell whether a kill belongs to the same OOM of a group as the last one."""
    if not kill.group or not last or kill.at_ns - last.at_ns > _GROUP_NS:
        return False
    return (kill.memcg, kill.invoker_pid) == (last.memcg, last.invoker_pid)


def _moment(state: State) -> int:
    return state.at_ns


def _children(root: UnifiedNode) -> list[UnifiedNode]:
    with os.scandir(root.directory) as entries:
        return [root.at(entry.name) for entry in entries if entry.is_dir()]


def _file_name(comm: str) -> str:
    return re.sub(r"[^\w.-]", "_", comm, flags=re.ASCII)[:15] or "_"


def _prepared(folder: Path) -> int:
    """Make the folder if need be; return the highest number of a file of ours in it."""
    try:
        folder.mkdir(exist_ok=True)
        found = {entry.name: _NAME.fullmatch(entry.name) for entry in os.scandir(folder)}
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise UsageError(f"--record {folder}: {error.strerror}", "name a new folder") from error
    if strangers := [name for name, ours in found.items() if not ours]:
        raise UsageError(
            f"--record {folder}: it has other files, such as {printable(min(strangers))}",
            "name an empty or a new folder",
        )
    if not writable:
        raise UsageError(f"--record {folder}: it is not writable", "name another folder")
    return max((int(ours[1]) for ours in found.values() if ours), default=0)
