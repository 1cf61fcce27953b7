"""Kernels that are listed, removed, built, or not fit for the lab."""

import json
import os

import pytest

from oomctl import cache
from oomctl.lab import (
    build,
    cached,
    source,
)
from oomctl.lab.cached import Flavour
from oomctl.proc import programs
from tests.cli.lab.command import invoke
from tests.schemas import validator
from tests.unit.lab.fake_tree import fake_tree
from tests.unit.lab.images import bzimage, compressed, vmlinux


@pytest.mark.parametrize("command", [["run", "--", "true"], ["run", "--dry-run", "--", "true"]])
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--kernel", "no-memcg"], 3, "is built without CONFIG_MEMCG (for memory cgroups)"),
        (["--kernel", "no-9p"], 3, "is built without CONFIG_9P_FS (for this machine's files)"),
        (["--kernel", "no-virtio"], 3, "is built without CONFIG_VIRTIO_PCI (for its machine)"),
        (["--kernel", "no-bpf"], 3, "is built without CONFIG_BPF_SYSCALL (for BPF programs)"),
        (["--kernel", "modular"], 3, "CONFIG_OVERLAY_FS in modules, and there are no modules"),
        (["--kernel", "no-btf"], 3, "has no BTF, by which programs find the kfunc"),
        (["--kernel", "old"], 3, "is too old: it has no bpf_out_of_memory(), and Linux 6.12 is"),
        (["--kernel", "cut"], 2, "is truncated: it has 20480 bytes, its header says"),
        (["--kernel", "text"], 2, "is not a bootable kernel image: it has no kernel header"),
        (["--kernel", "nothing-in-it"], 2, "contains no kernel image"),
        (["--kernel", "missing"], 2, "--kernel: missing does not exist; give stock, reference"),
        (["--kernel", "reference"], 2, "--kernel reference: none was built yet"),
        (["--kernel", "fit", "--module", "other.ko"], 2, "was built for 6.1.0, and the kernel is"),
        (["--kernel", "fit", "--module", "text.ko"], 2, "text.ko is not a kernel module"),
        (["--kernel", "fit", "--module", "/etc/passwd"], 2, "is not a kernel module"),
    ],
)
def test_a_kernel_or_module_that_is_not_fit(given, command, words, status, said):
    name, *rest = command
    done = invoke(name, *words, *rest)
    assert (done.exit_code, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_configuration_that_cannot_be_read_is_said(boots, tmp_path):
    bzimage(tmp_path / "bare", payload=compressed(vmlinux(None), "gzip"))
    done = invoke("run", "--kernel", str(tmp_path / "bare"), "--", "true")
    assert done.exit_code == 0
    assert f"cannot read the configuration of {tmp_path}/bare: it has none in it" in done.stderr


@pytest.fixture
def cached_kernels(tmp_path):
    for name, kfunc in (("7.3.4-oomctl", True), ("6.12.95", False)):
        home = cached.home(name)
        payload = compressed(vmlinux(kfunc=kfunc), "gzip")
        bzimage(home / f"boot/vmlinuz-{name}", name, payload=payload)
        cached.stamp(home, Flavour.PLAIN if kfunc else Flavour.DEBIAN)
        os.utime(home, (0, 0 if kfunc else 86400))
    cached.home("broken").mkdir()
    os.utime(cached.home("broken"), (0, -86400))


def test_kernels_are_listed(cached_kernels):
    with cache.in_use(cached.home("6.12.95")):
        told = json.loads(invoke("kernels", "-f", "json").stdout)
        validator("lab-schema.json").validate(told)
        listed = told["kernels"]
        table = invoke("kernels").stdout.splitlines()
    assert [list(each.values())[:-2] for each in listed] == [
        ["6.12.95", "debian", True, "6.12.95", "none", None],
        ["7.3.4-oomctl", "plain", False, "7.3.4-oomctl", "built in", None],
        ["broken", "stock", False, None, None, f"{cached.home('broken')} contains no kernel image"],
    ]
    assert [each["last_used"][:10] for each in listed[:2]] == ["1970-01-02", "1970-01-01"]
    assert all(each["size_bytes"] > 20000 for each in listed[:2])
    assert [line.split()[0] for line in table[2:5]] == ["6.12.95", "7.3.4-oomctl", "broken"]
    assert table[2].endswith("in use")


def test_kernels_are_removed_unless_in_use(cached_kernels):
    done = invoke("kernels", "--remove", "broken", "--remove", "6.1")
    said = "--remove 6.1: the cache has no such kernel; it has 6.12.95, 7.3.4-oomctl, broken"
    assert (done.exit_code, done.stderr) == (2, f"oomctl: {said}\n")
    with cache.in_use(cached.home("6.12.95")):
        done = invoke("kernels", "--remove", "6.12.95")
        assert (done.exit_code, done.stderr) == (
            4,
            "oomctl: another oomctl uses 6.12.95; end it first\n",
        )
    assert invoke("kernels", "--remove", "6.12.95", "--remove", "broken").exit_code == 0
    assert cached.names() == ["7.3.4-oomctl"]


def test_an_empty_cache_is_told():
    assert invoke("kernels").stdout == "no kernels yet: oomctl lab fetch, or oomctl lab build\n"
    assert json.loads(invoke("kernels", "-f", "json").stdout)["kernels"] == []


def test_a_machine_that_cannot_build_fetches_nothing(monkeypatch):
    monkeypatch.setattr(programs, "which", lambda _name: None)
    monkeypatch.setattr(source, "newest", lambda _update: pytest.fail("a source is fetched"))
    done = invoke("build")
    assert done.exit_code == 3
    assert "to build a kernel this machine lacks" in done.stderr


def test_a_kernel_is_built_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "require_tools", lambda: None)
    done = invoke("build", "--source", str(fake_tree(tmp_path / "linux")), "--jobs", "1")
    assert done.exit_code == 0, done.stderr
    name, _objects = cached.names()
    assert done.stdout.startswith(f"{name} is ready, after ")
    assert name.startswith("9.9-mine-")
    assert "building linux" not in done.stdout
    rows = [line.split() for line in invoke("kernels").stdout.splitlines()[2:]]
    assert [name, "plain", "built", "in"] in [row[:4] for row in rows]
    (objects,) = [row[0] for row in rows if row[1:3] == ["objects", "-"]]
    assert invoke("kernels", "--remove", objects).exit_code == 0
    assert cached.names() == [name]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--source", "missing"], "--source: missing does not exist"),
        (["--source", "text"], "cannot unpack"),
        (["--source", "nothing-in-it"], "is not a kernel source tree: it has no Makefile"),
        (["--source", "linux", "--config", "missing"], "--config missing: No such file"),
        (["--source", "linux", "--config", "fit"], "--config fit: it is not text"),
        (["--flavour", "fast"], "--flavour"),
        (["--jobs", "0"], "--jobs"),
        (["--source", "linux", "--update"], "--update is for Debian's source, not for --source"),
    ],
)
def test_what_cannot_be_built_is_one_line_and_2(given, monkeypatch, words, why):
    monkeypatch.setattr(build, "require_tools", lambda: None)
    fake_tree(given / "linux")
    done = invoke("build", *words)
    (line,) = [line for line in done.stderr.splitlines() if not line.endswith(words[-1])]
    assert done.exit_code == 2
    assert why in line
    assert not [*cached.home().glob("*/")]


def test_all_kernels_are_looked_at_before_the_first_boot(given):
    done = invoke("run", "--kernel", "fit", "--kernel", "no-memcg", "--", "true")
    assert done.exit_code == 3
    assert "no-memcg" in done.stderr
