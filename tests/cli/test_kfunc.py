import json
import os
import platform

import pytest

from oomctl.bpf import btf
from oomctl.cli import kfunc
from oomctl.errors import UnsupportedError
from oomctl.kmod import kbuild, module
from tests.cli.command import run as oomctl
from tests.elf import elf_file

V3 = (
    btf.Parameter("struct mem_cgroup *", "memcg__nullable"),
    btf.Parameter("int", "order"),
    btf.Parameter("u64", "flags"),
)


@pytest.fixture
def run():
    return lambda *words: oomctl("kfunc", *words)


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The running kernel: what provides the kfunc, and whether a module could be built."""
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "release", lambda: "6.12-test")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "require_modules", lambda: None)
    monkeypatch.setattr(module, "unloadable", lambda: None)

    def has(provider=None, parameters=V3, lack=None):
        found = btf.Kfunc(provider, parameters) if provider else None
        monkeypatch.setattr(btf, "find_kfunc", lambda: found)
        monkeypatch.setattr(module, "loaded", lambda: provider == module.MODULE)

        def require(headers):
            assert str(headers) == "/lib/modules/6.12-test/build"
            if lack:
                raise lack
            return ()

        monkeypatch.setattr(kbuild, "require", require)

    has()
    return has


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Record what is built and loaded; building leaves a file."""
    calls = []

    def build(headers, into):
        calls.append(("build", str(headers), str(into)))
        into.mkdir(parents=True, exist_ok=True)
        (into / "bpf_oom_kfunc.ko").write_bytes(elf_file())
        return into / "bpf_oom_kfunc.ko"

    monkeypatch.setattr(module, "build", build)
    monkeypatch.setattr(module, "load", lambda path: calls.append(("load", str(path))))
    monkeypatch.setattr(module, "unload", lambda: calls.append(("unload",)))
    return calls


@pytest.mark.parametrize("provider", ["vmlinux", "bpf_oom_kfunc"])
def test_status_of_a_kernel_that_has_it(run, kernel, provider):
    kernel(provider)
    result = run("status")
    assert result.exit_code == 0
    assert result.stderr == ""
    shown = dict(line.split(None, 1) for line in result.stdout.splitlines() if "can" not in line)
    assert shown == {
        "kernel": "6.12-test",
        "usable": "yes",
        "kfunc": "int bpf_out_of_memory(struct mem_cgroup *memcg__nullable, int order, u64 flags)",
        "provider": provider,
        "variant": "v3",
        "module": "none",
    }


def test_status_as_json(run, kernel):
    kernel("vmlinux", lack=UnsupportedError("no headers", "apt install headers"))
    shown = json.loads(run("status", "--format", "json").stdout)
    assert shown == {
        "schema": 3,
        "kernel": "6.12-test",
        "usable": True,
        "kfunc": btf.Kfunc("vmlinux", V3).signature,
        "provider": "vmlinux",
        "variant": "v3",
        "module": None,
        "can_build": False,
    }


@pytest.mark.parametrize(("user", "command"), [(0, "; oomctl kfunc load"), (7, "; sudo oomctl")])
def test_status_names_the_command_that_helps(run, kernel, monkeypatch, user, command):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    result = run("status")
    assert result.exit_code == 3
    assert "can build  yes" in result.stdout
    assert "(6.12-test) has no bpf_out_of_memory()" + command in result.stderr


def test_status_names_what_a_build_lacks(run, kernel):
    kernel(lack=UnsupportedError("no headers there", "apt install linux-headers"))
    result = run("status")
    assert result.exit_code == 3
    assert "no module for it: no headers there; apt install linux-headers\n" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_status_of_another_shape_does_not_offer_a_module(run, kernel):
    kernel("vmlinux", parameters=V3[:2])
    result = run("status")
    assert result.exit_code == 3
    assert "variant    RFC" in result.stdout
    assert "usable     no" in result.stdout
    assert "another shape (RFC)" in result.stderr
    assert "kfunc load" not in result.stderr


def test_build_for_the_running_kernel(run, kernel, built, tmp_path):
    into = tmp_path / "cache/modules/6.12-test"
    result = run("build")
    assert (result.exit_code, result.stdout) == (0, f"{into}/bpf_oom_kfunc.ko\n")
    assert built == [("build", "/lib/modules/6.12-test/build", str(into))]


def test_build_for_other_headers_goes_by_their_release(run, kernel, built, tmp_path):
    (tmp_path / "include/config").mkdir(parents=True)
    (tmp_path / "include/config/kernel.release").write_text("7.3-mine\n")
    kernel("vmlinux")
    assert run("build", "--headers", str(tmp_path)).exit_code == 0
    assert built == [("build", str(tmp_path), str(tmp_path / "cache/modules/7.3-mine"))]


def test_build_into_a_folder(run, kernel, built, tmp_path):
    result = run("build", "--headers", str(tmp_path), "--into", str(tmp_path / "out"))
    assert result.stdout == f"{tmp_path}/out/bpf_oom_kfunc.ko\n"


@pytest.mark.parametrize("command", ["build", "load"])
def test_a_kernel_that_has_it_needs_no_module(run, kernel, built, command):
    kernel("vmlinux")
    result = run(command)
    assert result.exit_code == 0
    assert "itself (vmlinux); it needs no module" in result.stderr
    assert built == []


def test_headers_of_a_kernel_that_has_it_need_no_module(run, kernel, built, tmp_path):
    (tmp_path / "vmlinux").write_bytes(b"\0bpf_out_of_memory\0")
    result = run("build", "--headers", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "it needs no module" in result.stderr
    assert built == []


@pytest.mark.parametrize("command", ["build", "load"])
def test_a_module_does_not_mend_another_shape(run, kernel, built, command):
    kernel("vmlinux", parameters=V3[:2])
    result = run(command)
    assert result.exit_code == 3
    assert built == []


def test_build_again_while_the_module_is_loaded(run, kernel, built):
    kernel("bpf_oom_kfunc")
    assert run("build").exit_code == 0
    assert [call[0] for call in built] == ["build"]


@pytest.mark.parametrize("command", ["build", "load"])
def test_a_kernel_that_loads_no_modules_gets_none(run, kernel, built, monkeypatch, command):
    """`kfunc build` advised to install headers that such a kernel has nowhere."""

    def refuse():
        raise UnsupportedError("this kernel loads no modules", "use another")

    monkeypatch.setattr(module, "require_modules", refuse)
    result = run(command)
    assert result.exit_code == 3
    assert result.stderr == "oomctl: this kernel loads no modules; use another\n"
    assert built == []


def test_load_builds_first_and_only_once(run, kernel, built, monkeypatch):
    monkeypatch.setattr(kfunc, "require_kfunc", lambda: btf.Kfunc("bpf_oom_kfunc", V3))
    assert run("load").exit_code == 0
    assert [call[0] for call in built] == ["build", "load"]
    assert run("load").exit_code == 0
    assert [call[0] for call in built] == ["build", "load", "load"]


def test_a_module_that_is_cut_is_built_again(run, kernel, built, monkeypatch, tmp_path):
    monkeypatch.setattr(kfunc, "require_kfunc", lambda: btf.Kfunc("bpf_oom_kfunc", V3))
    run("load")
    os.truncate(tmp_path / "cache/modules/6.12-test/bpf_oom_kfunc.ko", 100)
    assert json.loads(run("status", "--format", "json").stdout)["module"] is None
    assert run("load").exit_code == 0
    assert [call[0] for call in built] == ["build", "load", "build", "load"]


def test_load_a_given_module(run, kernel, built, monkeypatch, tmp_path):
    monkeypatch.setattr(kfunc, "require_kfunc", lambda: btf.Kfunc("bpf_oom_kfunc", V3))
    (tmp_path / "mine.ko").write_bytes(elf_file())
    result = run("load", "--module", str(tmp_path / "mine.ko"))
    assert result.exit_code == 0
    assert built == [("load", str(tmp_path / "mine.ko"))]
    assert "u64 flags)" in result.stderr


def test_load_when_nothing_can_be_found_after_it_is_an_error(run, kernel, built):
    result = run("load")
    assert result.exit_code == 3
    assert "has no bpf_out_of_memory()" in result.stderr


def test_load_twice(run, kernel, built):
    kernel("bpf_oom_kfunc")
    result = run("load")
    assert result.exit_code == 0
    assert "loaded already" in result.stderr
    assert built == []


def test_load_a_file_that_is_not_there(run, kernel, built):
    assert run("load", "--module", "/nonexistent/x.ko").exit_code == 2
    assert built == []


def test_unload(run, kernel, built):
    assert run("unload").exit_code == 0
    assert built == []
    kernel("bpf_oom_kfunc")
    assert run("unload").exit_code == 0
    assert built == [("unload",)]


def test_looking_makes_no_folder(run, kernel, tmp_path):
    run("status")
    assert not (tmp_path / "cache").exists()
