"""The guest's initramfs: the archive that the kernel unpacks, and words that arrive unchanged."""

import json
import os
import shutil
import subprocess

import pytest

from oomctl.lab import initramfs

WORDS = [
    "plain",
    "two words",
    "",
    'it\'s "quoted" \\ $HOME `id` $(id) *',
    "new\nline\ttab",
    "-n",
    "ünïcødé ✓",
    os.fsdecode(b"\xff\xfe raw"),
]


def shell(script, **environment):
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, check=True)


def test_words_environment_and_folder_arrive_exactly(tmp_path):
    folder = tmp_path / "sp ace'\n"
    folder.mkdir()
    environment = {"PATH": os.environ["PATH"], "ODD": WORDS[3], "RAW": WORDS[-1]}
    script = tmp_path / "command"
    show = 'printf "%s\\0" "$@" "$ODD" "$RAW" "$PWD"'
    words = ["sh", "-c", show, "sh", *WORDS]
    script.write_bytes(initramfs.command(words, environment, str(folder)))
    done = shell(f". {script}", setsid=str(shutil.which("setsid")))
    arrived = [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]
    assert arrived == [*WORDS, environment["ODD"], environment["RAW"], str(folder)]


def test_command_that_does_not_exist_is_127(tmp_path):
    script = tmp_path / "command"
    script.write_bytes(initramfs.command(["no-such-program"], {"PATH": os.environ["PATH"]}, "/"))
    setsid = {"setsid": str(shutil.which("setsid"))}
    done = subprocess.run(["sh", script], env=setsid, capture_output=True, check=False)
    assert done.returncode == 127
    assert b"no-such-program" in done.stderr


def test_a_request_is_asked_before_the_words(tmp_path):
    script = tmp_path / "command"
    request = json.dumps({"words": WORDS})
    script.write_bytes(initramfs.command(["true"], {"PATH": "/bin"}, "/tmp", request=request))
    done = shell(f'ask() {{ printf "%s|%s" "$PWD" "$1"; exit; }}; . {script}')
    folder, _, asked = done.stdout.decode().partition("|")
    assert folder == "/tmp"
    assert json.loads(asked) == {"words": WORDS}


def test_settings_are_shell_text(tmp_path):
    script = tmp_path / "settings"
    script.write_bytes(initramfs.settings(nonce="ab", empty="", rwdir0="/a b'c", number=5))
    done = shell(f'. {script}; printf "%s|" "$nonce" "$empty" "$rwdir0" "$number"')
    assert done.stdout == b"ab||/a b'c|5|"


def test_archive_pads_each_entry_to_four_bytes():
    data = initramfs.archive({"init": b"x" * 5, "lab/command": b""})
    assert len(data) % 4 == 0
    assert data.startswith(b"070701")
    assert data.index(b"lab\0") < data.index(b"lab/command\0") < data.index(b"TRAILER!!!\0")


@pytest.mark.skipif(
    not shutil.which("busybox") and not shutil.which("cpio"), reason="needs cpio or busybox"
)
def test_archive_unpacks(tmp_path):
    files = {"init": b"#!/bin/sh\n", "lab/a": os.urandom(1001), "lab/deep/b": b""}
    links = {"lab/link": "deep/b", "other/link": "../init"}
    cpio = ["cpio"] if shutil.which("cpio") else ["busybox", "cpio"]
    subprocess.run(
        [*cpio, "-i", "-d"],
        input=initramfs.archive(files, ["an/empty/folder", "an/empty", "an"], links),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert {
        str(p.relative_to(tmp_path)): p.read_bytes()
        for p in tmp_path.rglob("*")
        if p.is_file() and not p.is_symlink()
    } == files
    assert {name: str((tmp_path / name).readlink()) for name in links} == links
    assert (tmp_path / "an/empty/folder").is_dir()
    assert os.access(tmp_path / "init", os.X_OK)


def test_guest_scripts_are_valid_shell():
    for name, data in initramfs.guest_files(None, look=False).items():
        if data.startswith(b"#!") or name.endswith(".sh"):
            subprocess.run(["sh", "-n"], input=data, check=True)


def test_the_module_and_what_is_known_of_the_kfunc_are_in_the_initramfs(tmp_path):
    module = tmp_path / "a_module.ko"
    module.write_bytes(b"\x7fELF")
    files = initramfs.guest_files(module, look=True)
    assert files["lab/a_module.ko"] == b"\x7fELF"
    assert files["lab/kernel"] == b"module=a_module\nlook=yes\n"
    assert initramfs.guest_files(None, look=False)["lab/kernel"] == b"module=''\nlook=''\n"
