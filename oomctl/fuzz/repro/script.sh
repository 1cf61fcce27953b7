set -eu
root=/sys/fs/cgroup
hog=$(mktemp)
clean_up() {
  rm -f "$hog"
  [ -d "$root$top" ] || return 0
  echo 1 >"$root$top/cgroup.kill"
  sleep 1
  find "$root$top" -depth -type d -exec rmdir {} +
}
trap clean_up EXIT
${CC:-cc} -O2 -x c -o "$hog" - <<'EOF'
@HOG@
EOF

differs=0
dead=" "
died() {  # CALL EXPECTED MORE: say which hogs have died since, and whether the model says so
  sleep 1
  now=" "
  for each in $hogs; do
    case $dead in *" $each "*) continue ;; esac
    eval "pid=\$pid_$each home=\$home_$each"
    grep -qx "$pid" "$root$home/cgroup.procs" || now="$now$each "
  done
  dead="$dead$now"
  echo "call $1: the model:$2; died:$now"
  for each in $hogs; do
    case $2 in *" $each "*) wanted=1 ;; *) wanted=0 ;; esac
    case $now in *" $each "*) found=1 ;; *) found=0 ;; esac
    # a limit may take more until the usage is below it
    [ $wanted = $found ] || [ "$found$3" = 11 ] || differs=1
  done
}
declare_oom() {  # CGROUP ORDER FLAGS COMMAND
  CGROUP=$1 CGROUP_ID=$(stat -c %i "$root$1") ORDER=$2 FLAGS=$3
  export CGROUP CGROUP_ID ORDER FLAGS
  if [ -n "$4" ]; then
    sh -c "$4" || :
  else
    echo "bpf_out_of_memory(cgroup $1 with id $CGROUP_ID, order $2, flags $3), then press Enter"
    read -r _
  fi
}
lower_limit() {  # CGROUP AMOUNT
  was=$(cat "$root$1/memory.max")
  echo $(($(cat "$root$1/memory.current") - $2)) >"$root$1/memory.max"
  echo "$was" >"$root$1/memory.max"
}
