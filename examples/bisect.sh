#!/bin/sh
# Finds the commit that broke bpf_out_of_memory(). In a git tree of the kernel:
#
#   git bisect start BAD GOOD
#   git bisect run /path/to/bisect.sh arguments lock
#
# The arguments are cases or groups of `oomctl lab smoke`; without any, all cases are run. A commit
# whose kernel cannot be built, does not come up or has another variant of the kfunc is skipped
# (125). A signal ends the bisection. What a commit does not change is not compiled again.
set -u

command -v oomctl >/dev/null || { echo "bisect.sh: oomctl is not in PATH" >&2; exit 255; }
built=$(oomctl lab build --source .)
status=$?
[ "$status" -lt 128 ] || exit "$status"
[ "$status" -eq 0 ] || exit 125
kernel=${built%% *}

oomctl lab smoke --kernel "$kernel" --bisect "$@"
status=$?
oomctl lab kernels --remove "$kernel" # the objects stay, for the next commit
exit "$status"
