"""One OOM kill as a declaration's result has it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kill:
    """One task that was sent SIGKILL: `rss` in bytes, `memcg` and `trigger` if the log told them.

    `trigger` is the PID of who ran the OOM killer.
    """

    pid: int
    comm: str
    rss: int
    memcg: str | None = None
    oom_score_adj: int = 0
    trigger: int | None = None
