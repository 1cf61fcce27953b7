"""What scanners of kernel logs look for, as far as a log with OOM reports can have it."""

import re
import subprocess
from pathlib import Path

CUT = Path(__file__).parents[1] / "examples/ci/expected-reports.awk"

# Facts of etc/oops-pattern of lkp-tests (2026): what it finds in OOM reports, and other faults.
LKP = (
    r"invoked oom-killer: gfp_mask=0x",
    r"Mem-Info:",
    r"Out of memory and no killable processes",
    r"Out of memory: Kill process",
    r"page allocation failure: order:\d+, mode:0x",
    r"RIP: [0-9a-f]{4}:[\w.]+\+0x.*/0x",
    r"EIP is at [\w.]+\+0x.*/0x",
    r"Kernel panic - not syncing: ",
    r"kernel BUG at ",
    r"^BUG: |\] BUG: |: BUG: |BUG .* \(.*\): ",
    r"Oops: ",
    r"WARNING: CPU: \d+ PID: .+ at |WARNING: at |WARNING: .* lock|WARNING: .* detected$",
    r"WARNING: .*!$|WARNING: suspicious RCU usage",
    r"INFO: task .* blocked for more than .* seconds|INFO: .*detected stall",
    r"INFO: .* cpu=",
    r"KASAN: |UBSAN: ",
    r"refcount_t: underflow|low stack detected by irq handler",
    r"[^ ]*\.[ch]:\d+ .*!$",
)
# The default patterns of tmt's dmesg check (tmt 1.78 to 1.80).
TMT = (r"Call Trace:", r"\ssegfault\s")


def found(log: str) -> list[str]:
    """Return the lines that LKP or tmt would call a failure."""
    patterns = [re.compile(pattern) for pattern in (*LKP, *TMT)]
    return [line for line in log.splitlines() if any(one.search(line) for one in patterns)]


def cut(log: str) -> str:
    """Return a log by the rule of docs/ci.md: without the OOM reports that oomctl announced."""
    words = ["awk", "-f", str(CUT)]
    return subprocess.run(words, input=log, capture_output=True, text=True, check=True).stdout
