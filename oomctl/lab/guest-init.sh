#!/bin/busybox sh
# Process 1 of the guest, run from the initramfs. First what is the same for every command: the
# kernel's file systems, its modules. There the lab may save the machine, and restore it for later
# commands (lab/saved.py); so nothing before that point knows the command or the host's root. Then
# the host's root behind a throw-away overlay, and `guest-run.sh` as process 1. A step that fails
# ends process 1, which panics the kernel, and the lab shows the end of the console.
#
# Programs here are applets of this very shell (Debian's busybox prefers them), most of which run
# without an execve(): under emulation each of those is felt.
mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
mount -t proc proc /proc
[ ! -e /modules/load_all.sh ] || . /modules/load_all.sh
set -e
. /lab/kernel  # shell text written by the host: module, look
mkdir -p /sys /run /dev/pts /dev/shm /lower /scratch
# Without bpf, debugfs or tracefs the guest is of some use still; the rest is missed below.
mount -a -T /lab/fstab || echo "oomctl lab: not every file system is there"
mkdir -p /run/lock /run/oomctl
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
for fd in 0:stdin 1:stdout 2:stderr; do
    [ -e "/dev/${fd#*:}" ] || ln -s "/proc/self/fd/${fd%%:*}" "/dev/${fd#*:}"
done
echo oomctl-lab >/proc/sys/kernel/hostname
ip link set lo up
# Which port is which: the names that udev would make links of.
for port in /sys/class/virtio-ports/*; do
    [ -e "$port/name" ] && read -r name <"$port/name" || continue
    case $name in oomctl.*) ln -s "/dev/${port##*/}" "/run/oomctl/$name" ;; esac
done
cp /bin/busybox /lab/* /run/oomctl/
cd /run/oomctl

# Why the guest cannot run a command, if it cannot: guest-run.sh tells it.
refuse() { echo "$1" >refusal; }
read -r controllers </sys/fs/cgroup/cgroup.controllers
case " $controllers " in *" memory "*) ;; *) refuse no-memory-controller ;; esac
# If it is not known whether the kernel has the kfunc, ask it: it would refuse the module then.
if [ -n "$look" ]; then
    if grep -qw bpf_out_of_memory /proc/kallsyms; then
        module=
    elif [ -z "$module" ]; then
        refuse no-kfunc
    fi
fi
# A module whose BTF does not fit is loaded without it, and its kfunc is not found then.
if [ -n "$module" ]; then
    insmod "$module.ko" 2>why && [ -e "/sys/kernel/btf/$module" ] || {
        dmesg | tail -n 5 >>why
        refuse no-module
    }
fi

# A Python with oomctl's modules, of which guest-run.sh asks what it can do (lab/waiting.py). Its
# folder is lost at switch_root, and with it all that it has not opened.
if [ -e /python/start ]; then
    mount -t proc proc /python/proc
    mkfifo python.asked python.answer python.up
    (
        echo -1000 >/proc/self/oom_score_adj
        . /python/start
    ) <>python.asked >python.up &
    read -r pid <python.up && echo "$pid" >python.pid || echo "oomctl lab: no Python waits"
fi

# The host reads that the machine is up, and saves it or not; it may be another process that sends
# a line some day, reads that it is answered, and sends settings and command.
up() { printf '\000lab begin\n' >oomctl.stdout; }
exec 5<oomctl.control
up
read -r go <&5
up
cpio -i -d -u <&5 2>/dev/null
exec 5<&-
. ./settings
date -s "@$now" >/dev/null

mount -t tmpfs scratch /scratch
mkdir /scratch/upper /scratch/work
# cache=loose makes every Python in the guest start more than twice as fast; the host's files do
# not change under a guest that cannot write to them.
mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=512000,cache=loose \
    /dev/root /lower
mount -t overlay -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work,xino=off \
    root /newroot
# The root's files are shmem, which is not reclaimed; hogs of kind `file` go here instead. Without
# it they are refused.
[ -z "$disk" ] || {
    mkdir -p /run/oomctl/disk
    mount -t 9p -o version=9p2000.L,trans=virtio,access=any,msize=512000,cache=loose \
        "$disk" /run/oomctl/disk || echo "oomctl lab: no folder for page cache"
}
cd /newroot
mkdir -p run/lock lib/modules
for each in proc sys dev run; do mount --move /$each $each; done
# The host's /lib/modules is not about this kernel.
read -r release <proc/sys/kernel/osrelease
[ -z "$modules" ] || [ -e "lib/modules/$release" ] || ln -s "$modules" "lib/modules/$release"
cd /
exec switch_root /newroot /run/oomctl/busybox sh /run/oomctl/guest-run.sh
