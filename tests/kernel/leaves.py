"""Cgroups of a test, their counters, and hogs in them."""

import contextlib
from collections.abc import Iterator

from oomctl.cgroup.node import UnifiedNode
from oomctl.hog.hogset import HogSet
from oomctl.oom.plan import Hog
from oomctl.proc.kmsg import Kmsg
from oomctl.proc.pidfd import PidfdWatch

K = 1 << 10
M = 1 << 20
SIZE = 24 * M
TOP = "hog tests"
ROOT = UnifiedNode("/sys/fs/cgroup")


class Leaf:
    """A cgroup of the test and its counters."""

    def __init__(self, name: str) -> None:
        self.cgroup = f"/{TOP}/{name}"
        self.directory = ROOT.at(self.cgroup).directory
        self.directory.mkdir()

    @property
    def charged(self) -> int:
        return int((self.directory / "memory.current").read_text())

    def counters(self, file: str) -> dict[str, int]:
        lines = (self.directory / file).read_text().splitlines()
        return {key: int(value) for key, value in map(str.split, lines)}

    def limit(self, size: int) -> None:
        (self.directory / "memory.max").write_text(str(size))
        self.swapless()

    def swapless(self) -> None:
        if (swap := self.directory / "memory.swap.max").exists():
            swap.write_text("0")


def hog_set(watch: PidfdWatch, *wanted: Hog, timeout: float = 120.0) -> HogSet:
    return HogSet(wanted, ROOT, watch, timeout)


@contextlib.contextmanager
def observed(watch: PidfdWatch, *wanted: Hog) -> Iterator[HogSet]:
    """A HogSet that knows from the kernel log which tasks the OOM killer has killed."""
    with Kmsg() as log:
        log.read()
        taken: set[int] = set()

        def oom_killed(pid: int) -> bool:
            taken.update(kill.pid for kill in log.read().kills)
            return pid in taken

        with HogSet(wanted, ROOT, watch, 120.0, oom_killed=oom_killed) as running:
            yield running
