import os
from pathlib import Path

import pytest

from oomctl.errors import OomctlError, UnsupportedError, UsageError
from oomctl.kmod import module
from oomctl.resources import kernel_sources

# The stand-in for make: kbuild writes the object into the folder that M= names.
MAKE = """
for argument; do case $argument in M=*) folder=${argument#M=};; esac; done
[ -f "$folder/Kbuild" ] && [ -f "$folder/bpf_oom_kfunc.c" ] || exit 9
echo "$@" >"$folder/bpf_oom_kfunc.ko"
echo BTF bpf_oom_kfunc.ko
"""
BTF = "echo '  [   1c3]  bpf_out_of_memory'"
TOOLS = {"make": MAKE, "gcc-12": "", "pahole": "echo 124", "readelf": BTF}


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary folders go; a test must leave it empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_build_in_a_copy_and_put_the_module_away(machine, headers, tmp_path, scratch):
    machine(**TOOLS)
    folder = headers()
    before = sorted(kernel_sources().iterdir())
    path = module.build(folder, tmp_path / "a" / "b")
    assert path == tmp_path / "a" / "b" / "bpf_oom_kfunc.ko"
    words = path.read_text().split()
    assert words[:2] == ["-C", str(folder)]
    assert words[2].startswith(f"M={scratch}/")
    assert words[3:] == ["CC=gcc-12", "modules"]
    assert sorted(path.parent.iterdir()) == [path]
    assert sorted(kernel_sources().iterdir()) == before


def test_build_tells_the_compilers_error(machine, headers, tmp_path, scratch):
    machine(**TOOLS | {"make": "echo noise; echo 'x.c:7:3: error: no such thing'; exit 2"})
    with pytest.raises(UnsupportedError, match=r"x\.c:7:3: error: no such thing") as caught:
        module.build(headers(), tmp_path / "out")
    assert caught.value.detail.startswith("noise")
    assert not (tmp_path / "out").exists()


def test_a_make_that_succeeds_without_an_object_is_an_error(machine, headers, tmp_path, scratch):
    machine(**TOOLS | {"make": "echo done"})
    with pytest.raises(UnsupportedError, match=r"does not build against .*: done"):
        module.build(headers(), tmp_path)


@pytest.mark.parametrize(
    "readelf",
    [
        "echo \"readelf: Warning: Section '.BTF' was not dumped because it does not exist!\" >&2",
        "echo '  [   1c3]  bpf_out_of_memory_handler'",
    ],
)
def test_an_object_without_btf_of_the_kfunc_is_refused(
    machine, headers, tmp_path, scratch, readelf
):
    machine(**TOOLS | {"readelf": readelf})
    with pytest.raises(UnsupportedError, match="pahole made no BTF"):
        module.build(headers(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_old_pahole_is_named(machine, headers, tmp_path, scratch):
    machine(**TOOLS | {"readelf": "echo"})
    with pytest.raises(UnsupportedError, match="pahole 124 is older than the 130"):
        module.build(headers(PAHOLE_VERSION="130"), tmp_path / "out")


def test_an_output_folder_that_cannot_be(machine, headers, tmp_path, scratch):
    machine(**TOOLS)
    (tmp_path / "file").touch()
    with pytest.raises(OomctlError, match=r"cannot write .*: Not a directory") as caught:
        module.build(headers(), tmp_path / "file" / "out")
    assert "--into" in caught.value.hint


def test_fresh_means_newer_than_sources_and_kernel(headers, tmp_path):
    path, folder = tmp_path / "x.ko", headers()
    assert not module.fresh(path, folder)
    path.touch()
    newest = max(file.stat().st_mtime for file in [*kernel_sources().iterdir(), folder / "vmlinux"])
    os.utime(path, (newest + 1, newest + 1))
    assert module.fresh(path, folder)
    assert module.fresh(path, tmp_path / "no headers")
    os.utime(folder / "vmlinux", (newest + 2, newest + 2))
    assert not module.fresh(path, folder)
    os.utime(path, (1, 1))
    assert not module.fresh(path, tmp_path / "no headers")


@pytest.fixture
def kernel(tmp_path):
    """Make a fake /proc and /sys; return what refusal() says in it."""

    def refuse(message: str, lockdown: str | None = None, disabled: str = "0") -> OomctlError:
        (tmp_path / "sys/kernel").mkdir(parents=True)
        (tmp_path / "sys/kernel/modules_disabled").write_text(f"{disabled}\n")
        if lockdown:
            (tmp_path / "kernel/security").mkdir(parents=True)
            (tmp_path / "kernel/security/lockdown").write_text(f"{lockdown}\n")
        text = f"insmod: ERROR: could not insert module x.ko: {message}"
        return module.refusal(text, Path("x.ko"), proc=tmp_path, sys=tmp_path)

    return refuse


@pytest.mark.parametrize(
    ("message", "state", "cause"),
    [
        ("Operation not permitted", {"disabled": "1"}, "modules_disabled=1"),
        ("Operation not permitted", {"lockdown": "none [integrity] confidentiality"}, "signed"),
        ("Operation not permitted", {"lockdown": "[none] integrity confidentiality"}, "container"),
        ("Operation not permitted", {}, "container"),
        ("Key was rejected by service", {}, "signed"),
        ("Required key not available", {"lockdown": "[none] integrity"}, "signed"),
        ("Invalid module format", {}, "was built for 7.3.4-other,"),
        ("Exec format error", {"disabled": "1"}, "was built for 7.3.4-other,"),
        ("File exists", {}, "loaded already"),
        ("Unknown symbol in module", {}, "could not insert module x.ko: Unknown symbol"),
    ],
)
def test_refusal_finds_the_cause(machine, kernel, message, state, cause):
    machine(modinfo="echo 7.3.4-other SMP preempt mod_unload")
    error = kernel(message, **state)
    assert cause in error.why
    assert error.hint


def test_a_file_that_is_not_a_module(machine, kernel):
    machine(modinfo="echo modinfo: ERROR: could not get modinfo; exit 1")
    assert isinstance(kernel("Invalid module format"), UsageError)


def test_a_kernel_without_modules_says_so_before_insmod(machine, monkeypatch):
    monkeypatch.setattr(module, "_LOADED", Path("/nonexistent"))
    machine(insmod="exit 1")
    with pytest.raises(UnsupportedError, match="loads no modules"):
        module.load(Path("x.ko"))


def test_loaded_compares_the_whole_name(tmp_path, monkeypatch):
    modules = tmp_path / "modules"
    monkeypatch.setattr(module, "_LOADED", modules)
    assert not module.loaded()
    modules.write_text("bpf_oom_kfunc_other 1 0 - Live 0\n")
    assert not module.loaded()
    modules.write_text("ext4 1 0 - Live 0\nbpf_oom_kfunc 16384 0 - Live 0\n")
    assert module.loaded()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "_LOADED", tmp_path)


def test_unload_waits_for_a_program_that_just_ended(machine, root, tmp_path):
    mark = tmp_path / "mark"
    machine(rmmod=f"[ -e {mark} ] || {{ : >{mark}; echo Module $1 is in use; exit 1; }}")
    module.unload()


def test_unload_gives_up_on_a_program_that_stays(machine, root, monkeypatch):
    monkeypatch.setattr(module, "_UNPIN_SECONDS", 0.2)
    machine(rmmod="echo ERROR: Module $1 is in use; exit 1")
    with pytest.raises(OomctlError, match="a loaded BPF program uses the kfunc"):
        module.unload()


def test_a_module_whose_btf_the_kernel_ignored_is_unloaded_again(machine, root, tmp_path):
    machine(insmod="", rmmod=f"echo $1 >{tmp_path}/removed")
    with pytest.raises(UnsupportedError, match="without its BTF, which does not match"):
        module.load(Path("x.ko"))
    assert (tmp_path / "removed").read_text() == "bpf_oom_kfunc\n"


@pytest.mark.parametrize("action", [lambda: module.load(Path("x.ko")), module.unload])
def test_only_root_may(action, root, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnsupportedError, match="needs root"):
        action()
