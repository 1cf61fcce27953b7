"""What cases depend on: the machine and its kernel as facts, and the needs of a case. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from oomctl.bpf.btf import KFUNC, VMLINUX, Kfunc


class Skipped(Exception):  # noqa: N818
    """Raised by a case that cannot be run here, with the reason, which it finds only on the way."""


@dataclass(frozen=True)
class Facts:
    """A machine as far as cases depend on it.

    `max_order` is MAX_PAGE_ORDER, `swap` is in bytes. `functions` and `structs` are those in the
    kernel's BTF that cases ask for. `no_tracing_reason` says why out_of_memory() cannot be traced,
    and so oom_lock not be held; it is empty if it can. `disposable`: the machine may go down.
    """

    kernel: str = ""
    kfunc: Kfunc | None = None
    max_order: int = 10
    cpus: int = 2
    swap: int = 0
    panic_on_oom: int = 0
    functions: frozenset[str] = frozenset()
    structs: frozenset[str] = frozenset()
    no_tracing_reason: str = ""
    disposable: bool = False


@dataclass(frozen=True)
class Need:
    """A condition of a case; `reason` says why a case is skipped without it, `{0}` are the facts.

    Called with facts, it returns that reason, or "" if the condition holds.
    """

    holds: Callable[[Facts], bool]
    reason: str

    def __call__(self, facts: Facts) -> str:
        """Return why a case cannot be run; empty if it can."""
        return "" if self.holds(facts) else self.reason.format(facts)


VARIANT = "v3"
"""The variant of the kfunc that oomctl's programs call; the parameters differ between variants."""

kfunc = Need(lambda facts: facts.kfunc is not None, f"this kernel has no {KFUNC}()")
kfunc_variant = Need(
    lambda facts: facts.kfunc is not None and facts.kfunc.variant == VARIANT,
    "this kernel's kfunc has the shape of {0.kfunc.variant}: {0.kfunc.signature}",
)
no_panic = Need(
    lambda facts: facts.panic_on_oom != 2, "vm.panic_on_oom is 2: the machine would panic"
)
no_system_panic = Need(lambda facts: not facts.panic_on_oom, "vm.panic_on_oom is {0.panic_on_oom}")
disposable = Need(
    lambda facts: facts.disposable,
    "it may take the machine down: `oomctl lab smoke` runs it in a virtual machine of its own",
)
gate = Need(
    lambda facts: not facts.no_tracing_reason, "BPF tracing does not work: {0.no_tracing_reason}"
)
two_cpus = Need(
    lambda facts: facts.cpus > 1,
    "the process that holds oom_lock spins on one CPU: 2 CPUs are needed",
)
swap = Need(lambda facts: facts.swap >= 64 << 20, "this machine has less than 64 MiB of swap")


PSI_TRACEPOINT = "__bpf_trace_psi_avgs_work"
"""The function of a tracepoint that the author's branch adds after v3 (kernel/sched/psi.c)."""
calls_on_psi = Need(
    lambda facts: (
        PSI_TRACEPOINT in facts.functions
        and facts.kfunc is not None
        and facts.kfunc.provider == VMLINUX
    ),
    "this kernel's kfunc is that of v3, which refuses every tracing program",
)


def function(name: str) -> Need:
    """Need a kernel function."""
    return Need(lambda facts: name in facts.functions, f"this kernel has no {name}()")


def struct(name: str) -> Need:
    """Need a type of the kernel."""
    return Need(lambda facts: name in facts.structs, f"this kernel has no struct {name}")


def order(number: int) -> Need:
    """Need an order that is valid on this kernel."""
    reason = "this kernel's MAX_PAGE_ORDER is {0.max_order}"
    return Need(lambda facts: number <= facts.max_order, reason)
