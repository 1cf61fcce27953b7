"""Which programs may call the kfunc: the filter, the sleepable rule, the checks of the memcg.

The programs are in bpf/smoke/. The verifier's texts differ between kernels, so only their essential
words are compared.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from errno import EACCES, EINVAL
from functools import partial

from oomctl.bpf import struct_ops
from oomctl.bpf.bpfobject import Only
from oomctl.bpf.declare import TASK_WORK
from oomctl.oom.as_text import returned
from oomctl.oom.outcome import Check
from oomctl.smoke import facts
from oomctl.smoke.case import Case
from oomctl.smoke.facts import Need
from oomctl.smoke.runner import CaseRunner

Section = Callable[[], AbstractContextManager[None]]
"""What has libbpf load the programs of a section that it does not know, within a block."""

_SYSCALL = 31  # BPF_PROG_TYPE_SYSCALL and the flag: include/uapi/linux/bpf.h
_SLEEPABLE = 1 << 4

_NOT_ALLOWED = r"calling kernel function bpf_out_of_memory is not allowed"
_MUST_SLEEP = r"program must be sleepable to call sleepable kfunc bpf_out_of_memory"
_SLEEPS_WITHIN = r"bpf_out_of_memory is sleepable within "
_NOT_TRUSTED = r"(must be referenced or trusted|is ptr_or_null_ expected ptr_)"
_NO_MEMCG = r"(arg#0|args#0|R1)\b.*(must|expected|STRUCT mem_cgroup)"
_UNRELEASED = "Unreleased reference"


def _refused(
    name: str,
    about: str,
    only: Only | str,
    error: int,
    reason: str,
    *needs: Need,
    file: str = "refused.bpf.o",
    section: Section = nullcontext,
) -> Case:
    program = only if isinstance(only, Only) else Only(only)

    def run(runner: CaseRunner) -> Iterator[Check]:
        with section():
            loaded = runner.load(file, program)
        yield Check(
            f"loading it is {returned(-error)}", loaded.errno == error, _result(loaded.errno)
        )
        found = bool(re.search(reason, loaded.log))
        yield Check(f"the reason matches {reason!r}", found, "another reason")

    return Case(f"loadtime.{name}", about, run, needs)


def _loads(
    name: str,
    about: str,
    program: str,
    *needs: Need,
    file: str = "refused.bpf.o",
    section: Section = nullcontext,
) -> Case:
    def run(runner: CaseRunner) -> Iterator[Check]:
        with section():
            loaded = runner.load(file, Only(program))
        yield Check("it loads", not loaded.errno, _result(loaded.errno))

    return Case(f"loadtime.{name}", about, run, needs)


def _result(error: int) -> str:
    return f"{returned(-error)}: {os.strerror(error)}" if error else "it loaded"


def _tracing(name: str, program: str) -> Case:
    about = f"a tracing program ({name}) must not call it"
    return _refused(name, about, program, EACCES, _NOT_ALLOWED)


def _not_sleepable(name: str, program: str, *needs: Need) -> Case:
    return _refused(name, f"{name} cannot sleep", program, EACCES, _MUST_SLEEP, *needs)


_LSM = facts.function("bpf_lsm_file_open")
_TASK_WORK = facts.function(TASK_WORK)
_OOM_OPS = facts.struct("bpf_oom_ops")
_handlers = partial(
    struct_ops.section, "oom_handler", struct="bpf_oom_ops", member="handle_out_of_memory"
)

CASES = (
    _loads("may-syscall", "a syscall program may call it", "may_syscall"),
    _loads("may-lsm-s", "a sleepable LSM program may call it", "may_lsm", _LSM),
    _loads("may-uprobe-s", "a sleepable uprobe may call it", "may_uprobe"),
    _loads("may-uretprobe-s", "a sleepable uretprobe may call it", "may_uretprobe"),
    _loads(
        "may-checked-memcg", "a memcg that was compared with NULL is taken", "may_checked_memcg"
    ),
    _tracing("fentry", "from_fentry"),
    _tracing("fentry-s", "from_fentry_sleepable"),
    _tracing("fexit", "from_fexit"),
    _tracing("fmod-ret", "from_fmod_ret"),
    _tracing("tp-btf", "from_tp_btf"),
    _tracing("iter", "from_iter"),
    _tracing("iter-s", "from_iter_sleepable"),
    _not_sleepable("lsm", "from_lsm", _LSM),
    _not_sleepable("kprobe", "from_kprobe"),
    _not_sleepable("uprobe", "from_uprobe"),
    _not_sleepable("tracepoint", "from_tracepoint"),
    _not_sleepable("raw-tracepoint", "from_raw_tracepoint"),
    _not_sleepable("socket", "from_socket"),
    _not_sleepable("tc", "from_tc"),
    _not_sleepable("xdp", "from_xdp"),
    _not_sleepable("cgroup-skb", "from_cgroup_skb"),
    _refused(
        "syscall-not-sleepable",
        "a syscall program without BPF_F_SLEEPABLE does not load",
        Only("from_socket", type=_SYSCALL),
        EINVAL,
        "Syscall programs can only be sleepable",
    ),
    _refused(
        "tc-sleepable",
        "BPF_F_SLEEPABLE does not help a program that cannot sleep",
        Only("from_tc", flags=_SLEEPABLE),
        EINVAL,
        "(programs can|cannot) be sleepable",
    ),
    _refused(
        "in-rcu",
        "a call between bpf_rcu_read_lock() and bpf_rcu_read_unlock() is refused",
        "in_rcu",
        EACCES,
        f"{_SLEEPS_WITHIN}rcu_read_lock region",
    ),
    _refused(
        "preempt-off",
        "a call with preemption off is refused",
        "not_preemptible",
        EACCES,
        f"{_SLEEPS_WITHIN}non-preemptible region",
        facts.function("bpf_preempt_disable"),
    ),
    _refused(
        "irqs-off",
        "a call with interrupts off is refused",
        "irqs_off",
        EACCES,
        f"{_SLEEPS_WITHIN}IRQ-disabled region",
        facts.function("bpf_local_irq_save"),
    ),
    _refused(
        "lock-held",
        "a call while a bpf_spin_lock is held is refused",
        "lock_held",
        EINVAL,
        "function calls are not allowed while holding a lock",
    ),
    _refused(
        "unchecked-memcg",
        "the accessor's result must be compared with NULL, which means the whole system",
        "unchecked_memcg",
        EINVAL,
        _NOT_TRUSTED,
    ),
    _refused(
        "untrusted-memcg",
        "a memcg that was read from a struct is not trusted",
        "untrusted_memcg",
        EINVAL,
        _NOT_TRUSTED,
    ),
    _refused(
        "memcg-after-put", "a memcg after its put is not valid", "after_put", EINVAL, _NO_MEMCG
    ),
    _refused(
        "cgroup-for-memcg",
        "a struct cgroup is not a memcg",
        "cgroup_for_memcg",
        EINVAL,
        "expected pointer to STRUCT mem_cgroup but R1 has a pointer to STRUCT cgroup",
    ),
    _refused("number-for-memcg", "a number is not a memcg", "number_for_memcg", EINVAL, _NO_MEMCG),
    _refused(
        "stack-for-memcg", "a stack pointer is not a memcg", "stack_for_memcg", EINVAL, _NO_MEMCG
    ),
    _refused("missing-put", "the memcg must be put", "missing_put", EINVAL, _UNRELEASED),
    _refused(
        "missing-release", "the cgroup must be released", "missing_release", EINVAL, _UNRELEASED
    ),
    _refused(
        "arity",
        "two arguments are one too few: libbpf compares the prototypes",
        "arity",
        EINVAL,
        "'bpf_out_of_memory': func_proto .* incompatible with",
        file="arity.bpf.o",
    ),
    _refused(
        "nongpl",
        "a program that is not under the GPL must not call it",
        "nongpl",
        EINVAL,
        "cannot call kernel function from non-GPL compatible program",
        file="nongpl.bpf.o",
    ),
    _refused(
        "oom-ops",
        "the series' OOM handler, which runs with oom_lock held, must not call it",
        "handle",
        EACCES,
        _NOT_ALLOWED,
        _OOM_OPS,
        file="oom_ops.bpf.o",
        section=_handlers,
    ),
    _loads(
        "may-oom-ops-without",
        "an OOM handler that does not call it may be loaded",
        "handle_nothing",
        _OOM_OPS,
        file="oom_ops.bpf.o",
        section=_handlers,
    ),
    _loads(
        "may-task-work",
        "a syscall program may call it in task work",
        "may_task_work",
        _TASK_WORK,
        file="deferred.bpf.o",
    ),
    _refused(
        "tp-btf-task-work",
        "a tracing program must not call it in task work either",
        "from_tracing_task_work",
        EACCES,
        _NOT_ALLOWED,
        _TASK_WORK,
        file="deferred.bpf.o",
    ),
    _loads(
        "may-psi-avgs-work",
        "a tracing program at psi_avgs_work may, in the variant after v3 that has this tracepoint",
        "may_psi_task_work",
        _TASK_WORK,
        facts.calls_on_psi,
        file="deferred.bpf.o",
    ),
)
