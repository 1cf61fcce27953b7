"""Who else on this machine kills, or answers to our name."""

from pathlib import PurePath

from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.oom.as_text import task_name
from oomctl.text import printable

KILLERS = frozenset(
    {"systemd-oomd", "oomd", "earlyoom", "nohang", "nohang-desktop", "lmkd", "psi-monitor"}
)
_ELF = b"\x7fELF"


def killers(machine: Machine) -> Finding:
    """They may kill hogs before, or beside, the kernel."""
    programs = list(machine.programs())
    found = {
        each.pid: name
        for each in programs
        for name in (each.name, PurePath(each.exe).name)
        if name in KILLERS
    }
    if not found and all(each.pid != 1 for each in programs):  # /proc is mounted with hidepid
        return warning("could not be looked at: others' processes are hidden", "run it as root")
    if not found:
        return ok("none runs")
    names = sorted(set(found.values()))
    who = ", ".join(task_name(name, pid) for pid, name in sorted(found.items()))
    return warning(
        f"{who} may kill a hog before the kernel does", f"systemctl stop {' '.join(names)}"
    )


def oom_policy(machine: Machine) -> Finding:
    """By default systemd ends the whole unit in whose cgroup the OOM killer took somebody."""
    if machine.read("/proc/1/comm") != "systemd":
        return ok("PID 1 is not systemd")
    unit = system_unit(machine.own_cgroup)
    if unit is None:
        return ok("oomctl runs in no unit of systemd's")
    status, said = machine.ask("systemctl", "show", "--property=OOMPolicy", "--value", "--", unit)
    policy = printable(said.strip())
    if status or policy not in ("continue", "stop", "kill"):
        return warning(f"systemd does not tell that of {unit}: {policy or f'exit {status}'}")
    if policy == "continue":
        return ok(f"continue, of {unit}")
    return warning(
        f"{policy}: a kill inside {unit} makes systemd end all of it, and oomctl with it",
        f"systemctl set-property --runtime {unit} OOMPolicy=continue"
        if unit.endswith(".scope")
        else f"set OOMPolicy=continue in {unit}",
    )


def system_unit(cgroup: str) -> str | None:
    """Return the unit of the system's manager that a cgroup belongs to; None without any."""
    parts = cgroup.split("/")
    return next((part for part in parts if part.endswith((".scope", ".service"))), None)


def namesake(machine: Machine) -> Finding:
    """systemd-oomd brings a command of the same name."""
    found = machine.which("oomctl")
    if found is None:
        return ok("no oomctl in PATH; `python -m oomctl` works")
    head = machine.head(found)
    if b"from oomctl." in head:
        return ok(f"{printable(str(found))} is this one")
    whose = "systemd's" if head.startswith(_ELF) else "another"
    return warning(f"{printable(str(found))} is {whose} oomctl", "call ours by `bpf-oomctl`")


CHECKS = (
    Check("OOM daemons", killers),
    Check("OOMPolicy", oom_policy),
    Check("name", namesake),
)
