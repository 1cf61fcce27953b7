from collections import Counter

import pytest

from oomctl.bpf import btf, libbpf
from oomctl.bpf.btf import Kfunc, Parameter, variant_of
from oomctl.errors import UnsupportedError

MEMCG, INT, U64, BOOL, TEXT = "struct mem_cgroup *", "int", "u64", "bool", "char *"


@pytest.mark.parametrize(
    ("types", "variant"),
    [
        ((MEMCG, INT), "RFC"),
        ((MEMCG, INT, BOOL), "v1"),
        ((MEMCG, INT, "_Bool", TEXT), "v1"),
        ((MEMCG, INT, U64, TEXT), "v2"),
        ((MEMCG, INT, U64), "v3"),
        ((MEMCG, INT, "__u64"), "v3"),
        ((), "unknown"),
        ((MEMCG, INT, "u32"), "unknown"),
        ((MEMCG, "unsigned int", U64), "unknown"),
        (("struct cgroup *", INT, U64), "unknown"),
        ((MEMCG, INT, BOOL, INT), "unknown"),
        ((MEMCG, INT, U64, U64), "unknown"),
    ],
)
def test_the_series_is_known_by_the_types(types, variant):
    assert variant_of(types) == variant


def test_the_signature_is_c():
    kfunc = Kfunc(
        "vmlinux",
        (Parameter(MEMCG, "memcg__nullable"), Parameter(INT, "order"), Parameter(U64, "flags")),
    )
    assert kfunc.signature == (
        "int bpf_out_of_memory(struct mem_cgroup *memcg__nullable, int order, u64 flags)"
    )
    kfunc.require_callable()


def test_another_shape_is_refused_and_named():
    kfunc = Kfunc("vmlinux", (Parameter(MEMCG, "memcg"), Parameter(INT, "order")))
    with pytest.raises(UnsupportedError, match=r"\(RFC\): int bpf_out_of_memory\("):
        kfunc.require_callable()


def test_any_function_of_the_running_kernel_is_rendered(monkeypatch):
    """The kfunc's own name may be missing here; reading BTF is the same for every function."""
    if not (btf._KERNEL_BTF / "vmlinux").exists():
        pytest.skip("this kernel has no BTF")
    monkeypatch.setattr(btf, "KFUNC", "out_of_memory")
    found = btf.find_kfunc()
    assert found is not None
    assert found.provider == "vmlinux"
    assert [parameter.type for parameter in found.parameters] == ["struct oom_control *"]
    assert found.variant == "unknown"


def test_an_unknown_name(monkeypatch):
    if not (btf._KERNEL_BTF / "vmlinux").exists():
        pytest.skip("this kernel has no BTF")
    monkeypatch.setattr(btf, "KFUNC", "no_such_function_anywhere")
    assert btf.find_kfunc() is None


def test_in_an_open_block_nothing_is_read_or_looked_for_again(monkeypatch):
    if not (btf._KERNEL_BTF / "vmlinux").exists():
        pytest.skip("this kernel has no BTF")
    call, calls = libbpf.call, Counter()

    def counted(function, *arguments):
        calls[function.__name__] += 1
        return call(function, *arguments)

    monkeypatch.setattr(libbpf, "call", counted)
    with btf.vmlinux() as outer:
        assert btf.find_members("oom_control") is not None
        with btf.vmlinux() as inner:
            assert inner.function("out_of_memory") == outer.function("out_of_memory")
        assert outer.function("out_of_memory") is not None
        assert outer.function("no_such_function") is outer.function("no_such_function") is None
        assert (calls["btf__load_vmlinux_btf"], calls["btf__find_by_name_kind"]) == (1, 3)
    with btf.vmlinux() as again:
        assert again.function("out_of_memory") is not None
        assert (calls["btf__load_vmlinux_btf"], calls["btf__find_by_name_kind"]) == (2, 4)
