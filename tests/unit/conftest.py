"""A machine with just these programs, and a kernel build folder, both in a temporary folder."""

import resource

import pytest

from oomctl.kmod import kbuild
from oomctl.proc import programs
from oomctl.proc.pidfd import PidfdWatch


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Replace every program of this machine by shell scripts: machine(make="exit 2")."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(programs, "_path", lambda: str(folder))

    def has(**scripts: str) -> None:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return has


@pytest.fixture
def headers(tmp_path):
    """Make a build folder of a kernel built by gcc 12, with these options changed."""

    def make(**config: str):
        folder = tmp_path / "headers"
        options = dict.fromkeys(kbuild.NEEDED, "y") | {"GCC_VERSION": "120200"} | config
        (folder / "include/config").mkdir(parents=True)
        (folder / "include/config/auto.conf").write_text(
            "".join(f"CONFIG_{name}={value}\n" for name, value in options.items())
        )
        (folder / "include/config/kernel.release").write_text("6.12.0-test\n")
        (folder / "Makefile").write_text("include ./scripts/Makefile.lib\n")
        (folder / "vmlinux").write_bytes(b"\0bpf_get_mem_cgroup\0")
        return folder

    return make


@pytest.fixture
def watch():
    """Watch processes; it raises the limit on open files, which is restored."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with PidfdWatch() as watching:
        yield watching
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
