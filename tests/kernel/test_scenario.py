"""What a scenario says of cgroups, as the kernel takes it."""

import json

import pytest

from oomctl import scenario
from oomctl.cgroup.hierarchy import unified_root
from oomctl.cgroup.tree import Tree
from oomctl.experiment.naming import unique_name
from oomctl.journal.file import Journal
from oomctl.scenario.planning import Site, plan

ODD = [
    r"dev-disk-by\x2did.swap",
    "a b",
    "é",
    "x'y\"z",
    "\x1b[2J",
    "-n",
    "$(x)",
    "n" * 255,
]


@pytest.fixture
def planned(tmp_path):
    """Plan a scenario for this machine."""

    def make(text):
        path = tmp_path / "x.toml"
        path.write_text(text)
        return plan(scenario.load(path), Site(unique_name, 1 << 30))

    return make


FILES = {
    "memory.max": "0",
    "memory.high": "0",
    "memory.low": "0",
    "memory.min": "0",
    "memory.swap.max": "0",
    "memory.swap.high": "0",
    "memory.zswap.max": "0",
    "memory.oom.group": "false",
    "pids.max": "0",
}


def test_limits_of_nothing_arrive_in_their_files(planned):
    lines = "\n".join(f"{name} = {value}" for name, value in FILES.items())
    made = planned(f"""
        [cgroup."."]
        memory.swap.max = "64M"
        [cgroup.none]
        {lines}
    """)
    root = unified_root()
    with Journal() as journal, Tree(root, made, journal):
        folder = root.at(f"{made.top}/none").directory
        found = {name: (folder / name).read_text().strip() for name in FILES}
        above = (folder.parent / "memory.swap.max").read_text().strip()
    assert found == dict.fromkeys(FILES, "0")
    assert above == str(64 << 20)


@pytest.mark.parametrize("form", ["json", "table", "html", "ktap"])
def test_cgroups_may_have_any_name(oomctl, tmp_path, form):
    hogs = "".join(
        f'[hog.h{number}]\nsize = "1M"\ncgroup = {json.dumps(f"{name}/")}\n'
        for number, name in enumerate(ODD)
    )
    hogs += "".join(f"[cgroup.{json.dumps(name)}]\n" for name in ODD)
    path = tmp_path / "odd.toml"
    target = json.dumps(ODD[0])
    path.write_text(f"""{hogs}
        [[call]]
        target = {target}
        [expect]
        victims = "h0"
        [expect.cgroup.{target}]
        events.oom_kill = 1
    """)
    result = oomctl("run", str(path), "--format", form)
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    if form == "json":
        (one,) = json.loads(result.stdout)["runs"][0]["rounds"]
        top, tasks = one["outcome"]["top"], one["outcome"]["tasks"]
        homes = {task["name"]: task["cgroup"] for task in tasks}
        assert homes["h0"] == f"{top}/{ODD[0]}/h0"
        assert homes["h2"] == f"{top}/é/h2"
