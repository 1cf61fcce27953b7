"""examples/bisect.sh on a kernel tree: of four commits one breaks the kfunc, and is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.lab import source
from tests.lab.guests import marks
from tests.lab.mutants import MUTATIONS

SCRIPT = Path(__file__).parents[2] / "examples" / "bisect.sh"
pytestmark = [
    *marks(7200),
    pytest.mark.skipif(
        os.environ.get("OOMCTL_BUILD_TESTS") != "1",
        reason="compiles a kernel, half an hour: set OOMCTL_BUILD_TESTS=1 as well",
    ),
]


def git(tree, *words):
    words = ["git", "-C", tree, "-c", "user.name=a", "-c", "user.email=a@b", *words]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commit_that_breaks_the_kfunc_is_named(tmp_path):
    tree = tmp_path / "linux"
    source.newest(False).place(tree)
    kfunc, makefile = tree / "mm/bpf_oom_kfunc.c", tree / "mm/Makefile"
    text = (resources.kernel_sources() / kfunc.name).read_text()
    (mutation,) = [each for each in MUTATIONS if each.name == "order-check-removed"]
    assert text.count(mutation.old) == 1
    broken = text.replace(mutation.old, mutation.new)
    makefile.write_text(f"{makefile.read_text()}obj-y += {kfunc.stem}.o\n")
    git(tree, "init", "-q")
    for subject, content in (
        ("mm: add bpf_out_of_memory()", text),
        ("mm: one more comment", f"{text}/* one */\n"),
        ("mm: break it", f"{broken}/* one */\n"),
        ("mm: two more comments", f"{broken}/* one */\n/* two */\n"),
    ):
        kfunc.write_text(content)
        git(tree, "add", "--all", "--force")  # Debian's .gitignore names every file
        git(tree, "commit", "-qm", subject)
    git(tree, "bisect", "start", "HEAD", "HEAD~3")
    said = git(tree, "bisect", "run", str(SCRIPT), "arguments.order-max-plus-1")
    assert "is the first bad commit" in said
    assert "mm: break it" in said
