"""Carries out cases on this machine: one session for all, and what the machine shows beside."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

import psutil

from oomctl import console
from oomctl.bpf.btf import Kfunc
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import OomctlError, UnsupportedError, while_ending
from oomctl.experiment.session import Session
from oomctl.experiment.setting import switch_changed, sysctl_changed
from oomctl.fuzz.case import Case
from oomctl.fuzz.hunt import Trial, trial_of
from oomctl.fuzz.oracles import Disagreement, Judged
from oomctl.fuzz.weights import PAGE, SWITCHES, Switch
from oomctl.hog.hogset import NotFilledError
from oomctl.oom.enums import Agreement, Do, Oracle
from oomctl.oom.faults import find_faults
from oomctl.oom.klog import KernelLog
from oomctl.oom.outcome import Environment
from oomctl.oom.plan import Sysctl
from oomctl.proc import procfs
from oomctl.proc.kmsg import Kmsg, marked
from oomctl.text import counted
from oomctl.units import format_size

_OF_THE_LOG = (Oracle.EVIDENCE, Oracle.COUNTS)
_LATER = 1.0
"""Seconds after which the kernel log is read again if it lacked something."""


class Bench:
    """A session, its own reader of the kernel log, and names for trees below the root."""

    def __init__(self, root: UnifiedNode, kfunc: Kfunc) -> None:
        self._root = root
        self._kfunc = kfunc
        self._stack = ExitStack()
        self._prefix = f"oomctl-{os.getpid()}-fuzz-"
        self._made = 0

    def __enter__(self) -> Self:
        """Set up; raises the errors of a session."""
        with ExitStack() as stack:
            self._session = stack.enter_context(Session(self._root, self._kfunc, None))
            self._log = stack.enter_context(Kmsg())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Take everything down."""
        self._stack.close()

    @property
    def environment(self) -> Environment:
        """The machine."""
        return self._session.environment

    def switches(self) -> tuple[Switch, ...]:
        """Return the settings of the whole machine that may be set here, and to what.

        Each is tried and restored.
        """
        tried = (
            replace(each, values=[value for value in each.values if self._can_set(each, value)])
            for each in SWITCHES
        )
        return tuple(each for each in tried if len(each.values) > 1)

    def _can_set(self, switch: Switch, value: str) -> bool:
        sysctl = Sysctl(switch.file, value)
        try:
            with (
                switch_changed(Path(switch.file), value, self._session.journal)
                if switch.do == Do.SYSFS
                else sysctl_changed(sysctl, self._session.journal)
            ):
                return True
        except UnsupportedError:
            return False

    def run(self, case: Case, origin: str) -> Trial:
        """Carry out a case; its errors are disagreements, but for a hog that does not get full."""
        self._made += 1
        plan = case.plan(f"/{self._prefix}{self._made}")
        try:
            with console.quiet(), marked(f"fuzz case {origin}"):
                judged = Judged(plan, self._session.run(plan))
            if isinstance(judged.outcome.failure, NotFilledError):
                raise judged.outcome.failure
        except NotFilledError:
            return Trial(Agreement.NOT_FILLED)
        except OomctlError as error:
            if while_ending(error):
                raise
            text = "; ".join(error.lines)
            found = (Disagreement(Oracle.CARRIED_OUT, text), *self._seen(self._log.read()))
            return Trial(Agreement.DIFFERS, found)
        log = self._log.read()
        return trial_of(judged, (*self._seen(log), *self._read_again(judged, log)))

    def _read_again(self, judged: Judged, log: KernelLog) -> Iterator[Disagreement]:
        """Say what this reader of the kernel log has, if the log disagreed with other sources."""
        about = [one.oracle for one in judged.disagreements if one.oracle in _OF_THE_LOG]
        if about:
            time.sleep(_LATER)
            log += self._log.read()
            found = judged.unread(log.records) or "no kill"
            yield Disagreement(
                about[0],
                f"another reader of the kernel log has {found} beside the calls' own lines after "
                f"{_LATER:g} s, in {counted(len(log.records), 'record')}; {log.lost} were lost",
            )

    def _seen(self, log: KernelLog) -> tuple[Disagreement, ...]:
        """Return what the machine shows after an experiment: faults, and what is left."""
        faults = find_faults(record.text for record in log.records)
        left = [p.name for p in self._root.directory.iterdir() if p.name.startswith(self._prefix)]
        left += [f"pid {pid}" for pid in procfs.children(os.getpid())]
        found = [Disagreement(Oracle.CONSOLE, fault.title) for fault in faults]
        if left:
            found.append(Disagreement(Oracle.LEFT_BEHIND, f"left behind: {', '.join(left)}"))
        return tuple(found)


def require_machine_for(most: int) -> None:
    """Raise UnsupportedError unless the cases of at most so many bytes can be judged here.

    Their sizes and orders are made for pages of 4 KiB, and twice the bytes must be available.
    """
    if procfs.PAGE_SIZE != PAGE:
        raise UnsupportedError(
            f"this kernel's pages have {format_size(procfs.PAGE_SIZE)}, and the cases are made for "
            f"pages of {format_size(PAGE)}",
            "run it on a kernel with such pages; `oomctl smoke` is right with others too",
        )
    available = psutil.virtual_memory().available
    if available < 2 * most:
        raise UnsupportedError(
            f"{format_size(available)} of memory are available, and the trees need "
            f"{format_size(2 * most)}",
            "end something, or run it in `oomctl lab run --memory 2G -- oomctl fuzz`",
        )
