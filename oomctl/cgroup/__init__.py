"""Cgroup v2: nodes, interface files, mounts, and the cgroups that oomctl makes."""
