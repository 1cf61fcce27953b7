"""Any content of a cgroup's interface files: a value, or a line that names the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.cgroup import hierarchy, parent
from oomctl.cgroup.usage import Sampler
from oomctl.errors import OomctlError
from oomctl.experiment import setting
from oomctl.experiment.target import TargetState
from oomctl.journal.entries import Changed
from oomctl.oom.plan import Plan
from tests.hostile.bytes import near
from tests.hostile.ground import cases, count, invoke, valid

READ = {
    "memory.current": "memory_current",
    "memory.max": "memory_max",
    "memory.oom.group": "memory_oom_group",
    "memory.events": "memory_events",
    "memory.pressure": "memory_pressure",
    "cgroup.procs": "procs",
    "cgroup.controllers": "controllers",
    "cgroup.subtree_control": "subtree_control",
    "cgroup.events": "cgroup_events",
    "cgroup.stat": "stat",
}
contents = near(
    *(b"0\n", b"max\n", b"4096\n", b"low 0\nhigh 0\noom_kill 3\n", b"populated 0\nfrozen 0\n"),
    *(b"1\n22\n", b"memory pids\n", b"nr_dying_descendants 4\n"),
    b"some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 total=1\n",
)


@pytest.fixture
def node(cgroupfs):
    return cgroupfs.create_cgroup("t")


def one_line(error, path=""):
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    assert str(path) in str(error)


@cases(6)
@given(st.sampled_from([*READ]), contents)
def test_a_file_is_a_value_or_a_line_that_names_it(node, name, data):
    count("interface files")
    path = node.directory / name
    path.write_bytes(data)
    try:
        getattr(node.controller, READ[name])
    except OomctlError as error:
        one_line(error, path)


@cases(4)
@given(st.dictionaries(st.sampled_from([*READ]), contents, max_size=4))
def test_what_is_looked_at_before_and_after_a_call(cgroupfs, node, files):
    count("cgroups that are looked at")
    for name in READ:
        (node.directory / name).write_bytes(files.get(name, b""))
        if name not in files:
            (node.directory / name).unlink()
    plan = Plan(cgroups=(), settings=(), hogs=(), steps=(), top="/t")
    scope = TargetState(plan, cgroupfs)

    def sample():
        with Sampler(node) as sampler:
            sampler.sample()

    put_back = Changed(str(node.directory / "memory.max"), None, "max", "4096")
    for look in (
        *(scope.memory, scope.events, scope.pressure, scope.populated, scope.dying, sample),
        lambda: scope.snapshot(()),
        lambda: parent.require_children(node),
        lambda: setting.is_still_ours(put_back),
        lambda: setattr(node.controller, "subtree_control", {"memory"}),
    ):
        try:
            look()
        except OomctlError as error:
            one_line(error)


@cases(2)
@given(st.dictionaries(st.sampled_from([*READ]), contents, max_size=4))
def test_a_prediction_of_a_hostile_cgroup(harmless, cgroupfs, files):
    count("predictions")
    for name, data in files.items():
        (cgroupfs.directory / "a" / name).write_bytes(data)
    valid(invoke("predict", "--cgroup", "/a", "-f", "json"))


MOUNTS = (
    b"cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n",
    b"none /a\\040b cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n",
    b"x /\\033[31m cgroup2 rw 0 0\n",
)


@cases(2)
@given(near(*MOUNTS))
def test_any_table_of_mounts(harmless, table):
    count("tables of mounts")
    hierarchy._MOUNTS.write_bytes(table)
    valid(invoke("predict", "--cgroup", "/a"))
    valid(invoke("declare", "--cgroup", "/a", "--dry-run"))
