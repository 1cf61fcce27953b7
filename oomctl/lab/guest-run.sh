# Process 1 of the guest once its root is there: runs the command, tells how it ended. The shell is
# busybox's from the initramfs, so plain names below are its applets, and only the command comes out
# of the host's root.
cd /run/oomctl
. ./settings  # shell text written by the host: nonce, shares, setsid ...

record() { printf '\000%s %s\n' "$nonce" "$1"; }

# The pumps must outlive whatever the command does to the guest's memory. Between command and port
# there is a pipe because a port has room for one opener, and /dev/stdout is opened again and again.
for stream in stdout stderr; do
    mkfifo $stream
    (
        echo -1000 >/proc/self/oom_score_adj
        exec setsid cat <$stream >oomctl.$stream
    ) &
done
# The kernel log, from its start. A read fails if records were overwritten; the host knows those
# that it has by their numbers.
(
    echo -1000 >/proc/self/oom_score_adj
    exec >oomctl.kmsg
    while :; do
        setsid cat /dev/kmsg
        sleep 1
    done
) 2>/dev/null &
exec 3>stdout 4>stderr

# After `kill -9 -1` there are no pumps, and the ports are free, sooner or later.
end() {
    echo "<14>oomctl-lab: $nonce" >/dev/kmsg
    while :; do
        record "$1" >&3 || record "$1" >oomctl.stdout
        record "$1" >&4 || record "$1" >oomctl.stderr
        sleep 1
    done
}

if [ -e refusal ]; then
    [ ! -e why ] || cat why >&4
    end "$(cat refusal)"
fi
i=0
while [ $i -lt "$shares" ]; do
    eval "folder=\$share$i how=\$how$i"
    mkdir -p "$folder"
    mount -t 9p -o "$how,version=9p2000.L,trans=virtio,access=any,msize=512000" \
        "oomctl.share$i" "$folder" 2>&4 || end no-folder
    i=$((i + 1))
done

# Finds a disk by its serial number.
disk() {
    "$modprobe" -q virtio_blk
    for each in /sys/block/vd*; do
        [ "$(cat $each/serial)" != "oomctl-$1" ] || device=/dev/${each##*/}
    done
    [ -n "$device" ]
}
if [ -n "$scratch" ]; then
    "$modprobe" -q ext4
    disk scratch && mount -t ext4 -o noinit_itable "$device" /var/tmp 2>&4 &&
        chmod 1777 /var/tmp || end no-scratch
fi
if [ -n "$zram" ]; then
    "$modprobe" -q zram
    { echo "$zram" >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0; } \
        >/dev/null 2>&4 || [ -z "$needs_zram" ] || end no-zram
fi
if [ -n "$swap" ]; then
    disk swap && { mkswap "$device" && swapon "$device"; } >/dev/null 2>&4 || end no-swap
fi

# Has the Python that waits do the words of `command`, if it is there: it gets a request, takes the
# streams of this shell, and tells the PID of its child, and how that ended. This shell waits, as
# unkillable as the pumps.
ask() {
    exec 5<&0 6>&1 7>&2
    if read -r pid </run/oomctl/python.pid && kill -0 "$pid"; then
        echo -1000 >/proc/self/oom_score_adj
        read -r self _ </proc/self/stat
        printf %s "$1" >/run/oomctl/python.request
        echo "$self" >/run/oomctl/python.asked
        {
            if read -r pid; then
                echo "$pid" >/run/oomctl/running
                read -r status || status=137
                exit "$status"
            fi
        } </run/oomctl/python.answer
        read -r adj </proc/1/oom_score_adj
        echo "$adj" >/proc/self/oom_score_adj
    fi 2>/dev/null
    record executed
    exec 5<&- 6>&- 7>&-
}

# `command` sets the environment, goes to the caller's folder and becomes the caller's words.
if [ -n "$terminal" ]; then
    [ -c /dev/hvc0 ] || end no-terminal
    # The first open sets the size that the device knows, 0 0, a moment later
    # (drivers/char/virtio_console.c, notifier_add_hv). So it is kept open, and then given ours.
    exec 5<>/dev/hvc0
    sleep 0.3
    stty rows ${terminal% *} cols ${terminal#* } <&5 2>&4
    # The host tells when its terminal changes its size.
    while read -r verb rows cols; do
        [ "$verb" != size ] || stty rows "$rows" cols "$cols" </dev/hvc0
    done <oomctl.control >/dev/null 2>&1 &
    record begin >&3
    (. ./command) </dev/hvc0 >/dev/hvc0 2>&1 3>&- 4>&-
    status=$?
    stty sane </dev/hvc0  # it waits until all output is written
    end $status
fi
record begin >&3
if [ -z "$kept" ]; then
    (. ./command) </dev/null >&3 2>&4 3>&- 4>&-
    end $?
fi
# A kept guest gets commands as lines, each with a nonce of its own and the text of `command` with
# escapes for printf. They come one after the other, and one can be killed.
while read -r verb nonce text; do
    case $verb in
    run)
        printf %b "$text" >command
        (
            record begin >&3
            (
                read -r self _ </proc/self/stat
                echo "$self" >running
                . ./command
            ) </dev/null >&3 2>&4 3>&- 4>&- &
            wait $!
            status=$?
            : >running
            echo "<14>oomctl-lab: $nonce" >/dev/kmsg
            record $status >&3
            record $status >&4
        ) &
        ;;
    kill)
        read -r pid <running && kill -9 -- "-$pid"
        ;;
    esac
done <oomctl.control
