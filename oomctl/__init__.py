"""oomctl: grow memory hogs in a cgroup, declare OOM on it, and report what the kernel did."""

__version__ = "0.2.0"
