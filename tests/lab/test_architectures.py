"""A guest of another architecture, for real: fetches Debian's kernel and programs for it once."""

import json
import platform

import pytest

from oomctl.oom.enums import VerdictName
from oomctl.proc import programs
from tests.lab.guests import lab, marks

_NEEDED = ("qemu-system-aarch64", "aarch64-linux-gnu-gcc", "make", "pahole")
_missing = [name for name in _NEEDED if programs.which(name) is None]
pytestmark = [
    *marks(1800),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="arm64 is foreign on x86-64 only"),
    pytest.mark.skipif(bool(_missing), reason=f"this machine has no {', '.join(_missing)}"),
]


@pytest.mark.parametrize(("arch", "page_size"), [("arm64", 4096), ("arm64-16k", 16384)])
def test_the_predicted_task_dies_on_another_architecture(arch, page_size):
    done = lab("--arch", arch, "--timeout", "900", "--", "oomctl", "declare", "-f", "json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["environment"]["machine"] == "aarch64"
    assert run["environment"]["page_size_bytes"] == page_size
    (call,) = run["calls"]
    assert call["verdict"] == VerdictName.KILLED
    assert call["prediction"]["agrees"] is True


def test_the_current_folder_is_there_and_can_be_written_to_if_that_is_said(tmp_path):
    (tmp_path / "seen").write_text("1")
    script = "cat seen && ! touch written && cd sub && touch too && uname -m"
    (tmp_path / "sub").mkdir()
    words = ["--arch", "arm64", "--no-kfunc", "--timeout", "900", "--rwdir", "sub"]
    done = lab(*words, "--", "sh", "-c", script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"1aarch64\n"), done.stderr
    assert (tmp_path / "sub/too").exists()
