"""Memory over time: memory.current of some cgroups, sampled while oomctl waits."""

import os
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from oomctl.cgroup.node import UnifiedNode
from oomctl.files.kernelfile import explain
from oomctl.oom.outcome import Sample

MAX_CGROUPS = 64
MAX_SAMPLES = 50_000


class Sampler:
    """Samples memory.current of a cgroup and of the first cgroups below it."""

    def __init__(self, top: UnifiedNode | None) -> None:
        self._nodes: Sequence[UnifiedNode] = list(top.walk())[:MAX_CGROUPS] if top else ()
        self._files: list[tuple[str, int]] = []
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        """Open the files, but none of a cgroup without the memory controller."""
        try:
            for node in self._nodes:
                path = node.directory / "memory.current"
                with suppress(FileNotFoundError):
                    self._files.append((node.cgroup, os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
        except OSError as error:
            self.__exit__()
            raise explain(error, path, "open") from error
        return self

    def __exit__(self, *_exc: object) -> None:
        for _cgroup, fd in self._files:
            os.close(fd)
        self._files.clear()

    def sample(self) -> None:
        """Sample each cgroup that still exists."""
        if len(self.samples) >= MAX_SAMPLES:
            return
        for cgroup, fd in self._files:
            try:
                size = int(os.pread(fd, 32, 0))
            except (OSError, ValueError):  # ENODEV: the cgroup is gone
                continue
            self.samples.append(Sample(time.monotonic_ns(), cgroup, size))

    def first_below(self, size: int, since_ns: int) -> int | None:
        """Return when the topmost cgroup was first seen below `size` bytes, in ns."""
        if not self._files:
            return None
        top = self._files[0][0]
        first = bisect_left(self.samples, since_ns, key=lambda sample: sample.at_ns)
        later = (self.samples[place] for place in range(first, len(self.samples)))
        return next((one.at_ns for one in later if one.cgroup == top and one.bytes < size), None)
