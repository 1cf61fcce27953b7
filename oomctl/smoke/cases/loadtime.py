"""Which programs may call it: the filter, the sleepable rule, what the verifier wants of a memcg.

The programs are in bpf/smoke/. Texts differ between kernels, so their essential words are compared.
"""

import errno
import os
import re
from collections.abc import Iterator

from oomctl.bpf.libbpf import Only
from oomctl.oom.as_text import returned
from oomctl.smoke import facts
from oomctl.smoke.cases.common import Case, CaseRunner, Check
from oomctl.smoke.facts import Need

_SYSCALL = 31  # BPF_PROG_TYPE_SYSCALL and the flag: include/uapi/linux/bpf.h
_SLEEPABLE = 1 << 4

_NOT_ALLOWED = r"calling kernel function bpf_out_of_memory is not allowed"
_MUST_SLEEP = r"program must be sleepable to call sleepable kfunc bpf_out_of_memory"
_SLEEPS_WITHIN = r"bpf_out_of_memory is sleepable within "
_NOT_TRUSTED = r"(must be referenced or trusted|is ptr_or_null_ expected ptr_)"
_NO_MEMCG = r"(arg#0|args#0|R1)\b.*(must|expected|STRUCT mem_cgroup)"


def _refused(
    name: str,
    about: str,
    only: Only | str,
    error: int,
    said: str,
    *needs: Need,
    file: str = "refused.bpf.o",
) -> Case:
    wanted = only if isinstance(only, Only) else Only(only)

    def run(runner: CaseRunner) -> Iterator[Check]:
        loaded = runner.load(file, wanted)
        yield Check(f"loading it is {returned(-error)}", loaded.errno == error, _came(loaded.errno))
        yield Check(f"the reason is {said!r}", bool(re.search(said, loaded.log)), "another")

    return Case(f"loadtime.{name}", about, run, needs)


def _loads(name: str, about: str, program: str, *needs: Need) -> Case:
    def run(runner: CaseRunner) -> Iterator[Check]:
        loaded = runner.load("refused.bpf.o", Only(program))
        yield Check("it loads", not loaded.errno, _came(loaded.errno))

    return Case(f"loadtime.{name}", about, run, needs)


def _came(error: int) -> str:
    return f"{returned(-error)}: {os.strerror(error)}" if error else "it loaded"


def _tracing(name: str, program: str) -> Case:
    about = f"a tracing program ({name}) must not call it"
    return _refused(name, about, program, errno.EACCES, _NOT_ALLOWED)


def _not_sleepable(name: str, program: str, *needs: Need) -> Case:
    about = f"{name} cannot sleep"
    return _refused(name, about, program, errno.EACCES, _MUST_SLEEP, *needs)


_LSM = facts.function("bpf_lsm_file_open")

CASES = (
    _loads("may-syscall", "a syscall program may call it", "may_syscall"),
    _loads("may-lsm-s", "so may a sleepable LSM program", "may_lsm", _LSM),
    _loads("may-uprobe-s", "and a sleepable uprobe", "may_uprobe"),
    _loads("may-uretprobe-s", "and a sleepable uretprobe", "may_uretprobe"),
    _loads("may-checked-memcg", "with a memcg that was compared with NULL", "may_checked_memcg"),
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
        "a syscall program without the flag",
        Only("from_socket", type=_SYSCALL),
        errno.EINVAL,
        "Syscall programs can only be sleepable",
    ),
    _refused(
        "tc-sleepable",
        "the flag does not help a program that cannot sleep",
        Only("from_tc", flags=_SLEEPABLE),
        errno.EINVAL,
        "(programs can|cannot) be sleepable",
    ),
    _refused(
        "in-rcu",
        "not inside bpf_rcu_read_lock()",
        "in_rcu",
        errno.EACCES,
        f"{_SLEEPS_WITHIN}rcu_read_lock region",
    ),
    _refused(
        "preempt-off",
        "not with preemption off",
        "not_preemptible",
        errno.EACCES,
        f"{_SLEEPS_WITHIN}non-preemptible region",
        facts.function("bpf_preempt_disable"),
    ),
    _refused(
        "irqs-off",
        "not with interrupts off",
        "irqs_off",
        errno.EACCES,
        f"{_SLEEPS_WITHIN}IRQ-disabled region",
        facts.function("bpf_local_irq_save"),
    ),
    _refused(
        "lock-held",
        "not while a bpf_spin_lock is held",
        "lock_held",
        errno.EINVAL,
        "function calls are not allowed while holding a lock",
    ),
    _refused(
        "unchecked-memcg",
        "the accessor's result must be compared with NULL: that NULL is the whole system",
        "unchecked_memcg",
        errno.EINVAL,
        _NOT_TRUSTED,
    ),
    _refused(
        "untrusted-memcg",
        "a memcg read out of a struct is not trusted",
        "untrusted_memcg",
        errno.EINVAL,
        _NOT_TRUSTED,
    ),
    _refused(
        "memcg-after-put",
        "nor is one that was put already",
        "after_put",
        errno.EINVAL,
        _NO_MEMCG,
    ),
    _refused(
        "cgroup-for-memcg",
        "a struct cgroup is no memcg",
        "cgroup_for_memcg",
        errno.EINVAL,
        r"expected pointer to STRUCT mem_cgroup but R1 has a pointer to STRUCT cgroup",
    ),
    _refused("number-for-memcg", "nor is a number", "number_for_memcg", errno.EINVAL, _NO_MEMCG),
    _refused("stack-for-memcg", "nor is the stack", "stack_for_memcg", errno.EINVAL, _NO_MEMCG),
    _refused(
        "missing-put",
        "the memcg must be put",
        "missing_put",
        errno.EINVAL,
        "Unreleased reference",
    ),
    _refused(
        "missing-release",
        "the cgroup must be released",
        "missing_release",
        errno.EINVAL,
        "Unreleased reference",
    ),
    _refused(
        "arity",
        "two arguments are one too few: libbpf compares",
        "arity",
        errno.EINVAL,
        "'bpf_out_of_memory': func_proto .* incompatible with",
        file="arity.bpf.o",
    ),
    _refused(
        "nongpl",
        "a program that is not under the GPL",
        "nongpl",
        errno.EINVAL,
        "cannot call kernel function from non-GPL compatible program",
        file="nongpl.bpf.o",
    ),
    _refused(
        "oom-ops",
        "the OOM handler of the series, which runs with oom_lock held",
        "handle",
        errno.EACCES,
        _NOT_ALLOWED,
        facts.struct("bpf_oom_ops"),
        file="oom_ops.bpf.o",
    ),
)
