# Process 1 of the guest once its root is there: loads the module, runs the command, tells how it
# ended. The shell is the guest's own: busybox's would take its applets for the command's programs.
lab=/run/oomctl
. $lab/settings  # shell text written by the host: nonce, lifetime, module, look, rwdirs

record() { printf '\000%s %s\n' "$nonce" "$1"; }

# The pumps must outlive whatever the command does to the guest's memory. Between command and port
# there is a pipe because a port has room for one opener, and /dev/stdout is opened again and again.
for stream in stdout stderr; do
    $lab/busybox mkfifo $lab/$stream
    (
        echo -1000 >/proc/self/oom_score_adj
        exec $lab/busybox setsid $lab/busybox cat <$lab/$stream >$lab/oomctl.$stream
    ) &
done
exec 3>$lab/stdout 4>$lab/stderr

end() {
    record "$1" >&3
    record "$1" >&4
    while :; do $lab/busybox sleep 3600; done
}

# Should the host's oomctl be killed, nobody would end this machine.
(
    exec 3>&- 4>&-
    $lab/busybox sleep "$lifetime"
    echo b >/proc/sysrq-trigger
) &

read -r controllers </sys/fs/cgroup/cgroup.controllers
case " $controllers " in *" memory "*) ;; *) end no-memory-controller ;; esac
# A module whose BTF does not fit is loaded without it, and then nobody finds its kfunc.
if [ -n "$module" ]; then
    $lab/busybox insmod $lab/$module.ko 2>&4 && [ -e /sys/kernel/btf/$module ] || {
        $lab/busybox dmesg | $lab/busybox tail -n 5 >&4
        end no-kfunc
    }
fi
if [ -n "$look" ]; then
    grep -qw bpf_out_of_memory /proc/kallsyms || end no-kfunc
fi
i=0
while [ $i -lt "$rwdirs" ]; do
    eval "rwdir=\$rwdir$i"
    $lab/busybox mkdir -p "$rwdir"
    $lab/busybox mount -t 9p -o version=9p2000.L,trans=virtio,access=any,msize=524288 \
        virtme.initmount$i "$rwdir" 2>&4 || end no-rwdir
    i=$((i + 1))
done

record begin >&3
# `command` sets the environment, goes to the caller's folder and executes the caller's words.
(. $lab/command) </dev/null >&3 2>&4 3>&- 4>&-
end $?
