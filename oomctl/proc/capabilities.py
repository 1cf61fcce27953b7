"""The capabilities that oomctl uses, what is lost without each, and which of them we lack."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from oomctl.errors import UnsupportedError

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class CapabilitySets:
    """The capabilities of a process as bit masks, those it may get, and its effective user."""

    effective: int
    bounding: int
    uid: int

    @classmethod
    def own(cls) -> Self:
        """Read our own."""
        lines = _STATUS.read_text(errors="replace").splitlines()
        fields = {name: value.strip() for name, _, value in (each.partition(":") for each in lines)}
        uid = int(fields["Uid"].split()[1])
        return cls(int(fields["CapEff"], 16), int(fields["CapBnd"], 16), uid)


@dataclass(frozen=True)
class Capability:
    """A capability: its number in include/uapi/linux/capability.h, and what is lost without it.

    `needed` is one without which oomctl cannot declare OOM.
    """

    name: str
    bit: int
    without: str
    needed: bool = False

    def held(self, by: CapabilitySets) -> bool:
        """Tell whether it is effective."""
        return bool(by.effective >> self.bit & 1)

    def replaced(self, by: CapabilitySets) -> bool:
        """Tell whether CAP_SYS_ADMIN stands for it (bpf_capable() and perfmon_capable())."""
        return self.needed and SYS_ADMIN.held(by)

    def lack(self, by: CapabilitySets) -> UnsupportedError | None:
        """Return the error of a process that has it neither itself nor by another."""
        if self.held(by) or self.replaced(by):
            return None
        if by.bounding >> self.bit & 1:
            return UnsupportedError(
                f"not held: {self.without}",
                "run it with sudo" if by.uid else "run it from a root shell that has all",
            )
        return UnsupportedError(
            f"not held, nor in the bounding set: {self.without}",
            f"grant it to what started this shell (a container: `--cap-add={self.name[4:]}`)",
        )

    def named_lack(self, by: CapabilitySets) -> UnsupportedError | None:
        """Return the same error with the name of the capability in it."""
        lack = self.lack(by)
        return UnsupportedError(f"{self.name} is {lack.why}", lack.hint) if lack else None


SYS_ADMIN = Capability(
    "CAP_SYS_ADMIN", 21, "libbpf gets no BTF of modules, so no kfunc that a module provides"
)
SYS_RESOURCE = Capability(
    "CAP_SYS_RESOURCE",
    24,
    "oomctl cannot lower its oom_score_adj to keep the OOM killer off itself",
)
SYSLOG = Capability("CAP_SYSLOG", 34, "the kernel log is closed where kernel.dmesg_restrict is 1")
CAPABILITIES = (
    SYS_ADMIN,
    Capability("CAP_BPF", 39, "the kernel loads no BPF program", needed=True),
    Capability("CAP_PERFMON", 38, "BPF programs may not follow kernel pointers", needed=True),
    SYS_RESOURCE,
    SYSLOG,
    Capability("CAP_SYS_PTRACE", 19, "of others' tasks it cannot be told who waits in vfork"),
    Capability("CAP_KILL", 5, "what other users left in a cgroup cannot be signalled"),
)


def lacking(*, module: bool = False) -> Iterator[UnsupportedError]:
    """Name each capability that we lack to load BPF programs.

    `module` says that a module provides the kfunc.
    """
    own = CapabilitySets.own()
    for each in CAPABILITIES:
        wanted = each.needed or (module and each is SYS_ADMIN)
        if wanted and (lack := each.named_lack(own)):
            yield lack
