"""Cgroup v2: nodes, interface files, where it is mounted, and the cgroups that oomctl makes."""
