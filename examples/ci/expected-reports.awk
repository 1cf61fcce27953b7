# awk -f expected-reports.awk LOG: a kernel log without the OOM reports that oomctl provoked.
#
# oomctl names each case and each declaration by a line before and one after it. Only OOM reports
# between them are left out, each from "invoked oom-killer" to the kill: a panic, an oops or a warning
# in a case stays, also if the end of the case is missing.
/oomctl: begin .*; OOM reports are expected/ { expected = 1 }
/oomctl: end / { expected = report = 0 }
expected && / invoked oom-killer: / { report = 1 }
/Kernel panic|BUG:|WARNING:|Oops/ { report = 0 }
!report
/Killed process [0-9]+|no killable processes/ { report = 0 }
