#!/bin/busybox sh
# The guest's first program, run from the initramfs: the host's root behind a throw-away overlay,
# the kernel's file systems, then `guest-run.sh` as process 1. A step that fails ends process 1,
# which panics the kernel, and the lab shows the end of the console.
busybox mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
busybox mount -t proc proc /proc
[ ! -e /modules/load_all.sh ] || . /modules/load_all.sh
set -e
busybox mkdir -p /lower /scratch
busybox mount -t tmpfs scratch /scratch
busybox mkdir /scratch/upper /scratch/work
# cache=loose makes every Python in the guest start more than twice as fast; the host's files do
# not change under a guest that cannot write to them.
busybox mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose \
    /dev/root /lower
busybox mount -t overlay \
    -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work,xino=off root /newroot
cd /newroot
busybox mount --move /proc proc
busybox mount --move /dev dev
busybox mount -t sysfs -o nosuid,nodev,noexec sysfs sys
busybox mount -t tmpfs -o mode=755 run run
busybox mkdir -p dev/pts dev/shm run/lock run/oomctl
busybox mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
busybox mount -t tmpfs -o mode=1777 shm dev/shm
busybox mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
for kind in bpf:sys/fs/bpf debugfs:sys/kernel/debug tracefs:sys/kernel/tracing; do
    busybox mount -t "${kind%%:*}" "${kind%%:*}" "${kind#*:}" || echo "oomctl lab: no ${kind%%:*}"
done
[ -e dev/fd ] || busybox ln -s /proc/self/fd dev/fd
for fd in 0:stdin 1:stdout 2:stderr; do
    [ -e "dev/${fd#*:}" ] || busybox ln -s "/proc/self/fd/${fd%%:*}" "dev/${fd#*:}"
done
echo oomctl-lab >proc/sys/kernel/hostname
busybox ip link set lo up
# Which port is which: the names that udev would make links of.
for port in sys/class/virtio-ports/*; do
    [ -e "$port/name" ] && read -r name <"$port/name" || continue
    case $name in oomctl.*) busybox ln -s "/dev/${port##*/}" "run/oomctl/$name" ;; esac
done
# The host's /lib/modules is not about this kernel.
. /lab/settings
if [ -n "$modules" ]; then
    release=$(busybox uname -r)
    busybox mkdir -p lib/modules
    [ -e "lib/modules/$release" ] || busybox ln -s "$modules" "lib/modules/$release"
fi
busybox cp /bin/busybox /lab/* run/oomctl/
cd /
exec switch_root /newroot /bin/sh /run/oomctl/guest-run.sh
