"""What starts the OOM killer, in words."""

from oomctl.oom.as_text import kfunc_text
from oomctl.oom.enums import Via
from oomctl.oom.plan import PSI_WINDOW, Call
from oomctl.units import format_size


def stall_text(call: Call) -> str:
    """Write the stall that is waited for, as memory.pressure takes it but with units."""
    return f"full {call.stall * 1000:g} ms in {PSI_WINDOW:g} s"


def trigger_text(call: Call) -> str:
    """Say what was called or written to start the OOM killer."""
    kfunc = kfunc_text(call, "NULL" if call.target is None else "memcg")
    amount = "" if call.amount is None else f" by {format_size(call.amount)}"
    match call.via:
        case Via.LIMIT:
            return f"memory.max written below the usage{amount}"
        case Via.SYSRQ:
            return "f written to /proc/sysrq-trigger"
        case Via.RECLAIM:
            return f"memory.reclaim{amount}, and if that is not enough {kfunc}"
        case Via.PSI:
            return f"{kfunc} after a stall in memory.pressure ({stall_text(call)})"
        case Via.KILL:
            return "1 written to cgroup.kill"
        case _:
            return kfunc
