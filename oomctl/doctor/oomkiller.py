"""How the kernel's OOM killer is set up, and where it writes what it does."""

from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, missing, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.errors import UnsupportedError
from oomctl.oom import safety
from oomctl.oom.plan import Call
from oomctl.oom.task import OOM_SCORE_ADJ_MIN
from oomctl.proc.capabilities import SYS_RESOURCE

_OF_A_CGROUP, _OF_ALL = Call("/"), Call(None)
_WARN = 4
"""KERN_WARNING, the level of most of a report; what is below kernel.printk's first is shown."""


def panic_on_oom(machine: Machine) -> Finding:
    """1 panics on a system-wide OOM, 2 on every one."""
    name = "vm.panic_on_oom"
    sysctls = {name: machine.sysctl(name)}
    try:
        safety.check_sysctls(_OF_A_CGROUP, sysctls, 0)
    except UnsupportedError as error:
        return missing(error.why, error.hint)
    try:
        safety.check_sysctls(_OF_ALL, sysctls, 0)
    except UnsupportedError as error:
        return warning(f"with --global: {error.why}", error.hint)
    return ok(_shown(sysctls[name]))


def allocating_task(machine: Machine) -> Finding:
    """A system-wide OOM then takes its caller, unless that is protected."""
    name = "vm.oom_kill_allocating_task"
    value = machine.sysctl(name)
    protected = machine.capabilities("CapEff") >> SYS_RESOURCE.bit & 1
    try:
        safety.check_sysctls(_OF_ALL, {name: value}, OOM_SCORE_ADJ_MIN if protected else 0)
    except UnsupportedError as error:
        return warning(f"with --global: {error.why}", error.hint)
    return ok(f"{value}, but oomctl protects itself" if value else _shown(value))


def dump_tasks(machine: Machine) -> Finding:
    """It makes a report long."""
    value = machine.sysctl("vm.oom_dump_tasks")
    if value:
        return ok(f"{value}: each report lists every task that may be killed")
    return ok(f"{_shown(value)}: reports do not list tasks")


def panic(machine: Machine) -> Finding:
    """Whether a test machine comes back by itself after a panic."""
    value = machine.sysctl("kernel.panic")
    if value is None:
        return ok(_shown(value))
    if not value:
        return ok(f"{value}: after a panic it stands still; `sysctl kernel.panic=10` reboots it")
    return ok(f"{value}: after a panic it reboots")


def console(machine: Machine) -> Finding:
    """The report is written to the consoles inside the call, a serial one takes its time."""
    text = machine.read("/proc/sys/kernel/printk")
    if text is None:
        return ok("this kernel prints nothing")
    level = int(text.split()[0])
    if level > _WARN:
        return warning(
            f"{level}: reports go to the console, which may take longer than all else in the call",
            f"sysctl kernel.printk={_WARN}",
        )
    return ok(f"{level}: reports go to the log, not to the console")


def log(machine: Machine) -> Finding:
    """The kernel's own word is what proves a kill."""
    machine.open_log()
    restricted = machine.sysctl("kernel.dmesg_restrict")
    return ok("readable by us" + (", not by everybody" if restricted else ""))


def _shown(value: int | None) -> str:
    return "this kernel has no such setting" if value is None else str(value)


CHECKS = (
    Check("panic_on_oom", panic_on_oom, needed=True),
    Check("oom_kill_allocating_task", allocating_task),
    Check("oom_dump_tasks", dump_tasks),
    Check("kernel.panic", panic),
    Check("console loglevel", console),
    Check("kernel log", log, needed=True),
)
