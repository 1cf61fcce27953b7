"""The settings of the kernel's OOM killer, and of the log that it writes to."""

from oomctl.doctor.examination import Checks, Finding, missing, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.errors import UnsupportedError
from oomctl.oom import safety
from oomctl.oom.plan import Call
from oomctl.oom.task import OOM_SCORE_ADJ_MIN
from oomctl.proc.capabilities import SYS_RESOURCE

CHECKS = Checks()

_ON_A_CGROUP, _SYSTEM_WIDE = Call("/"), Call(None)
_KERN_WARNING = 4
"""The level of most lines of an OOM report; the console shows those below kernel.printk's first."""


@CHECKS.add("panic_on_oom", needed=True)
def _panic_on_oom(machine: Machine) -> Finding:
    """1 panics on a system-wide OOM, 2 on every one."""
    name = "vm.panic_on_oom"
    sysctls = {name: machine.sysctl(name)}
    try:
        safety.check_sysctls(_ON_A_CGROUP, sysctls, 0)
    except UnsupportedError as error:
        return missing(error.why, error.hint)
    try:
        safety.check_sysctls(_SYSTEM_WIDE, sysctls, 0)
    except UnsupportedError as error:
        return warning(f"with --global: {error.why}", error.hint)
    return ok(_text(sysctls[name]))


@CHECKS.add("oom_kill_allocating_task")
def _allocating_task(machine: Machine) -> Finding:
    """With it a system-wide OOM kills its caller, unless that is protected."""
    name = "vm.oom_kill_allocating_task"
    value = machine.sysctl(name)
    protected = machine.capabilities("CapEff") >> SYS_RESOURCE.bit & 1
    try:
        safety.check_sysctls(_SYSTEM_WIDE, {name: value}, OOM_SCORE_ADJ_MIN if protected else 0)
    except UnsupportedError as error:
        return warning(f"with --global: {error.why}", error.hint)
    return ok(f"{value}, but oomctl protects itself" if value else _text(value))


@CHECKS.add("oom_dump_tasks")
def _dump_tasks(machine: Machine) -> Finding:
    value = machine.sysctl("vm.oom_dump_tasks")
    if value:
        return ok(f"{value}: each report lists every task that may be killed")
    return ok(f"{_text(value)}: reports do not list tasks")


@CHECKS.add("kernel.panic")
def _panic(machine: Machine) -> Finding:
    value = machine.sysctl("kernel.panic")
    if value is None:
        return ok(_text(value))
    if not value:
        return ok(f"{value}: the machine halts after a panic; `sysctl kernel.panic=10` reboots it")
    return ok(f"{value}: the machine reboots after a panic")


@CHECKS.add("console loglevel")
def _console(machine: Machine) -> Finding:
    """The kernel writes its report to the consoles inside the call, and a serial one is slow."""
    text = machine.read("/proc/sys/kernel/printk")
    if text is None:
        return ok("this kernel has no printk")
    level = int(text.split()[0])
    if level > _KERN_WARNING:
        return warning(
            f"{level}: reports go to the console, which may take most of the time of a call",
            f"sysctl kernel.printk={_KERN_WARNING}",
        )
    return ok(f"{level}: reports go to the log, not to the console")


@CHECKS.add("kernel log", needed=True)
def _log(machine: Machine) -> Finding:
    """The kernel log is the proof of a kill."""
    machine.open_log()
    restricted = machine.sysctl("kernel.dmesg_restrict")
    return ok("readable" + (", by privileged users only" if restricted else ""))


def _text(value: int | None) -> str:
    return "this kernel has no such setting" if value is None else str(value)
