"""What a round opens: nothing that it knows."""

from tests.audit import opens
from tests.unit.experiment.fake_kernel import planned, run


def opened(kernel, plan):
    """Carry out a round; return how often it opens each file of the tree, by path from the root."""
    with opens() as counted:
        run(kernel, plan)
    above = f"{kernel.root.directory}/"
    return {path.removeprefix(above): n for path, n in counted.items() if path.startswith(above)}


def test_a_fresh_cgroup_is_not_asked_what_it_has_refused_and_counted(kernel):
    files = opened(kernel, planned(kernel))
    assert not [path for path in files if path.startswith("t/") and "pids" in path]
    # after the round; the fake kernel writes the other one, which shows what is counted
    for name in ("small", "large", "medium"):
        assert files[f"t/{name}/memory.events.local"] == 1
    assert files["t/memory.events.local"] == 1
