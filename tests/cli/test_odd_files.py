"""Files that are no scenario and no record: one line and exit code 2 from every command."""

import os
import socket
import threading

import pytest

from oomctl.files import infile
from tests.cli.command import refused, run
from tests.rounds import alone

COMMANDS = [
    *(("scenario", "check"), ("run", "--dry-run"), ("report",)),
    *(("report", "-f", "json"), ("compare", "valid.jsonl")),
]
KINDS = {
    "folder": "Is a directory",
    "missing": "No such file or directory",
    "loop": "Too many levels of symbolic links",
    "valid.toml/x": "Not a directory",
    "n" * 300: "File name too long",
    "empty": "",
    "binary": "",
    "zeros": "",
    "huge": "",
    "utf16": "",
    "bare\x1b[2Jescape\n": "",
    "/dev/null": "Is a device",
    "/dev/zero": "Is a device",
    "/dev/full": "Is a device",
    "/dev/random": "Is a device",
    "/proc/self/mem": "Is a file of /proc",
    "/proc/kmsg": "Is a file of /proc",
    "socket": "Is a socket",
    "fifo": "",
    "lonely": "Is a pipe without a writer",
    "link to lonely": "Is a pipe without a writer",
    "endless": "",
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    os.mkfifo(tmp_path / "lonely")
    (tmp_path / "link to lonely").symlink_to("lonely")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    for name, data in {
        "valid.toml": b"[hog.a]\nsize = 1\n",
        "valid.jsonl": alone().encode(),
        "empty": b"",
        "binary": bytes(range(256)) * 99,
        "zeros": bytes(1 << 20),
        "utf16": "[hog.a]\n".encode("utf-16"),
        "bare\x1b[2Jescape\n": b"\x1b[2J\n",
    }.items():
        (tmp_path / name).write_bytes(data)
    for name, begin in (("huge", b""), ("endless", b"{")):
        with (tmp_path / name).open("wb") as file:
            file.write(begin)
            file.truncate(1 << 40)


@pytest.mark.parametrize("words", [("kfunc", "load"), ("lab", "run"), ("lab", "smoke")])
@pytest.mark.parametrize("name", ["folder", "missing", "/dev/zero", "lonely", "socket"])
def test_what_is_no_module(files, words, name):
    refused(run(*words, "--module", name), 2, "--module")


@pytest.mark.parametrize(
    "words",
    [
        *(
            ("kfunc", "build", "--headers"),
            ("lab", "run", "x", "--rwdir"),
            ("scenario", "new", "-o"),
        ),
        *(("lab", "run", "--dry-run", "x", "--kernel"), ("explain", "valid.toml", "--scenario")),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("cached", [False, True])
def test_a_name_that_is_too_long(files, monkeypatch, tmp_path, words, cached):
    """No traceback: an option's check may be the first to look for the file."""
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    if cached:
        (tmp_path / "cache/kernels").mkdir(parents=True)
    *begin, option = words
    command = [*begin[:2], "-v", option, "n" * 300, *begin[2:]]
    refused(run(*command), 2, "File name too long", "n" * 300)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_file_of_ours(files, monkeypatch, words, name):
    if name == "fifo":
        opened = lambda: os.close(os.open("fifo", os.O_WRONLY))  # noqa: E731
        threading.Thread(target=opened, daemon=True).start()
    elif "lonely" in name:
        monkeypatch.setattr(infile, "PATIENCE", 0.1)
    refused(run(*words, name), 2, KINDS[name])
