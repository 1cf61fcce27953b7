"""Kernels built for the lab, with a tree that make builds in no time."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oomctl import cache
from oomctl.errors import OomctlError, UnsupportedError, UsageError
from oomctl.kmod import kbuild
from oomctl.lab import build, cached, source
from oomctl.lab.cached import Flavour
from oomctl.oom.enums import KfuncPlace
from oomctl.proc import programs
from tests.unit.lab.fake_tree import fake_tree

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "require_tools", lambda: None)


@pytest.fixture
def tree(tmp_path):
    return fake_tree(tmp_path / "linux")


def built(path, flavour=Flavour.PLAIN, fragments=()):
    return build.build(build.plan(source.given(path), flavour, fragments, 2))


def times(path=None):
    """Count how often make has built, over all folders or in that of a tree."""
    found = cache.place("builds").glob("*/objects/built")
    return sum(len(file.read_text().split()) for file in found)


def placed():
    (found,) = cache.place("builds").glob("*/source")
    return found


def test_a_kernel_is_built_once(tree):
    found = built(tree)
    assert (found.release, found.kfunc) == ("9.9-mine", KfuncPlace.BUILT_IN)
    assert found.config["MEMCG"] == "y"
    assert found.modules is not None
    assert not (tree / "mm/oomctl_kfunc.c").exists()
    assert sorted(path.name for path in placed().glob("mm/*")) == [
        "Makefile",
        "oom_kill.c",
        "oomctl_kfunc.c",
    ]
    assert (placed() / "mm/Makefile").read_text().count("oomctl_kfunc.o") == 1
    assert cached.reference() == found == built(tree)
    assert times() == 1


@pytest.mark.parametrize("change", ["source", "kfunc", "config", "flavour"])
def test_it_is_built_again_if_what_it_depends_on_has_changed(tree, tmp_path, monkeypatch, change):
    first = built(tree)
    flavour, fragments = Flavour.PLAIN, []
    match change:
        case "source":
            (tree / "mm/oom_kill.c").write_text("out_of_memory, better\n")
        case "kfunc":
            sources = tmp_path / "sources"
            sources.mkdir()
            (sources / "bpf_oom_kfunc.c").write_text("bpf_out_of_memory, broken\n")
            monkeypatch.setattr(build.resources, "kernel_sources", lambda: sources)
        case "config":
            fragments = [tmp_path / "fragment"]
            fragments[0].write_text("CONFIG_KSM=n\n")
        case "flavour":
            flavour = Flavour.LOCKDEP
    second = built(tree, flavour, fragments)
    assert first.image != second.image
    assert first.image.exists()
    assert times() == 2
    folders = len([*cache.place("builds").glob("*/objects")])
    assert folders == (2 if change == "flavour" else 1)


def test_a_source_that_has_the_kfunc_is_built_as_it_is(tmp_path):
    built(fake_tree(tmp_path / "linux", kfunc=True))
    assert not (placed() / "mm/oomctl_kfunc.c").exists()
    assert (placed() / "mm/Makefile").read_text() == "obj-y += oom_kill.o\n"


def test_a_source_with_our_file_in_another_version_is_built_as_it_is(tree):
    theirs = tree / "mm/bpf_oom_kfunc.c"
    theirs.write_text("bpf_out_of_memory, theirs\n")
    (tree / "mm/Makefile").write_text("obj-y += oom_kill.o\nobj-y += bpf_oom_kfunc.o\n")
    built(tree)
    assert not (placed() / "mm/oomctl_kfunc.c").exists()
    assert (placed() / "mm/bpf_oom_kfunc.c").read_text() == theirs.read_text()
    assert (placed() / "mm/Makefile").read_text() == (tree / "mm/Makefile").read_text()


def test_files_that_did_not_change_keep_their_times_and_removed_ones_go(tree):
    (tree / "mm/gone.c").write_text("")
    (tree / "mm/link.c").symlink_to("oom_kill.c")
    built(tree)
    before = (placed() / "mm/oom_kill.c").stat()
    (tree / "mm/gone.c").unlink()
    (tree / "mm/new.c").write_text("")
    built(tree)
    assert (placed() / "mm/oom_kill.c").stat() == before
    assert not (placed() / "mm/gone.c").exists()
    assert (placed() / "mm/new.c").exists()
    assert (placed() / "mm/link.c").readlink() == Path("oom_kill.c")


def test_a_tarball(tree, tmp_path):
    tarball = tmp_path / "linux-9.9.tar.gz"
    subprocess.run(["tar", "-czf", tarball, "-C", tmp_path, "linux"], check=True)
    assert built(tarball).release == "9.9-mine"
    assert built(tarball).release == "9.9-mine"
    assert times() == 1
    assert "linux-9.9-plain-" in str(placed())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "--source: .*/nothing does not exist"),
        ("text", "cannot unpack .*/text: .*does not look like a tar"),
        ("other.tar", "is not a kernel source tree: it has no Makefile"),
        ("empty", "is not a kernel source tree: it has no Makefile"),
        ("built", "was built in, and is no git tree"),
    ],
)
def test_what_is_not_a_source(tmp_path, name, why):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    subprocess.run(
        ["tar", "-cf", tmp_path / "other.tar", "-C", tmp_path, "empty", "text"], check=True
    )
    fake_tree(tmp_path / "built")
    (tmp_path / "built/.config").touch()
    (tmp_path / "built/.git").rename(tmp_path / "away")
    with pytest.raises(UsageError, match=why):
        built(tmp_path / name)
    assert not [*cached.home().glob("*/")]


def test_a_build_that_fails_says_why_and_goes_on_later(tree):
    (tree / "fail").touch()
    with pytest.raises(OomctlError, match=r"building linux failed: mm/oom_kill.c:1: error: oh no"):
        built(tree)
    assert not [*cached.home().glob("*/")]
    (tree / "fail").unlink()
    assert built(tree).release == "9.9-mine"


def test_a_configuration_that_the_lab_cannot_use_is_told_and_not_kept(tree, tmp_path, capsys):
    fragment = tmp_path / "fragment"
    fragment.write_text("CONFIG_MEMCG=n\nCONFIG_LOST=y\n")
    with pytest.raises(UnsupportedError, match="is built without CONFIG_MEMCG"):
        built(tree, fragments=[fragment])
    assert not [*cached.home().glob("*/")]
    assert "the kernel did not take CONFIG_LOST=y" in capsys.readouterr().err


def test_without_space(tree, monkeypatch):
    usage = shutil.disk_usage(tree)._replace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(OomctlError, match=r"a build needs 4G below .*, and 1G are free; free some"):
        built(tree)


def test_programs_that_are_missing_are_named_at_once(monkeypatch):
    monkeypatch.undo()
    which = programs.which
    lacks = ("flex", "bison")
    monkeypatch.setattr(
        programs, "which", lambda name: None if name in lacks else which(name) or f"/bin/{name}"
    )
    with pytest.raises(UnsupportedError, match=r"lacks bison, flex.*; apt install bison flex"):
        build.require_tools()


def test_every_line_of_the_fragments_is_an_option():
    for path in (ROOT / "oomctl/lab").glob("kernel*.config"):
        lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        assert len(kbuild.parse_config(path.read_text())) == len(lines), path
    needed = kbuild.parse_config((ROOT / "oomctl/lab/kernel.config").read_text())
    for option in ("MEMCG", "PSI", "SWAP", "ZRAM", "9P_FS", "VIRTIO_FS", "HUGETLBFS"):
        assert needed[option] == "y"


BUILD = """
import sys
from pathlib import Path
from oomctl.lab import build, source
from oomctl.lab.cached import Flavour

build.require_tools = lambda: None
print(build.build(build.plan(source.given(Path(sys.argv[1])), Flavour.PLAIN, (), 2)).release)
"""


def start(tree):
    words = [sys.executable, "-c", BUILD, str(tree)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def sleepers():
    found = subprocess.run(["pgrep", "-f", "^sleep 1000$"], capture_output=True, check=False)
    return set(found.stdout.split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_no_compiler_and_goes_on(tree, number):
    before = sleepers()
    (tree / "hang").touch()
    process = start(tree)
    wait_until(lambda: [*cache.place("builds").glob("*/objects/hangs")])
    wait_until(lambda: sleepers() - before)
    process.send_signal(number)
    process.communicate(timeout=30)
    wait_until(lambda: not sleepers() - before)
    assert not [*cached.home().glob("*/")]
    (tree / "hang").unlink()
    assert built(tree).release == "9.9-mine"


def test_two_at_once_build_once(tree):
    both = [start(tree), start(tree)]
    said = [process.communicate(timeout=60) for process in both]
    assert [out for out, _err in said] == [b"9.9-mine\n"] * 2, said
    assert times() == 1
    assert len([*cached.home().glob("*/")]) == 1
