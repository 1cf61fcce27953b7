"""Makes the actions of a plan when they are due, while hogs fill, calls run and victims end."""

import errno
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from oomctl import console
from oomctl.cgroup.node import UnifiedNode
from oomctl.describe.step_text import action_text
from oomctl.errors import OomctlError
from oomctl.experiment.history import History
from oomctl.experiment.setting import switch_changed, sysctl_changed
from oomctl.files import kernelfile
from oomctl.files.kernelfile import explain
from oomctl.hog.hogset import HogSet, RunningHog, has_stopped
from oomctl.journal.file import Journal
from oomctl.oom.enums import Do, Occasion
from oomctl.oom.outcome import ActionReport
from oomctl.oom.plan import Action, Plan, Sysctl
from oomctl.proc.pidfd import PidfdWatch, look_again
from oomctl.signals import signals_unblocked

_SETTLES_IN = 5.0
"""Seconds for the kernel to freeze tasks, to stop one, or to forget a dead one in its cgroup."""
_SIGNALS = {Do.STOP: signal.SIGSTOP, Do.CONTINUE: signal.SIGCONT, Do.KILL: signal.SIGKILL}
Key = tuple[Occasion, tuple[str, ...]]


@dataclass
class ActionRunner:
    """Makes the actions of one round; `make_due()` is called again and again, and raises no error.

    `undo` restores sysctls and switches when it is closed. `reports` tell what was made; after an
    error, which is `failure`, no more is. `sent` are the PIDs that were sent SIGKILL.
    `tasks_changed` is called when hogs were started or moved.
    """

    plan: Plan
    root: UnifiedNode
    journal: Journal
    history: History
    watch: PidfdWatch
    undo: ExitStack
    reports: list[ActionReport] = field(default_factory=list)
    failure: OomctlError | None = None
    sent: set[int] = field(default_factory=set)
    tasks_changed: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self._pending = dict(enumerate(self.plan.actions))
        self._began = time.monotonic_ns()
        self._under_way = -1
        self._filled: int | None = None
        self._returned: dict[int, int] = {}
        self._seen: dict[Key, int] = {}
        self.hog_set: HogSet | None = None

    @property
    def awaits_marks(self) -> bool:
        """Whether it must be told as soon as possible which tasks the OOM killer has taken."""
        return any(a.after.occasion == Occasion.MARKED for a in self._pending.values())

    @property
    def left(self) -> tuple[Action, ...]:
        """The actions that were not made."""
        return tuple(self._pending.values())

    @property
    def are_coming(self) -> bool:
        """Whether an action is left whose occasion has been."""
        return any(self._due_ns(action) is not None for action in self._pending.values())

    def filled(self) -> None:
        """Note that the hogs which are started first have their size."""
        self._filled = time.monotonic_ns()
        self.make_due()

    def returned(self, step: int) -> None:
        """Note that a call has returned."""
        self._returned.setdefault(step, time.monotonic_ns())
        self.make_due()

    def make_due(self) -> None:
        """Make what is due by the evidence so far, the earliest first.

        Deaths must have been read before the evidence: of one task the mark comes first. While a
        hog is started, what was due with it waits.
        """
        while self._pending:
            now = time.monotonic_ns()
            times = {number: self._due_ns(action) for number, action in self._pending.items()}
            due = [
                (at, number)
                for number, at in times.items()
                if at is not None and self._under_way < at <= now
            ]
            if not due:
                return
            before, (self._under_way, number) = self._under_way, min(due)
            self._make(self._pending.pop(number))
            self._under_way = before

    def _due_ns(self, action: Action) -> int | None:
        """Return when an action is due; None as long as its occasion has not been."""
        at = self._occasion_ns(action)
        return None if at is None else at + round(action.after.delay * 1e9)

    def _occasion_ns(self, action: Action) -> int | None:
        after = action.after
        match after.occasion:
            case Occasion.STARTED:
                return self._began
            case Occasion.RETURNED:
                return self._returned.get(after.call)
            case Occasion.FILLED if not after.hogs:
                return self._filled
        key = after.occasion, after.hogs
        if key not in self._seen and self._has_been(*key):
            self._seen[key] = time.monotonic_ns()
        return self._seen.get(key)

    def _has_been(self, occasion: Occasion, names: tuple[str, ...]) -> bool:
        running = [one for name in names if (one := self._find(name))]
        if occasion == Occasion.FILLED:
            return len(running) == len(names) > 0 and all(one.filled for one in running)
        gone = self.history.taken if occasion == Occasion.MARKED else self.watch.deaths
        return any(one.pid in gone for one in running)

    @property
    def runners(self) -> Sequence[RunningHog]:
        """The hogs that were started so far."""
        return self.hog_set.runners if self.hog_set else ()

    def _find(self, name: str) -> RunningHog | None:
        return next((one for one in self.runners if one.hog.name == name), None)

    def _make(self, action: Action) -> None:
        began_ns, failed = time.monotonic_ns(), ""
        try:
            self._do(action)
        except OomctlError as error:
            failed = error.why
            if not action.may_fail:
                self.failure = self.failure or error
                self._pending.clear()
        console.detail(f"step {action.step + 1}: {action_text(action)}")
        took_ns = time.monotonic_ns() - began_ns
        self.reports.append(ActionReport(action, began_ns, began_ns - self._began, took_ns, failed))
        if self.tasks_changed and action.do in (Do.START, Do.MOVE):
            self.tasks_changed()

    def _do(self, action: Action) -> None:
        match action.do:
            case Do.WRITE:
                self._write(action)
            case Do.SYSCTL:
                sysctl = Sysctl(action.file, action.value)
                self.undo.enter_context(sysctl_changed(sysctl, self.journal))
            case Do.SYSFS:
                path = Path(action.file)
                self.undo.enter_context(switch_changed(path, action.value, self.journal))
            case Do.REMOVE:
                self._remove(self.root.at(action.cgroup).directory)
            case Do.MOVE:
                procs = self.root.at(action.cgroup).directory / "cgroup.procs"
                kernelfile.write(procs, self._living(action.hog).pid)
            case Do.START if self.hog_set:
                self.hog_set.start(action.hog)
            case Do.STOP | Do.CONTINUE | Do.KILL:
                self._signal(action)

    def _write(self, action: Action) -> None:
        node = self.root.at(action.cgroup)
        with signals_unblocked():  # the OOM killer may take its time with a limit
            node.controller.set_property(action.file.encode(), action.value)
        if action.file == "cgroup.freeze":  # the kernel freezes them one by one

            def frozen() -> bool:
                found = (node.controller.cgroup_events or {}).get("frozen")
                return found is None or str(found) == action.value

            self.watch.wait(frozen, _SETTLES_IN, look_again)

    def _remove(self, folder: Path) -> None:
        """Remove a cgroup; the last of its tasks may be dead, but not yet gone from it."""
        deadline = time.monotonic() + _SETTLES_IN
        while True:
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno == errno.EBUSY and time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                raise explain(error, folder, "remove the cgroup") from error
            return

    def _signal(self, action: Action) -> None:
        pid = self._living(action.hog).pid
        number = _SIGNALS[action.do]
        if action.do == Do.KILL:
            self.sent.add(pid)
        self.watch.send({pid}, number)
        if action.do == Do.STOP:
            self.watch.wait(lambda: has_stopped(pid), _SETTLES_IN, look_again)
        elif action.do == Do.KILL:  # a tracer may hold it much longer
            self.watch.wait(lambda: pid in self.watch.deaths, 1.0)

    def _living(self, name: str) -> RunningHog:
        found = self._find(name)
        if found is None:
            raise OomctlError(f"the hog '{name}' has not been started")
        self.watch.poll()
        if found.pid in self.watch.deaths:
            raise OomctlError(f"the hog {found} has ended", "or write may_fail = true")
        return found
