"""Other programs that kill tasks, end oomctl, or have its name."""

from pathlib import PurePath

from oomctl.doctor.examination import Checks, Finding, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.oom.as_text import task_name
from oomctl.text import printable

CHECKS = Checks()

OOM_DAEMONS = frozenset(
    {"systemd-oomd", "oomd", "earlyoom", "nohang", "nohang-desktop", "lmkd", "psi-monitor"}
)
_ELF = b"\x7fELF"


@CHECKS.add("OOM daemons")
def _oom_daemons(machine: Machine) -> Finding:
    programs = list(machine.programs())
    found = {
        each.pid: name
        for each in programs
        for name in (each.name, PurePath(each.exe).name)
        if name in OOM_DAEMONS
    }
    if not found and all(each.pid != 1 for each in programs):  # /proc is mounted with hidepid
        return warning(
            "cannot be checked: the processes of other users are hidden", "run it as root"
        )
    if not found:
        return ok("none is running")
    daemons = ", ".join(task_name(name, pid) for pid, name in sorted(found.items()))
    return warning(
        f"{daemons} may kill a hog before the kernel does",
        f"systemctl stop {' '.join(sorted(set(found.values())))}",
    )


@CHECKS.add("OOMPolicy")
def _oom_policy(machine: Machine) -> Finding:
    """By default systemd stops a whole unit after an OOM kill in its cgroup."""
    if machine.read("/proc/1/comm") != "systemd":
        return ok("PID 1 is not systemd")
    unit = system_unit(machine.own_cgroup)
    if unit is None:
        return ok("oomctl runs in no unit of systemd")
    command = ("systemctl", "show", "--property=OOMPolicy", "--value", "--", unit)
    status, output = machine.run(*command)
    policy = printable(output.strip())
    if status or policy not in ("continue", "stop", "kill"):
        return warning(f"unknown for {unit}: systemctl printed {policy or f'exit {status}'}")
    if policy == "continue":
        return ok(f"continue, for {unit}")
    return warning(
        f"{policy}: after an OOM kill in {unit} systemd ends the whole unit, and oomctl with it",
        f"systemctl set-property --runtime {unit} OOMPolicy=continue"
        if unit.endswith(".scope")
        else f"set OOMPolicy=continue in {unit}",
    )


def system_unit(cgroup: str) -> str | None:
    """Return the unit of the system's manager that a cgroup belongs to; None without any."""
    parts = cgroup.split("/")
    return next((part for part in parts if part.endswith((".scope", ".service"))), None)


@CHECKS.add("oomctl in PATH")
def _command_name(machine: Machine) -> Finding:
    """systemd-oomd installs a command of the same name."""
    found = machine.which("oomctl")
    if found is None:
        return ok("none; start oomctl by its path")
    head = machine.head(found)
    if b"from oomctl." in head:
        return ok(f"{printable(str(found))} is this oomctl")
    owner = "systemd's" if head.startswith(_ELF) else "another"
    return warning(
        f"{printable(str(found))} is {owner} oomctl", "start this oomctl as `bpf-oomctl`"
    )
