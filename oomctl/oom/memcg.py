"""The memory of the cgroup that is out of memory. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

V1_ID = 1 << 63
"""A flag in the id of a cgroup v1: each hierarchy numbers its own cgroups."""


@dataclass(frozen=True)
class MemcgUsage:
    """What a memcg held when the OOM killer was invoked, in bytes; a limit of None is `max`.

    `kinds` is its memory.stat as the kernel log has it, empty if the report of the kill was left
    out. `swap` is None if it is not known.
    """

    memory: int
    limit: int | None
    swap: int | None = None
    swap_limit: int | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)
