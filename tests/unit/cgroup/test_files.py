import math

import pytest

from oomctl.cgroup.files import InterfaceFile, SubtreeControlFile
from oomctl.cgroup.node import UnifiedController
from oomctl.errors import OomctlError
from oomctl.files.kernelfile import KernelFileError


@pytest.fixture
def node(cgroupfs):
    return cgroupfs.create_cgroup("t")


def put(node, name, text):
    (node.directory / name).write_text(text)


@pytest.mark.parametrize(
    ("attribute", "file", "text", "value"),
    [
        ("memory_current", "memory.current", "4096\n", 4096),
        ("memory_max", "memory.max", "max\n", math.inf),
        ("memory_max", "memory.max", "67108864\n", 67_108_864),
        ("memory_events", "memory.events", "low 0\noom_kill 3\n", {"low": 0, "oom_kill": 3}),
        ("memory_events", "memory.events", "", {}),
        ("memory_events", "memory.events", "low 0\nnew_one 4\n", {"low": 0, "new_one": 4}),
        ("memory_events", "memory.events", "low 7", {"low": 7}),
        (
            "memory_pressure",
            "memory.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 total=3\n",
            {"some": 7, "full": 3},
        ),
        (
            "cgroup_events",
            "cgroup.events",
            "populated 1\nfrozen 0\n",
            {"populated": 1, "frozen": 0},
        ),
        ("controllers", "cgroup.controllers", "cpu memory\n", {"cpu", "memory"}),
        ("subtree_control", "cgroup.subtree_control", "\n", frozenset()),
        ("procs", "cgroup.procs", "", ()),
        ("procs", "cgroup.procs", "12\n3\n0\n", (12, 3, 0)),
        ("freeze", "cgroup.freeze", "1\n", True),
        ("freeze", "cgroup.freeze", "0\n", False),
    ],
)
def test_values(node, attribute, file, text, value):
    put(node, file, text)
    assert getattr(node.controller, attribute) == value


@pytest.mark.parametrize(
    ("attribute", "file"),
    [
        ("memory_current", "memory.current"),
        ("memory_max", "memory.max"),
        ("memory_events", "memory.events"),
        ("procs", "cgroup.procs"),
        ("subtree_control", "cgroup.subtree_control"),
    ],
)
def test_an_absent_file_is_none(node, attribute, file):
    (node.directory / file).unlink()
    assert getattr(node.controller, attribute) is None


@pytest.mark.parametrize(
    ("attribute", "file", "text"),
    [
        ("memory_current", "memory.current", "max\n"),
        ("memory_max", "memory.max", "64M\n"),
        ("memory_events", "memory.events", "low\n"),
        ("procs", "cgroup.procs", "x\n"),
    ],
)
def test_a_malformed_file_is_said_with_its_path(node, attribute, file, text):
    put(node, file, text)
    with pytest.raises(OomctlError, match=file) as caught:
        getattr(node.controller, attribute)
    assert repr(text.strip()) in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "file", "value", "text"),
    [
        ("memory_max", "memory.max", math.inf, "max"),
        ("memory_max", "memory.max", 4096, "4096"),
        ("freeze", "cgroup.freeze", True, "1"),
        ("freeze", "cgroup.freeze", False, "0"),
        ("kill", "cgroup.kill", True, "1"),
    ],
)
def test_writing(node, attribute, file, value, text):
    put(node, file, "")
    setattr(node.controller, attribute, value)
    assert (node.directory / file).read_text() == text


@pytest.mark.parametrize("attribute", ["procs", "controllers", "memory_events", "memory_current"])
def test_what_the_kernel_only_tells_cannot_be_written(node, attribute):
    with pytest.raises(RuntimeError, match="readonly"):
        setattr(node.controller, attribute, 1)


def test_what_the_kernel_only_takes_cannot_be_read(node):
    with pytest.raises(AttributeError, match=r"cgroup\.kill can only be written"):
        _ = node.controller.kill


def test_on_the_class_a_descriptor_is_itself():
    assert isinstance(UnifiedController.memory_max, InterfaceFile)
    assert isinstance(UnifiedController.subtree_control, SubtreeControlFile)


@pytest.mark.parametrize(
    ("have", "wanted", "written"),
    [
        ("", {"memory"}, ["+memory"]),
        ("memory pids", {"memory", "cpu"}, ["+cpu -pids"]),
        ("memory pids", {"memory", "pids"}, []),
        ("memory", set(), ["-memory"]),
    ],
)
def test_subtree_control_writes_only_the_difference_and_at_once(
    node, monkeypatch, have, wanted, written
):
    put(node, "cgroup.subtree_control", have)
    writes = []
    monkeypatch.setattr(
        UnifiedController, "set_property", lambda _self, file, value: writes.append((file, value))
    )
    node.controller.subtree_control = wanted
    assert writes == [(b"cgroup.subtree_control", text) for text in written]


def test_one_write_carries_one_command(node, monkeypatch):
    """The kernel parses a command per write(2)."""
    writes = []
    monkeypatch.setattr("os.write", lambda _fd, data: writes.append(data) or len(data))
    node.controller.memory_max = 123_456
    assert writes == [b"123456"]


def test_a_cgroup_that_is_gone_cannot_be_given_controllers(node):
    (node.directory / "cgroup.subtree_control").unlink()
    node.directory.joinpath("cgroup.subtree_control").symlink_to("/nonexistent/x")
    with pytest.raises(KernelFileError, match=r"cannot write '\+memory' to .*subtree_control"):
        node.controller.subtree_control = {"memory"}


@pytest.mark.parametrize(
    ("attribute", "file", "data"),
    [
        ("memory_current", "memory.current", b"\xff\xfe"),
        ("memory_current", "memory.current", b""),
        ("memory_current", "memory.current", b"-1\n"),
        ("memory_current", "memory.current", b"18446744073709551616\n"),
        ("memory_max", "memory.max", b"9" * 400),
        ("memory_max", "memory.max", b"9" * 5000),
        ("memory_events", "memory.events", b"oom_kill 1 2\n"),
        ("memory_events", "memory.events", b"\x1b[2J\0"),
        ("procs", "cgroup.procs", b"1\n-1\n"),
        ("memory_pressure", "memory.pressure", b"some\n"),
        ("memory_pressure", "memory.pressure", b"some total=x\n"),
    ],
)
def test_what_no_kernel_writes_is_a_short_line(node, attribute, file, data):
    (node.directory / file).write_bytes(data)
    with pytest.raises(OomctlError, match="has unexpected content") as caught:
        getattr(node.controller, attribute)
    assert len(str(caught.value)) < 300 + len(str(node.directory))
