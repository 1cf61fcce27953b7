"""Saved machines: which fit, what is refused, what is removed."""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from oomctl import cache
from oomctl.lab import monitor, saved, tools
from oomctl.lab.qemu import Machine


@pytest.fixture
def vm(tmp_path, monkeypatch):
    """A machine whose image and programs are files of the test."""
    for name in ("image", "qemu", "virtme_run", "busybox"):
        path = tmp_path / name
        path.write_text(name)
        if name != "image":
            monkeypatch.setattr(tools, name, lambda path=path: path)
    return Machine(tmp_path / "image", saves=True)


def key(vm, files=(("init", b"x"),), modules=None):
    return saved.key(vm, dict(files), modules)


def test_machines_that_only_mount_other_folders_are_the_same(vm):
    one = replace(vm, rwdirs=(Path("/a"),), disk=Path("/d/1"), forward=2000, zram=1 << 24)
    other = replace(vm, rwdirs=(Path("/b"),), disk=Path("/d/2"), forward=3000)
    assert key(one) == key(other)
    assert key(one) != key(replace(one, rwdirs=(Path("/a"), Path("/b"))))
    assert key(one) != key(replace(one, forward=0))


@pytest.mark.parametrize(
    "changed",
    [{"memory_mib": 512}, {"cpus": 1}, {"nodes": 2}, {"swap": 1 << 24}, {"append": ("psi=0",)}],
)
def test_another_machine_does_not_fit(vm, changed):
    assert key(replace(vm, **changed)) != key(vm)


@pytest.mark.parametrize("name", ["image", "qemu", "virtme_run", "busybox"])
def test_what_was_replaced_since_does_not_fit(vm, tmp_path, name):
    before = key(vm)
    (tmp_path / name).write_text("another")
    assert key(vm) != before
    (tmp_path / name).unlink()
    assert key(vm) != before


def test_other_scripts_or_another_module_do_not_fit(vm, tmp_path):
    assert key(vm, {"init": b"y"}.items()) != key(vm)
    assert key(vm, {"init": b"x", "lab/m.ko": b""}.items()) != key(vm)
    assert key(vm, modules=tmp_path) != key(vm)


def test_another_python_that_waits_does_not_fit(vm):
    keys = {saved.key(vm, {}, None, python) for python in ("", "a", "b")}
    assert len(keys) == 3


@pytest.fixture
def writes(monkeypatch, tmp_path):
    """An empty cache, and a QEMU that writes its state or does what the test has it do."""
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    ways = {"how": lambda path: Path(path).write_bytes(b"state")}
    monkeypatch.setattr(monitor, "write_state", lambda _monitor, path, _left: ways["how"](path))
    return ways


def save(name="a"):
    with socket.socket() as nothing:
        saved.save(name, nothing, "qemu -m 1", 10)


def is_found(name="a"):
    with saved.found(name) as found:
        return found is not None


def test_a_saved_machine_is_found_with_what_virtme_said(writes):
    assert not is_found()
    save()
    with saved.found("a") as found:
        assert found.state.read_bytes() == b"state"
        assert found.virtme_output == "qemu -m 1"
    saved.discard("a")
    assert not is_found()


@pytest.mark.parametrize(
    "damage",
    [
        lambda home: (home / "state").write_bytes(b"stat"),
        lambda home: (home / "state").unlink(),
        lambda home: (home / "machine.json").write_text("{"),
        lambda home: (home / "machine.json").write_text("[]"),
        lambda home: (home / "machine.json").write_text(json.dumps({"sha256": "0"})),
    ],
)
def test_a_damaged_one_is_not_found_and_is_replaced(writes, damage):
    save()
    damage(cache.place("machines", "a"))
    assert not is_found()
    save()
    assert is_found()


def test_a_machine_that_cannot_be_saved_leaves_nothing(writes):
    def fail(_path):
        raise OSError("no space")

    writes["how"] = fail
    with pytest.raises(OSError, match="no space"):
        save()
    assert not is_found()
    assert not [*cache.folder("scratch").glob("machine-*")]


def test_of_two_that_save_the_same_one_is_kept(writes):
    def other_first(path):
        writes["how"] = lambda path: Path(path).write_bytes(b"state")
        save()
        Path(path).write_bytes(b"another")

    writes["how"] = other_first
    save()
    assert is_found()
    assert not [*cache.folder("scratch").glob("machine-*")]


def test_a_place_that_another_has_taken_since_is_left(writes, monkeypatch):
    save()
    monkeypatch.setattr(cache, "remove_unused", lambda _path: True)
    save()
    assert is_found()


def test_nothing_is_saved_on_a_file_system_that_is_nearly_full(writes, monkeypatch):
    monkeypatch.setattr(saved, "_SPACE", 1 << 60)
    save()
    assert not is_found()


def test_the_oldest_go_but_for_one_that_is_in_use(writes, monkeypatch):
    monkeypatch.setattr(saved, "_KEPT", 2)
    for age, name in enumerate("abc"):
        save(name)
        os.utime(cache.place("machines", name), (age, age))
    with saved.found("b"):
        save("d")
        save("e")
    assert [name for name in "abcde" if is_found(name)] == ["b", "d", "e"]
