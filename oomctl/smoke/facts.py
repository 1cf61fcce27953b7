"""What a machine and its kernel are, and what a case needs of them. Pure.

A need is given the facts and returns why a case cannot be run, or nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from oomctl.bpf.btf import KFUNC, Kfunc


class Skipped(Exception):  # noqa: N818
    """Raised by a case that finds out on the way that it makes no sense here, and why."""


@dataclass(frozen=True)
class Facts:
    """A machine as far as cases depend on it.

    `max_order` is MAX_PAGE_ORDER, `swap` bytes. `functions` and `structs` are those of the kernel's
    BTF that cases ask for. `untraceable` says why oom_lock cannot be held or looked into, empty
    where it can. `disposable` says that this machine may be taken down.
    """

    kernel: str = ""
    kfunc: Kfunc | None = None
    max_order: int = 10
    cpus: int = 2
    swap: int = 0
    page_size: int = 4096
    panic_on_oom: int = 0
    functions: frozenset[str] = frozenset()
    structs: frozenset[str] = frozenset()
    untraceable: str = ""
    disposable: bool = False


Need = Callable[[Facts], str]

VARIANT = "v3"
"""The one shape of the kfunc that oomctl's programs call."""


def kfunc(facts: Facts) -> str:
    """Need the kfunc in its present shape; what its callers pass has changed between versions."""
    if facts.kfunc is None:
        return f"this kernel has no {KFUNC}()"
    if facts.kfunc.variant != VARIANT:
        return (
            f"this kernel's kfunc has the shape of {facts.kfunc.variant}: {facts.kfunc.signature}"
        )
    return ""


def no_panic(facts: Facts) -> str:
    """Need a kernel that kills and does not panic, for a declaration on a memcg."""
    return "vm.panic_on_oom is 2: the machine would panic" if facts.panic_on_oom == 2 else ""


def no_panic_at_all(facts: Facts) -> str:
    """Need the same for a declaration on the whole system."""
    return f"vm.panic_on_oom is {facts.panic_on_oom}" if facts.panic_on_oom else ""


def disposable(facts: Facts) -> str:
    """Need a machine that is thrown away afterwards."""
    if facts.disposable:
        return ""
    return "it may take the machine down: `oomctl lab smoke` runs it in a virtual one of its own"


def gate(facts: Facts) -> str:
    """Need a look into out_of_memory()."""
    return facts.untraceable and f"no BPF tracing here: {facts.untraceable}"


def two_cpus(facts: Facts) -> str:
    """Need one processor for who holds oom_lock, and another for who wants it."""
    return "" if facts.cpus > 1 else "oom_lock is held by a process that spins: 2 CPUs are needed"


def swap(facts: Facts) -> str:
    """Need somewhere to swap to."""
    return "" if facts.swap >= 64 << 20 else "this machine has no 64 MiB of swap"


def pages_of_4k(facts: Facts) -> str:
    """Need the page size that the limits are computed for."""
    return "" if facts.page_size == 4096 else f"it reckons with 4 KiB pages, not {facts.page_size}"


def function(name: str) -> Need:
    """Need a kernel function by its name."""
    return lambda facts: "" if name in facts.functions else f"this kernel has no {name}()"


def struct(name: str) -> Need:
    """Need a type of the kernel's."""
    return lambda facts: "" if name in facts.structs else f"this kernel has no struct {name}"


def order(number: int) -> Need:
    """Need an order that is valid on this kernel."""

    def need(facts: Facts) -> str:
        if number <= facts.max_order:
            return ""
        return f"this kernel's MAX_PAGE_ORDER is {facts.max_order}"

    return need
