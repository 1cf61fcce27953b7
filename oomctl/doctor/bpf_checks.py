"""Whether the kernel has the kfunc, and lets oomctl's BPF programs call it and trace."""

from oomctl.bpf import probes
from oomctl.doctor.examination import Checks, Finding, missing, ok, warning
from oomctl.doctor.machine import Machine, selected
from oomctl.doctor.privilege_checks import may_trace
from oomctl.errors import UnsupportedError
from oomctl.kmod import module
from oomctl.oom.event import EventKind

CHECKS = Checks()

_JIT_ON = "sysctl net.core.bpf_jit_enable=1"
_OTHER_KERNEL = "boot a kernel with v3 of the series, or use `oomctl lab run -- oomctl declare`"
_DENIED = (
    "find what denies it though oomctl has the capabilities: seccomp, a security module, or the "
    "host; `-v` shows libbpf's log"
)


@CHECKS.add("libbpf", needed=True)
def _libbpf(machine: Machine) -> Finding:
    return ok(f"version {machine.libbpf_version()}")


@CHECKS.add("BTF", needed=True, after="libbpf")
def _btf(machine: Machine) -> Finding:
    machine.require_btf()
    return ok("present in vmlinux")


@CHECKS.add("BPF JIT", needed=True)
def _jit(machine: Machine) -> Finding:
    """The interpreter cannot call kfuncs (kernel/bpf/verifier.c, add_kfunc_call())."""
    enabled = machine.sysctl("net.core.bpf_jit_enable")
    if enabled is None:
        return ok("not visible in this network namespace; see 'BPF program'")
    if enabled == 0:
        return missing("off, so no BPF program can call a kfunc", _JIT_ON)
    if enabled == 2:
        return warning("2: every program that is loaded is dumped into the kernel log", _JIT_ON)
    return ok("on")


@CHECKS.add("lockdown")
def _lockdown(machine: Machine) -> Finding:
    """Confidentiality prevents tracing, integrity prevents loading the unsigned module."""
    text = machine.read("/sys/kernel/security/lockdown")
    mode = "none" if text is None else selected(text)
    if mode == "confidentiality":
        return warning(
            "confidentiality: BPF programs cannot trace, so the kernel log is the only source",
            "boot without lockdown=confidentiality",
        )
    if mode == "integrity" and not machine.has_kfunc:
        return warning(
            "integrity: the kernel loads only signed modules", "boot without lockdown=integrity"
        )
    return ok(mode)


@CHECKS.add("modules")
def _modules(machine: Machine) -> Finding:
    """A kernel without the kfunc gets it from oomctl's module, which is not signed."""
    if machine.has_kfunc:
        return ok("not needed: the kernel has the kfunc")
    if not machine.path("/proc/modules").exists():
        raise module.no_modules()
    if reason := module.forbidden(proc=machine.path("/proc"), sys=machine.path("/sys")):
        raise reason
    return ok("the kernel loads unsigned modules")


@CHECKS.add("kfunc", needed=True, after="BTF")
def _kfunc(machine: Machine) -> Finding:
    try:
        found = machine.kfunc()
    except UnsupportedError as error:
        if machine.path("/proc/modules").exists():
            raise
        # the error's hint, `oomctl kfunc load`, cannot work on a kernel without modules
        raise UnsupportedError(error.why, _OTHER_KERNEL) from error
    place = "vmlinux" if found.provider == "vmlinux" else f"module {found.provider}"
    return ok(f"{found.variant}, from {place}: {found.signature}")


@CHECKS.add("BPF program", needed=True, after="kfunc")
def _program(machine: Machine) -> Finding:
    """Only the verifier can tell whether a program may call the kfunc."""
    machine.load()
    return ok("the kernel loads the program that calls the kfunc")


@CHECKS.add("BPF tracing", after="BTF")
def _tracing(machine: Machine) -> Finding:
    """Victims, their moments and processes sharing their memory are traced; the log has less."""
    try:
        observer = machine.trace()
    except UnsupportedError as error:
        denied = "not permitted" in error.why and may_trace(machine)
        raise UnsupportedError(
            f"{error.why}; only the kernel log will tell which tasks died",
            _DENIED if denied else error.hint,
            detail=error.detail,
        ) from error
    unseen = ", ".join(kind.name.lower() for kind in EventKind if kind not in observer.kinds)
    if observer.silent:
        silence = probes.silence(observer.silent, machine.sysctl(probes.FTRACE_ENABLED))
        lost = f"; not seen: {unseen}" if unseen else ""
        return warning(f"{silence.why}{lost}", silence.hint)
    if unseen:
        return warning(f"this kernel cannot report all events: not {unseen}", "boot a newer kernel")
    return ok(
        f"all {len(EventKind)} kinds of event are attached; {len(observer.unproved)} programs "
        "cannot be tried without an OOM kill, the others ran"
    )
