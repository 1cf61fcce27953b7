"""What a machine may lack: each lack has its own line and the command that mends it."""

import ctypes

import pytest

from oomctl.bpf import btf, libbpf
from oomctl.bpf.btf import Kfunc, Parameter
from tests.cli.command import declare, refused

FIND_KFUNC = btf.find_kfunc  # before the machine replaces it
RFC = Kfunc("vmlinux", (Parameter("struct mem_cgroup *", "memcg"), Parameter("int", "order")))


def test_no_root(machine, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    refused(declare(), 3, "not run as root; run it with sudo")


def test_a_pid_namespace_of_its_own(machine, monkeypatch):
    monkeypatch.setattr("oomctl.proc.procfs.sees_init_pids", lambda: False)
    refused(declare(), 3, "in a PID namespace", "--pid=host")


def test_no_kfunc(machine, monkeypatch):
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: None)
    monkeypatch.setattr("oomctl.kmod.module.unloadable", lambda: None)
    refused(declare(), 3, "has no bpf_out_of_memory()", "oomctl kfunc load", "oomctl lab run")


def test_a_kfunc_of_another_shape(machine, monkeypatch):
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: RFC)
    refused(declare(), 3, "has another shape (RFC)")


def test_no_cgroup_v2(machine, mounts, tmp_path):
    mounts(("tmpfs", tmp_path, "rw"))
    refused(declare(), 3, "no cgroup v2 hierarchy is mounted", "mount -t cgroup2")


def test_memory_bound_to_v1(machine, mounts, tmp_path):
    (machine.root.directory / "cgroup.controllers").write_text("pids\n")
    v1 = ("cgroup", tmp_path / "v1", "rw,memory")
    mounts(("cgroup2", machine.root.directory, "rw"), v1)
    refused(declare(), 3, "bound to cgroup v1", "hybrid", "cgroup_no_v1=all")


@pytest.fixture
def no_libbpf(monkeypatch):
    def missing(name, **_more):
        if name == "libbpf.so.1":
            raise OSError("libbpf.so.1: cannot open shared object file")
        return loaded(name, **_more)

    loaded = ctypes.CDLL
    libbpf.library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    yield
    libbpf.library.cache_clear()


def test_no_libbpf(machine, monkeypatch, no_libbpf):
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", FIND_KFUNC)
    refused(declare(), 3, "libbpf.so.1 is not installed", "apt install libbpf1")


def test_everything_that_is_lacking_is_said_at_once(machine, monkeypatch, mounts):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: None)
    mounts()
    result = declare()
    assert result.exit_code == 3
    assert result.stdout == ""
    says = ["not run as root", "no cgroup v2", "has no bpf_out_of_memory()"]
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert all(text in line for text, line in zip(says, lines, strict=True))
