"""The rows that need real kills or many cgroups: measured in a guest of the lab."""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row, Way, cpu_ms

ROUNDS = 20
SIZE = 4 << 20
CGROUPS, HOGS = 100, 10
_HOG_SIZE = 64 << 10
_ROUND = f"[hog.h]\nsize = {SIZE}\n\n[[call]]\n"
_OF_TREE = '[cgroup.c{0}]\n[hog.h{0}]\nsize = {1}\ncount = {2}\ncgroup = "c{0}"\n\n'
_GROUP = Path("/sys/fs/cgroup/yardstick")


def rows(yardstick: Path, scratch: Path) -> Iterator[Row]:
    """Yield every row that is measured often; `yardstick` is compiled, `scratch` is a folder."""
    scenario = scratch / "round.toml"
    scenario.write_text(_ROUND)

    def by_oomctl() -> float:
        one, more = (_run(scenario, "--repeat", str(each)) for each in (1, ROUNDS + 1))
        return (more - one) / ROUNDS

    def by_c() -> float:
        _make(_GROUP)
        (_GROUP / "memory.max").write_text(str(SIZE))
        words = [str(yardstick), "limit", str(ROUNDS), f"{_GROUP}/cgroup.procs", str(2 * SIZE)]
        return cpu_ms(words) / ROUNDS

    yield Row(
        f"a round: {SIZE >> 20}M filled and killed, in the lab",
        "ms CPU",
        Way("oomctl run", by_oomctl),
        [Way("C, memory.max", by_c)],
        2.0,
    )


def large_rows(yardstick: Path, scratch: Path) -> Iterator[Row]:
    """Yield the rows that take a minute for each measurement; as `rows()`."""
    scenario, one = scratch / "tree.toml", scratch / "one.toml"
    tree = "".join(_OF_TREE.format(each, _HOG_SIZE, HOGS) for each in range(CGROUPS))
    scenario.write_text(f"{tree}[[call]]\n")
    one.write_text(_OF_TREE.format(0, _HOG_SIZE, 1) + "[[call]]\n")

    def by_oomctl() -> float:
        return (_run(scenario) - _run(one)) / (CGROUPS * HOGS)

    def by_c() -> float:
        cgroups = [Path(f"{_GROUP}{each}") for each in range(CGROUPS)]
        for each in cgroups:
            _make(each)
        procs = [f"{each}/cgroup.procs" for each in cgroups]
        words = [str(yardstick), "tree", str(HOGS), str(_HOG_SIZE), *procs]
        return cpu_ms(words) / (CGROUPS * HOGS)

    yield Row(
        f"one of {CGROUPS * HOGS:,} hogs in {CGROUPS} cgroups, in the lab",
        "ms CPU",
        Way("oomctl run", by_oomctl),
        [Way("C, fork", by_c)],
        goal=10.25,
    )


def _run(scenario: Path, *options: str) -> float:
    return cpu_ms([sys.executable, "-m", "oomctl", "run", str(scenario), "--no-record", *options])


def _make(cgroup: Path) -> None:
    (cgroup.parent / "cgroup.subtree_control").write_text("+memory")
    cgroup.mkdir(exist_ok=True)
