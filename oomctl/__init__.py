"""oomctl: grow memory hogs in a cgroup, declare OOM on it, and tell what the kernel did."""

from importlib.metadata import version

__version__ = version("oomctl")
