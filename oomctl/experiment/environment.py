"""The machine that an experiment runs on: what it must have, and what a result depends on."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import psutil

from oomctl import __version__, commandline, console
from oomctl.bpf import btf, libbpf
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.kmod import module
from oomctl.oom.outcome import Environment
from oomctl.oom.task import OOM_SCORE_ADJ_MIN
from oomctl.proc import capabilities, fork, procfs

T = TypeVar("T")

SYSCTLS = (
    "vm.panic_on_oom",
    "vm.oom_kill_allocating_task",
    "vm.oom_dump_tasks",
    "vm.swappiness",
    "vm.overcommit_memory",
    "kernel.panic",
)


def require_machine() -> tuple[UnifiedNode, btf.Kfunc]:
    """Return the cgroup root and the kfunc, or report everything that this machine lacks.

    Raises UnsupportedError; if several things are missing, each has its own line on stderr.
    """
    lacks: list[OomctlError] = []
    root = _host(lacks)
    kfunc = _checked(require_kfunc, lacks)
    if os.geteuid() == 0:
        in_module = kfunc is not None and kfunc.provider != btf.VMLINUX
        lacks += capabilities.lacking(module=in_module)
    _raise(lacks)
    assert root is not None  # noqa: S101
    assert kfunc is not None  # noqa: S101
    return root, kfunc


def require_host() -> UnifiedNode:
    """Return the cgroup root, whatever kfunc the kernel has; raises as require_machine() does."""
    lacks: list[OomctlError] = []
    root = _host(lacks)
    _raise(lacks)
    assert root is not None  # noqa: S101
    return root


def _host(lacks: list[OomctlError]) -> UnifiedNode | None:
    _checked(require_root, lacks)
    _checked(require_init_pids, lacks)
    root = _checked(hierarchy.unified_root, lacks)
    if root:
        _checked(partial(hierarchy.require_memory, root), lacks)
    return root


def _checked(require: Callable[[], T], lacks: list[OomctlError]) -> T | None:
    try:
        return require()
    except OomctlError as error:
        lacks.append(error)
        return None


def _raise(lacks: Sequence[OomctlError]) -> None:
    """Print what is missing, except the last, which is raised."""
    for lack in lacks[:-1]:
        console.note(str(lack))
    if lacks:
        raise lacks[-1]


def require_root() -> None:
    """Raise UnsupportedError unless we are root."""
    if os.geteuid() != 0:
        raise UnsupportedError("oomctl is not run as root", "run it with sudo")


def require_init_pids() -> None:
    """Raise UnsupportedError unless PIDs here are those of the kernel log."""
    if not procfs.sees_init_pids():
        raise UnsupportedError(
            "oomctl runs in a PID namespace (a container): the kernel log names tasks by other "
            "PIDs, so no kill could be proved",
            "run it outside, or with the host's PIDs (`--pid=host`)",
        )


def require_kfunc() -> btf.Kfunc:
    """Return the running kernel's kfunc; UnsupportedError if it has none that can be called."""
    kfunc = btf.find_kfunc()
    if kfunc is None:
        lab = commandline.in_lab()
        why = f"this kernel ({platform.release()}) has no {btf.KFUNC}()"
        if reason := module.unloadable():
            raise UnsupportedError(why, f"use {lab}, since {reason.why}")
        oldest = f"from {module.OLDEST} on"
        raise UnsupportedError(why, f"run `oomctl kfunc load`, {oldest}, or {lab}")
    kfunc.require_callable()
    return kfunc


def read_environment(kfunc: btf.Kfunc | None) -> Environment:
    """Read what a result depends on; without a kfunc its fields are empty."""
    own_adj = procfs.read_task(os.getpid())
    return Environment(
        oomctl=__version__,
        kernel=platform.release(),
        machine=platform.machine(),
        cpus=os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        swap=psutil.swap_memory().total,
        page_size=procfs.PAGE_SIZE,
        kfunc=kfunc.signature if kfunc else "",
        kfunc_provider=kfunc.provider if kfunc else "",
        kfunc_variant=kfunc.variant if kfunc else "",
        libbpf=libbpf.version(),
        oom_score_adj=own_adj.oom_score_adj if own_adj else 0,
        sysctls=procfs.sysctls(SYSCTLS),
        command_line=procfs.command_line(),
        **commandline.origin(),
    )


@contextmanager
def protected() -> Iterator[None]:
    """Protect oomctl itself from the OOM killer: oom_score_adj -1000 in the block, read back.

    Forked children inherit it; programs that oomctl runs have the value that oomctl was started
    with. If it cannot be lowered, a line on stderr says so.
    """
    me = procfs.read_task(os.getpid())
    before = me.oom_score_adj if me else 0
    if not procfs.set_oom_score_adj(OOM_SCORE_ADJ_MIN):
        console.note(_unprotected())
    with fork.programs_at(before):
        try:
            yield
        finally:
            procfs.set_oom_score_adj(before)


def _unprotected() -> str:
    needed = capabilities.SYS_RESOURCE
    held = needed.held(capabilities.CapabilitySets.own())
    why = "its oom_score_adj cannot be lowered here" if held else f"{needed.name} is not held"
    return f"oomctl is not protected from the OOM killer: {why}"
