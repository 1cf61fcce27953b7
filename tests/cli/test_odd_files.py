"""Files that are no scenario and no record: one line and exit code 2 from every command."""

import os
import threading

import pytest

from tests.cli.command import refused, run
from tests.rounds import alone

COMMANDS = [
    *(("scenario", "check"), ("run", "--dry-run"), ("report",)),
    *(("report", "-f", "json"), ("compare", "sound.jsonl")),
]
KINDS = {
    "folder": "Is a directory",
    "missing": "No such file or directory",
    "loop": "Too many levels of symbolic links",
    "sound.toml/x": "Not a directory",
    "n" * 300: "File name too long",
    "empty": "",
    "binary": "",
    "zeros": "",
    "huge": "",
    "utf16": "",
    "bare\x1b[2Jescape\n": "",
    "/dev/null": "",
    "/dev/zero": "",
    "/dev/full": "",
    "/proc/self/mem": "Input/output error",
    "fifo": "",
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    for name, data in {
        "sound.toml": b"[hog.a]\nsize = 1\n",
        "sound.jsonl": alone().encode(),
        "empty": b"",
        "binary": bytes(range(256)) * 99,
        "zeros": bytes(1 << 20),
        "utf16": "[hog.a]\n".encode("utf-16"),
        "bare\x1b[2Jescape\n": b"\x1b[2J\n",
    }.items():
        (tmp_path / name).write_bytes(data)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_file_of_ours(files, words, name):
    if name == "fifo":
        threading.Thread(target=lambda: os.close(os.open("fifo", os.O_WRONLY))).start()
    refused(run(*words, name), 2, KINDS[name])
