#!/bin/sh
# OOM on an existing cgroup: a process that runs there is the victim, oomctl adds no hogs.
set -eu
cgroup=/sys/fs/cgroup/stranger-$$
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir "$cgroup"
trap 'echo 1 >"$cgroup/cgroup.kill"; wait; rmdir "$cgroup"' EXIT
sh -c 'echo 0 >"$0/cgroup.procs"; exec sleep 600' "$cgroup" &
while [ "$(cat "/proc/$!/comm")" != sleep ]; do sleep 0.1; done
oomctl declare --cgroup "$cgroup"
! wait $!
