"""Settings as a plan has them."""

from oomctl.oom.plan import (
    Setting,
)


def setting(cgroup, file, value, optional=False):
    return Setting(cgroup, file, str(value), optional)


def control(cgroup, name="memory"):
    return setting(cgroup, "cgroup.subtree_control", f"+{name}")


NO_SWAP = setting("/t", "memory.swap.max", 0, optional=True)
