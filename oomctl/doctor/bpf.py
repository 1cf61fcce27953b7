"""Whether the kernel has the kfunc and lets our programs call it and look on."""

from oomctl.bpf import probes
from oomctl.doctor.examination import Check
from oomctl.doctor.finding import Finding, missing, ok, warning
from oomctl.doctor.machine import Machine
from oomctl.doctor.parse import chosen
from oomctl.doctor.privileges import may_trace
from oomctl.errors import UnsupportedError
from oomctl.kmod import module
from oomctl.oom.event import Kind

_JIT = "sysctl net.core.bpf_jit_enable=1"
_ELSEWHERE = "boot a kernel with v3 of the series, or use `oomctl lab run -- oomctl declare`"
_FORBIDDEN = (
    "find what forbids it though the capabilities are held: seccomp, a security module, or the "
    "host; `-v` shows libbpf's log"
)


def libbpf(machine: Machine) -> Finding:
    """libbpf.so.1 loads the programs."""
    return ok(f"version {machine.libbpf_version()}")


def btf(machine: Machine) -> Finding:
    """Without BTF there are no kfuncs."""
    machine.require_btf()
    return ok("vmlinux has it")


def jit(machine: Machine) -> Finding:
    """The interpreter cannot call kfuncs (kernel/bpf/verifier.c, add_kfunc_call())."""
    enabled = machine.sysctl("net.core.bpf_jit_enable")
    if enabled is None:
        return ok("not to be seen in this network namespace; 'BPF program' tells")
    if enabled == 0:
        return missing("off, and without it no program may call a kfunc", _JIT)
    if enabled == 2:
        return warning("2: every program that is loaded is dumped into the kernel log", _JIT)
    return ok("on")


def lockdown(machine: Machine) -> Finding:
    """Confidentiality takes tracing away, integrity the unsigned module."""
    text = machine.read("/sys/kernel/security/lockdown")
    if text is None:
        return ok("none")
    mode = chosen(text)
    if mode == "confidentiality":
        return warning(
            "confidentiality: BPF programs may not look at the kernel, which leaves its log alone",
            "boot without lockdown=confidentiality",
        )
    if mode == "integrity" and not machine.has_kfunc:
        return warning(
            "integrity: only signed modules are taken", "boot without lockdown=integrity"
        )
    return ok(mode)


def modules(machine: Machine) -> Finding:
    """A kernel without the kfunc gets it from oomctl's module, which nobody has signed."""
    if machine.has_kfunc:
        return ok("not needed any more: the kfunc is there")
    if not machine.path("/proc/modules").exists():
        raise module.no_modules()
    if reason := module.forbidden(proc=machine.path("/proc"), sys=machine.path("/sys")):
        raise reason
    return ok("unsigned ones are taken")


def kfunc(machine: Machine) -> Finding:
    """Its shape must be the one that our program calls."""
    try:
        found = machine.kfunc()
    except UnsupportedError as error:
        if machine.path("/proc/modules").exists():
            raise
        # `oomctl kfunc load`, which the error names, has no module to load here
        raise UnsupportedError(error.why, _ELSEWHERE) from error
    place = "vmlinux" if found.provider == "vmlinux" else f"module {found.provider}"
    return ok(f"{found.variant}, from {place}: {found.signature}")


def program(machine: Machine) -> Finding:
    """The verifier has the last word on who may call it."""
    machine.load()
    return ok("the kernel loads the caller of the kfunc")


def tracing(machine: Machine) -> Finding:
    """Victims, their moments and their sharers are seen by tracing; the log alone tells less."""
    try:
        observer = machine.trace()
    except UnsupportedError as error:
        denied = "not permitted" in error.why and may_trace(machine)
        raise UnsupportedError(
            f"{error.why}; only the kernel log will tell who died",
            _FORBIDDEN if denied else error.hint,
            detail=error.detail,
        ) from error
    unseen = ", ".join(kind.name.lower() for kind in Kind if kind not in observer.kinds)
    if observer.silent:
        silence = probes.silence(observer.silent, machine.sysctl(probes.FTRACE_ENABLED))
        lost = f"; not seen: {unseen}" if unseen else ""
        return warning(f"{silence.why}{lost}", silence.hint)
    if unseen:
        return warning(f"this kernel does not show all: not {unseen}", "boot a newer kernel")
    return ok(
        f"all {len(Kind)} kinds of event are attached; {len(observer.unproved)} programs cannot be "
        "tried without an OOM kill, the others ran"
    )


CHECKS = (
    Check("libbpf", libbpf, needed=True),
    Check("BTF", btf, needed=True, after="libbpf"),
    Check("BPF JIT", jit, needed=True),
    Check("lockdown", lockdown),
    Check("modules", modules),
    Check("kfunc", kfunc, needed=True, after="BTF"),
    Check("BPF program", program, needed=True, after="kfunc"),
    Check("BPF tracing", tracing, after="BTF"),
)
