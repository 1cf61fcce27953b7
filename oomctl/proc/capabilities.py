"""The capabilities that oomctl uses, what fails without each, and which of them we lack."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from oomctl.errors import UnsupportedError

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class CapabilitySets:
    """The effective and bounding capabilities of a process as bit masks, and its effective user."""

    effective: int
    bounding: int
    uid: int

    @classmethod
    def own(cls) -> Self:
        """Return those of this process."""
        lines = _STATUS.read_text(errors="replace").splitlines()
        fields = {name: value.strip() for name, _, value in (each.partition(":") for each in lines)}
        uid = int(fields["Uid"].split()[1])
        return cls(int(fields["CapEff"], 16), int(fields["CapBnd"], 16), uid)


@dataclass(frozen=True)
class Capability:
    """A capability: its number in include/uapi/linux/capability.h, and what fails without it.

    oomctl cannot declare OOM without a `needed` one.
    """

    name: str
    bit: int
    without: str
    needed: bool = False

    def held(self, by: CapabilitySets) -> bool:
        """Return whether it is effective."""
        return bool(by.effective >> self.bit & 1)

    def replaced(self, by: CapabilitySets) -> bool:
        """Return whether CAP_SYS_ADMIN replaces it (bpf_capable() and perfmon_capable())."""
        return self.needed and SYS_ADMIN.held(by)

    def lack(self, by: CapabilitySets) -> UnsupportedError | None:
        """Return the error of a process that has neither it nor a replacement."""
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
        """Return the same error with the name of the capability."""
        lack = self.lack(by)
        return UnsupportedError(f"{self.name} is {lack.why}", lack.hint) if lack else None


SYS_ADMIN = Capability(
    "CAP_SYS_ADMIN", 21, "libbpf cannot read the BTF of modules, so it finds no kfunc of a module"
)
SYS_RESOURCE = Capability(
    "CAP_SYS_RESOURCE",
    24,
    "oomctl cannot lower its oom_score_adj to keep the OOM killer off itself",
)
SYSLOG = Capability("CAP_SYSLOG", 34, "the kernel log cannot be read if kernel.dmesg_restrict is 1")
CAPABILITIES = (
    SYS_ADMIN,
    Capability("CAP_BPF", 39, "the kernel loads no BPF program", needed=True),
    Capability("CAP_PERFMON", 38, "BPF programs may not follow kernel pointers", needed=True),
    SYS_RESOURCE,
    SYSLOG,
    Capability("CAP_SYS_PTRACE", 19, "vfork() in tasks of other users is not recognized"),
    Capability("CAP_KILL", 5, "processes of other users in a cgroup cannot be signalled"),
)


def lacking(*, module: bool = False) -> Iterator[UnsupportedError]:
    """Yield an error for each capability that we lack to load BPF programs.

    With `module` a module provides the kfunc.
    """
    own = CapabilitySets.own()
    for each in CAPABILITIES:
        wanted = each.needed or (module and each is SYS_ADMIN)
        if wanted and (lack := each.named_lack(own)):
            yield lack
