import errno
from types import SimpleNamespace

import pytest

from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment import candidates
from oomctl.files import kernelfile
from oomctl.oom.task import Task, limit_pages
from oomctl.proc import procfs

PAGE = procfs.PAGE_SIZE
NONE = limit_pages(None, PAGE)


@pytest.fixture
def target(tmp_path, monkeypatch):
    """A cgroup with these limits, on a machine with 100 pages of swap."""

    def make(swappiness=60, swap=100, **files):
        root = UnifiedNode(str(tmp_path))
        (tmp_path / "t").mkdir()
        for name, text in files.items():
            (tmp_path / "t" / f"memory.{name.replace('_', '.')}").write_text(f"{text}\n")
        monkeypatch.setattr(procfs, "sysctl", lambda _name: swappiness)
        monkeypatch.setattr(
            candidates.psutil, "swap_memory", lambda: SimpleNamespace(total=swap * PAGE)
        )
        return root.at("/t")

    return make


@pytest.mark.parametrize(
    ("pages", "files"),
    [
        (50 + 30, {"max": 50 * PAGE, "swap_max": 30 * PAGE}),
        (50 + 100, {"max": 50 * PAGE, "swap_max": 300 * PAGE}),  # limited by the swap that exists
        (50 + 100, {"max": 50 * PAGE, "swap_max": "max"}),
        (50, {"max": 50 * PAGE, "swap_max": 0}),
        (50, {"max": 50 * PAGE, "swap_max": 30 * PAGE, "swappiness": 0}),
        (50, {"max": 50 * PAGE, "swap": 0}),  # a kernel without swap
        (NONE + 30, {"max": "max", "swap_max": 30 * PAGE}),
        (1, {"max": 0, "swap_max": 0}),  # never 0: it is a divisor
    ],
)
def test_the_targets_own_limits_are_its_totalpages(target, pages, files):
    assert candidates.target_pages(target(**files)) == pages


def test_a_limit_that_is_about_to_be_written_counts(target):
    node = target(max="max", swap_max=30 * PAGE)
    assert candidates.target_pages(node, 50 * PAGE) == 50 + 30
    assert candidates.target_pages(node, 0) == 30


def test_a_task_is_charged_to_the_nearest_cgroup_with_the_controller(target, monkeypatch):
    monkeypatch.setattr(procfs, "read_task", lambda pid, cgroup: Task(pid, "", cgroup, *[0] * 5))
    node = target(max="max", oom_group=0)
    for pid, (path, group) in enumerate({"a": 1, "a/b": None, "a/b/c": None, "d": 0}.items(), 2):
        (node.directory / path).mkdir()
        (node.directory / path / "cgroup.procs").write_text(f"{pid}\n")
        if group is not None:
            (node.directory / path / "memory.oom.group").write_text(f"{group}\n")
    found = candidates.read_candidates(node, node)
    charged = {task.cgroup: task.memcg for task in found.tasks}
    assert charged == {"/t/a": "/t/a", "/t/a/b": "/t/a", "/t/a/b/c": "/t/a", "/t/d": "/t/d"}
    assert found.groups == {"/t/a"}


def test_a_threaded_cgroup_lists_no_processes_of_its_own(target, monkeypatch):
    """The kernel fails with EOPNOTSUPP; the threaded domain above lists them."""
    node = target(max="max")
    threaded = node.directory / "threads"
    threaded.mkdir()
    (node.directory / "cgroup.procs").write_text("7\n8\n")
    content = kernelfile.content

    def read(path):
        if path == str(threaded / "cgroup.procs"):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return content(path)

    monkeypatch.setattr(kernelfile, "content", read)
    assert node.members() == {7: "/t", 8: "/t"}


def test_page_counter_max_is_the_kernels():
    if PAGE == 4096:
        assert NONE == 2251799813685247
