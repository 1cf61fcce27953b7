#!/bin/busybox sh
# The guest's first program, run from the initramfs: the host's root behind a throw-away overlay,
# the kernel's file systems, then `guest-run.sh` as process 1. A step that fails ends process 1,
# which panics the kernel, and the lab shows the end of the console.
#
# Programs here are applets of this very shell (Debian's busybox prefers them), most of which run
# without an execve(): under emulation each of those is felt.
mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
mount -t proc proc /proc
[ ! -e /modules/load_all.sh ] || . /modules/load_all.sh
set -e
. /lab/settings
mkdir -p /lower /scratch
mount -t tmpfs scratch /scratch
mkdir /scratch/upper /scratch/work
# cache=loose makes every Python in the guest start more than twice as fast; the host's files do
# not change under a guest that cannot write to them.
mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=512000,cache=loose \
    /dev/root /lower
mount -t overlay -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work,xino=off \
    root /newroot
mkdir -p /dev/pts /dev/shm
mount --move /proc /newroot/proc
mount --move /dev /newroot/dev
cd /newroot
# Without bpf, debugfs or tracefs the guest is of some use still; the rest is missed below.
mount -a -T /lab/fstab || echo "oomctl lab: not every file system is there"
mkdir -p run/lock run/oomctl lib/modules
# The root's files are shmem, which is not reclaimed; hogs of kind `file` go here instead. Without
# it they are refused.
[ -z "$disk" ] || {
    mkdir -p run/oomctl/disk
    mount -t 9p -o version=9p2000.L,trans=virtio,access=any,msize=512000,cache=loose \
        "$disk" run/oomctl/disk || echo "oomctl lab: no folder for page cache"
}
[ -e dev/fd ] || ln -s /proc/self/fd dev/fd
for fd in 0:stdin 1:stdout 2:stderr; do
    [ -e "dev/${fd#*:}" ] || ln -s "/proc/self/fd/${fd%%:*}" "dev/${fd#*:}"
done
echo oomctl-lab >proc/sys/kernel/hostname
ip link set lo up
# Which port is which: the names that udev would make links of.
for port in sys/class/virtio-ports/*; do
    [ -e "$port/name" ] && read -r name <"$port/name" || continue
    case $name in oomctl.*) ln -s "/dev/${port##*/}" "run/oomctl/$name" ;; esac
done
# The host's /lib/modules is not about this kernel.
read -r release <proc/sys/kernel/osrelease
[ -z "$modules" ] || [ -e "lib/modules/$release" ] || ln -s "$modules" "lib/modules/$release"
cp /bin/busybox /lab/* run/oomctl/
cd /
exec switch_root /newroot /run/oomctl/busybox sh /run/oomctl/guest-run.sh
