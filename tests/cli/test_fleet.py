"""`oomctl fleet` over local connections: `doctor` only, which changes nothing on this machine."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import oomctl
from oomctl.fleet import bundle
from tests.cli.command import refused, run
from tests.schemas import validator

LOCAL = "ansible_connection=local"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Write the inventory; check that nothing is left on the hosts, here, or in the cache."""
    base = tmp_path / "hosts"
    base.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "ansible.cfg"))

    def write(*hosts):
        python = f"ansible_python_interpreter={sys.executable}"
        lines = [*hosts, "[all:vars]", f"oomctl_folder={base}", python, ""]
        Path("inventory").write_text("\n".join(lines))
        return "inventory"

    yield write
    assert not [*base.iterdir()]
    assert not [*tmp_path.glob("cache/scratch/*/")]
    mine = [p for p in psutil.process_iter(["cwd"]) if str(base) in (p.info["cwd"] or "")]
    assert not psutil.wait_procs(mine, 30)[1]  # a supervisor ends just after its folder


def fleet(*words):
    """Run it as a process of its own: ansible-runner has threads, and Ansible forks."""
    command = [sys.executable, "-m", "oomctl", "fleet", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_three_hosts_are_examined(here):
    inventory = here(f"a {LOCAL}", f"b {LOCAL}", f"c {LOCAL}")
    forms = ("-f", "json", "-f", "html=page.html")
    done = fleet("-i", inventory, "--records", "kept", *forms, "--", "doctor")
    tree = json.loads(done.stdout)
    validator("fleet-schema.json").validate(tree)
    assert [host["state"] for host in tree["hosts"]] == ["done"] * 3, done.stderr
    assert {host["host"] for host in tree["hosts"]} == {"a", "b", "c"}
    assert {host["exit"] for host in tree["hosts"]} == {done.returncode}
    assert "of 3 hosts as wanted" in Path("page.html").read_text()
    record = json.loads(Path("kept/a.jsonl").read_text())
    assert record["fit"] is (done.returncode == 0)
    assert sum(tree["hosts"][0]["counts"]["checks"].values()) == len(record["checks"])
    assert {"oomctl: a: running", "oomctl: c: done"} <= {
        line.partition(", ")[0] for line in done.stderr.splitlines()
    }
    assert done.stderr.splitlines()[-1] == "oomctl: the records are in kept"


def test_a_host_that_cannot_is_a_line_and_the_others_go_on(here):
    nowhere = "ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh"
    python = "ansible_python_interpreter=/nowhere/python"
    inventory = here(f"a {LOCAL}", f"b {LOCAL} {python}", f"c {nowhere}")
    done = fleet("-i", inventory, "--", "doctor")
    assert done.returncode == 4
    lines = done.stderr.splitlines()
    assert "oomctl: b: refused, it has no such Python; set ansible_python_interpreter" in lines
    assert any(line.startswith("oomctl: c: unreachable, ") for line in lines)
    assert any(line.startswith("oomctl: a: done") for line in lines)
    assert "Traceback" not in done.stderr


def test_a_host_that_is_not_expendable_is_refused_and_nothing_begins(here):
    inventory = here(f"a {LOCAL}")
    for words in (["declare", "--global"], ["smoke", "--disposable", "panic"]):
        done = fleet("-i", inventory, "--", *words)
        assert done.returncode == 2
        assert "a: refused, " in done.stderr
        assert "needs oomctl_expendable=true for this host" in done.stderr
        assert "starting" not in done.stderr
    assert not [*Path().glob("oomctl-fleet-*")]


@pytest.mark.parametrize(
    ("text", "more", "says"),
    [
        ("", [], "no host in inventory: "),
        ("a: [b\n", [], "no host in inventory: "),
        (f"a {LOCAL}\n", ["--limit", "nix"], "Could not match supplied host pattern"),
    ],
)
def test_an_inventory_without_hosts_is_a_line(here, text, more, says):
    here()
    Path("inventory").write_text(text)
    done = fleet("-i", "inventory", *more, "--", "doctor")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert says in line


def test_ctrl_c_ends_it_everywhere(here):
    inventory = here(*(f"m{number} {LOCAL}" for number in range(30)))
    command = [sys.executable, "-m", "oomctl", "fleet", "-i", inventory, "--forks", "1"]
    with subprocess.Popen([*command, "--", "doctor"], stderr=subprocess.PIPE, text=True) as process:
        told = ""
        while ": running" not in told:
            told += process.stderr.readline()
            assert process.poll() is None, told
        process.send_signal(signal.SIGINT)
        told += process.stderr.read()
    assert process.returncode == 130, told
    assert told.splitlines()[-1].startswith("oomctl: ended by SIGINT")
    assert "m29" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lab"], "'lab' is no command for a fleet; take smoke, run, declare, doctor"),
        (["smoke", "zork"], "no case matches 'zork'"),
        (["smoke", "-f", "tap"], "--format has no effect"),
        (["declare", "--order", "x"], "'x' is not a whole number"),
        (["declare", "--keep"], "--keep has no effect"),
        (["run", "nix.toml"], "nix.toml"),
    ],
)
def test_a_wrong_command_is_refused_here(words, says):
    refused(run("fleet", "-i", "m1,", "--", *words), 2, says)


def test_without_ansible_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "ansible_runner", None)
    refused(run("fleet", "-i", "m1,", "--", "doctor"), 3, "pip install 'oomctl[fleet]'")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_records_go_to_a_new_folder(tmp_path):
    told = run("fleet", "-i", "m1,", "--records", tmp_path, "--", "doctor")
    refused(told, 2, "--records", "name a new folder")


@pytest.mark.parametrize(
    ("words", "name", "value", "says"),
    [
        (["doctor"], "machine", "sparc64", "this oomctl is for sparc64"),
        (["run", "x.toml"], "python_version", "3.99.1", "scenarios need 3.99, as here"),
        (["doctor"], "", "", "cannot unpack oomctl into "),
    ],
)
def test_a_host_on_which_this_oomctl_cannot_run(tmp_path, monkeypatch, words, name, value, says):
    archive, folder = tmp_path / "oomctl.pyz", tmp_path / "folder"
    with monkeypatch.context() as patch:
        if name:
            patch.setattr(platform, name, lambda: value)
        else:
            folder = archive / "folder"
        bundle.pack(archive, words, [])
    start = [sys.executable, archive, "start", folder, ""]
    told = subprocess.run(start, capture_output=True, check=True)
    assert says in json.loads(told.stdout)["error"]
    assert not folder.exists()


def test_scenarios_are_sent_and_named_as_they_are_there(tmp_path):
    archive, scenario = tmp_path / "oomctl.pyz", tmp_path / "mine.toml"
    scenario.write_text("x = 1\n")
    bundle.pack(archive, ["run", str(scenario), "--repeat", "2"], [scenario])
    with zipfile.ZipFile(archive) as packed:
        words = json.loads(packed.read("job.json"))["words"]
        assert words == ["run", "files/0/mine.toml", "--repeat", "2"]
        assert packed.read("files/0/mine.toml") == b"x = 1\n"
        names = packed.namelist()
    assert {"psutil/__init__.py", "pydantic/__init__.py", "oomctl/fleet/agent.py"} <= {*names}
    assert not [name for name in names if name.startswith(("pygments", "ansible"))]


@pytest.fixture
def unpacked(tmp_path):
    """The folder of a host on which `doctor` was started; in the end it is not polled any more."""
    archive, folder = tmp_path / "oomctl.pyz", tmp_path / "folder"
    bundle.pack(archive, ["doctor"], [])
    start = [sys.executable, archive, "start", folder, ""]
    started = subprocess.run(start, capture_output=True, check=True)
    assert "boot" in json.loads(started.stdout)
    yield folder
    with suppress(FileNotFoundError):
        os.utime(folder / "lease", (0, 0))
    end = time.monotonic() + 30
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not folder.exists()


def test_what_is_not_polled_ends_by_itself(unpacked):
    """A lost connection, or a dead oomctl here, leaves nothing on a host."""
    agent = [sys.executable, "-m", "oomctl.fleet.agent"]
    polled = subprocess.run([*agent, "poll"], cwd=unpacked, capture_output=True, check=True)
    assert json.loads(polled.stdout)["boot"]


def test_what_is_executable_here_is_so_on_a_host(unpacked):
    package = Path(oomctl.__file__).parent
    programs = {
        path.relative_to(package.parent)
        for path in package.rglob("*")
        if path.is_file() and os.access(path, os.X_OK)
    }
    assert {path.stem for path in programs} >= {"hog", "caller"}
    there = {
        path.relative_to(unpacked)
        for path in (unpacked / "oomctl").rglob("*")
        if path.is_file() and path.stat().st_mode & 0o100
    }
    assert there == programs
