"""The root of a guest of another architecture: its folders, variables and wheels."""

import contextlib
import platform
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import oomctl
from oomctl import cache
from oomctl.errors import OomctlError, UsageError
from oomctl.lab import apt, guest_root, suites
from oomctl.lab.architecture import ARM, X86

CHECKOUT = Path(oomctl.__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(apt, "machine_codename", lambda: "bookworm")


@pytest.fixture
def debian(monkeypatch, tmp_path):
    """An archive with one package; pip, whose words are kept in `pip`, has what was asked for."""
    has = SimpleNamespace(pip=[], status=0)
    tree = tmp_path / "tree"
    for name in ("passwd", "group"):
        master = tree / f"usr/share/base-passwd/{name}.master"
        master.parent.mkdir(parents=True, exist_ok=True)
        master.write_text("root:*:0:0:root:/root:/bin/bash\n")
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/python3").symlink_to("python3.11")
    (tree / "bin").mkdir()
    (tree / "etc").mkdir()
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: all\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    )

    def fetch_all(_names, into):
        subprocess.run(["dpkg-deb", "-b", str(tree), str(into / "all.deb")], check=True)
        return [into / "all.deb"]

    @contextlib.contextmanager
    def opened(suite, arch):
        assert (suite, arch) == ("bookworm", "arm64")
        yield SimpleNamespace(fetch_all=fetch_all)

    real = guest_root.programs.run

    def run(*words, **more):
        if "pip" not in words:
            return real(*words, **more)
        has.pip.append(words)
        return has.status, "ERROR: No matching distribution found for psutil\n"

    monkeypatch.setattr(suites, "open_archive", opened)
    monkeypatch.setattr(guest_root.programs, "run", run)
    return has


def test_a_root_is_made_once(debian):
    with pytest.raises(UsageError, match="not fetched yet; oomctl lab fetch --arch arm64"):
        guest_root.find(ARM)
    with guest_root.in_use(ARM) as root, guest_root.in_use(ARM) as again:
        assert root == again == guest_root.find(ARM)
        assert (root / "etc/passwd").read_text().startswith("root:")
        assert not (root / "bin").is_symlink()
        assert (root / "lib").readlink() == Path("usr/lib")
        assert (root / "usr/local/bin/oomctl").stat().st_mode & 0o111
        assert not cache.remove_unused(root)
    (words,) = debian.pip
    assert words[-2].startswith("psutil==")
    assert words[-1].startswith("pydantic-core==") or words[-1].startswith("pydantic_core==")
    assert "manylinux2014_aarch64" in words
    assert words[words.index("--python-version") + 1] == "3.11"


def test_a_root_of_older_packages_is_replaced(debian, monkeypatch):
    with guest_root.in_use(ARM) as old:
        pass
    monkeypatch.setattr(guest_root, "_compiled", lambda: ["psutil==99"])
    with guest_root.in_use(ARM) as new:
        assert new != old
    assert not old.exists()


def test_pip_that_fails_leaves_no_root(debian):
    debian.status = 1
    with pytest.raises(OomctlError, match=r"pip cannot fetch psutil.* No matching distribution"):
        guest_root.in_use(ARM).__enter__()
    assert not [*cache.folder("roots").glob("*/")]
    assert not [*cache.folder("scratch").glob("*/")]


def test_this_machines_architecture_has_this_machines_root():
    with guest_root.in_use(X86) as root:
        assert root == guest_root.find(X86) == Path("/")
    assert guest_root.folders(root, Path("/x")) == ()


def test_folders_beside_the_root_are_not_inside_of_each_other(tmp_path):
    (tmp_path / "root/srv").mkdir(parents=True)
    here = [CHECKOUT / "docs", Path("/home/x"), Path("/home/x/y"), Path("/srv"), None]
    found = guest_root.folders(tmp_path / "root", *here)
    assert {CHECKOUT, Path("/home/x")} <= {*found}
    assert not {CHECKOUT / "docs", Path("/home/x/y"), Path("/srv")} & {*found}


def test_wheels_go_before_this_machines_packages():
    places = guest_root.environment()["PYTHONPATH"].split(":")
    assert places[:2] == ["/opt/oomctl", str(CHECKOUT)]
    assert any(Path(place, "typer").is_dir() for place in places)
