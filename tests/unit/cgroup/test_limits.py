"""The limit that refused a hog something, found from plain files in place of a cgroup's."""

import pytest

from oomctl.cgroup.limits import reached, refusals

M = 1 << 20


@pytest.fixture
def tree(cgroupfs):
    """Cgroups /t, /t/a and /t/b; `tree("t/a", **{"memory.max": 8 * M})` writes into one."""
    for path in ("t", "t/a", "t/b"):
        cgroupfs.at(path).directory.mkdir()

    def write(path: str, **files: object) -> None:
        for name, value in files.items():
            (cgroupfs.at(path).directory / name.replace("_", ".")).write_text(f"{value}\n")

    write.root = cgroupfs
    return write


def events(**counts: int) -> str:
    return "\n".join(f"{name} {count}" for name, count in counts.items())


def told(tree, change, *cgroups: str, tasks=False, huge=False) -> str:
    cgroups = cgroups or ("/t/a",)
    before = refusals(tree.root, cgroups, huge)
    change()
    limit = reached(tree.root, cgroups, before, tasks=tasks, huge=huge)
    return str(limit or "")


def test_where_nothing_was_refused_no_limit_is_named(tree):
    tree("t", memory_max=8 * M, memory_current=8 * M)
    assert told(tree, lambda: None) == ""


@pytest.mark.parametrize(("where", "other"), [("t/a", "t"), ("t", "t/a")])
def test_the_limit_that_refused_is_named_whichever_is_smaller(tree, where, other):
    tree(where, memory_max=8 * M, memory_events_local=events(max=3, oom=1))
    tree(other, memory_max=4 * M, memory_events_local=events(max=9, oom=2))
    refuse = {"memory_events_local": events(max=4, oom=2)}
    assert told(tree, lambda: tree(where, **refuse)) == f"memory.max of /{where} (8M)"


def test_what_ended_in_oom_comes_before_what_was_reclaimed(tree):
    tree("t", memory_max=8 * M, memory_events_local=events(max=0, oom=0))
    tree("t/a", memory_max=6 * M, memory_events_local=events(max=0, oom=0))

    def refuse():
        tree("t", memory_events_local=events(max=1, oom=1))
        tree("t/a", memory_events_local=events(max=900, oom=0))

    assert told(tree, refuse) == "memory.max of /t (8M)"


def test_the_refusal_of_a_neighbour_does_not_count(tree):
    tree("t/b", memory_max=8 * M)
    refuse = {"memory_events_local": events(max=1, oom=1)}
    assert told(tree, lambda: tree("t/b", **refuse)) == ""


def test_a_limit_of_pids_is_counted_in_tasks(tree):
    tree("t", pids_max=3, pids_events_local=events(max=0))
    refuse = {"pids_events_local": events(max=1)}
    assert told(tree, lambda: tree("t", **refuse), tasks=True) == "pids.max of /t (3)"
    assert told(tree, lambda: tree("t", pids_events_local=events(max=2))) == ""


@pytest.mark.parametrize(("tasks", "file"), [(True, "pids.max"), (False, "memory.max")])
def test_what_was_asked_for_decides_between_memory_and_tasks(tree, tasks, file):
    tree("t", pids_max=3, memory_max=8 * M)

    def refuse():
        tree("t", pids_events_local=events(max=1), memory_events_local=events(max=7, oom=1))

    assert told(tree, refuse, tasks=tasks).startswith(f"{file} of /t ")


def test_with_localevents_the_limit_with_the_least_room_is_named(tree):
    """With pids_localevents: the cgroup itself has no limit."""
    tree("t", pids_max=3, pids_current=3)
    tree("t/a", pids_max="max")
    refuse = {"pids_events": events(max=1)}
    assert told(tree, lambda: tree("t/a", **refuse), tasks=True) == "pids.max of /t (3)"


def test_a_limit_of_huge_pages_is_counted_where_they_were_asked_for(tree):
    names = "hugetlb_2MB_max", "hugetlb_2MB_current"
    for path, limit in (("t", 4 * M), ("t/a", 64 * M)):
        tree(path, **dict(zip(names, (limit, 0), strict=True)))
    refuse = {"hugetlb_2MB_events_local": events(max=1)}
    said = told(tree, lambda: tree("t/a", **refuse), huge=True)
    assert said == "hugetlb.2MB.max of /t (4M)"
    assert told(tree, lambda: tree("t/a", hugetlb_2MB_events_local=events(max=2))) == ""


def test_of_two_cgroups_both_are_looked_at(tree):
    tree("t/b", memory_max=4096)
    refuse = {"memory_events_local": events(max=1, oom=1)}
    said = told(tree, lambda: tree("t/b", **refuse), "/t/a", "/t/b")
    assert said == "memory.max of /t/b (4K)"


def test_what_has_no_limit_is_not_named(tree):
    tree("t", memory_max="max")
    refuse = {"memory_events_local": events(max=1, oom=1)}
    assert told(tree, lambda: tree("t", **refuse)) == ""
