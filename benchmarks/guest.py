"""The rows that need real kills: measured in a guest of the lab."""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row, Way, cpu_ms

ROUNDS = 20
SIZE = 4 << 20
_SCENARIO = f"[hog.h]\nsize = {SIZE}\n\n[[call]]\n"
_GROUP = Path("/sys/fs/cgroup/yardstick")


def rows(yardstick: Path, scratch: Path) -> Iterator[Row]:
    """Yield every row; `yardstick` is compiled, `scratch` is an empty folder."""
    scenario = scratch / "round.toml"
    scenario.write_text(_SCENARIO)
    procs = _GROUP / "cgroup.procs"

    def by_oomctl() -> float:
        words = [sys.executable, "-m", "oomctl", "run", str(scenario), "--no-record", "--repeat"]
        return (cpu_ms([*words, str(ROUNDS + 1)]) - cpu_ms([*words, "1"])) / ROUNDS

    def by_c() -> float:
        (_GROUP.parent / "cgroup.subtree_control").write_text("+memory")
        _GROUP.mkdir(exist_ok=True)
        (_GROUP / "memory.max").write_text(str(SIZE))
        words = [str(yardstick), "limit", str(ROUNDS), str(procs), str(2 * SIZE)]
        return cpu_ms(words) / ROUNDS

    yield Row(
        f"a round: {SIZE >> 20}M filled and killed, in the lab",
        "ms CPU",
        Way("oomctl run", by_oomctl),
        [Way("C, memory.max", by_c)],
        2.0,
    )
