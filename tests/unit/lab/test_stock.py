"""The stock kernel: fetched, tried, updated, damaged and used."""

import contextlib
import os
import platform
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from oomctl import cache
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.lab import guest_kernel, stock
from oomctl.lab.apt import Candidate
from tests.unit.lab.test_guest_kernel import bzimage


def test_paths_in_unpacked_headers_are_changed(tmp_path):
    """The one line that Debian's 6.12 has, and the two of its 7.3; the common one has none."""
    makefiles = {
        "linux-headers-6.12-amd64": "include /usr/src/linux-headers-6.12-common/Makefile\n",
        "linux-headers-7.3-amd64": (
            "KBUILD_OUTPUT=/usr/src/linux-headers-7.3-amd64\n"
            "include /usr/src/linux-headers-7.3-common/Makefile\n"
        ),
        "linux-headers-7.3-common": "include $(srctree)/scripts/Kbuild.include\n",
    }
    for name, text in makefiles.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "Makefile").write_text(text)
    stock.relocate(tmp_path, tmp_path)
    for name, text in makefiles.items():
        moved = (tmp_path / name / "Makefile").read_text()
        assert moved == text.replace("/usr/src", str(tmp_path))


RELEASES = ("6.12-a", "6.12-b", "6.1-c")
"""What the archive has, newest first."""


@pytest.fixture
def archive(monkeypatch, tmp_path):
    """An archive of kernels, the last of which does not boot; `fetched` has the fetched ones."""
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(stock.tools, "require", lambda: None)
    monkeypatch.setattr(stock.apt, "machine_codename", lambda: "x")
    has = SimpleNamespace(releases=list(RELEASES), bad=["6.1-c"], fetched=[])

    def download(candidate, folder):
        has.fetched.append(candidate.release)
        return []

    def unpack(program, *words):
        if program == "depmod":
            bzimage(Path(words[1]) / f"boot/vmlinuz-{words[2]}", words[2], pages=4)

    def try_boot(found):
        if found.release in has.bad:
            raise OomctlError(f"{found.release} does not boot here")

    @contextlib.contextmanager
    def opened(suite):
        listed = [Candidate(release, ()) for release in has.releases]
        yield SimpleNamespace(candidates=lambda: listed, download=download)

    monkeypatch.setattr(stock, "_archive", opened)
    monkeypatch.setattr(stock, "_run", unpack)
    monkeypatch.setattr(stock, "_expand", lambda modules: None)
    monkeypatch.setattr(stock, "_try_boot", try_boot)
    return has


def kernels():
    return sorted(path.name for path in cache.folder("kernels").glob("*/"))


def test_the_newest_that_works_is_fetched_once(archive):
    assert stock.chosen() is None
    assert stock.get().release == stock.get().release == "6.12-a"
    assert stock.get(update=True).release == "6.12-a"
    assert (archive.fetched, kernels()) == (["6.12-a"], ["6.12-a"])


def damage(image, how):
    match how:
        case "missing":
            image.unlink()
        case "gone":
            shutil.rmtree(image.parents[1])
        case "one byte less":
            os.truncate(image, image.stat().st_size - 1)
        case left:
            os.truncate(image, left)


@pytest.mark.parametrize("how", [0, 100, 0x4000, "one byte less", "missing", "gone"])
@pytest.mark.parametrize("update", [False, True])
def test_a_damaged_kernel_is_not_ready_but_fetched_again(archive, capsys, how, update):
    image = stock.get().image
    size = image.stat().st_size
    damage(image, how)
    with pytest.raises(UnsupportedError, match=r"kernel is damaged: .*; `oomctl lab fetch` fetche"):
        stock.chosen()
    again = stock.get(update)
    assert (again.release, again.image.stat().st_size) == ("6.12-a", size)
    assert (archive.fetched, kernels()) == (["6.12-a"] * 2, ["6.12-a"])
    assert capsys.readouterr().err.count("the lab's kernel is damaged: ") == 1
    assert stock.chosen() == again


def test_a_damaged_kernel_in_use_is_not_removed(archive):
    with stock.in_use() as found:
        damage(found.image, 100)
        with pytest.raises(OomctlError, match="is damaged, and another oomctl uses it; end that"):
            stock.get()
        assert found.image.exists()


def test_kernels_that_do_not_work_are_removed(archive):
    archive.bad = list(RELEASES)
    with pytest.raises(UnsupportedError) as caught:
        stock.get()
    assert "no stock kernel works here; Linux 6.12 is the oldest that can" in str(caught.value)
    assert "first of 6 failures: 6.12-a: 6.12-a does not boot here" in str(caught.value)
    assert kernels() == []


def test_an_update_keeps_a_kernel_in_use(archive):
    archive.releases.remove("6.12-a")
    with stock.in_use() as old:
        archive.releases.insert(0, "6.12-a")
        assert stock.get(update=True).release == "6.12-a"
        assert old.image.exists()
    assert kernels() == ["6.12-a", "6.12-b"]
    stock.get(update=True)
    assert kernels() == ["6.12-a"]


def test_a_kernel_given_by_its_folder_is_in_use_too(archive):
    archive.releases.remove("6.12-a")
    old = guest_kernel.given(stock.get().image)
    with guest_kernel.in_use(old) as there:
        assert there
        archive.releases.insert(0, "6.12-a")
        stock.get(update=True)
        assert old.image.exists()
    with guest_kernel.in_use(
        guest_kernel.given(bzimage(cache.folder().parent / "vmlinuz-x"))
    ) as there:
        assert there


def test_a_kernel_removed_before_its_use_is_fetched_again(archive, monkeypatch):
    get, taken = stock.get, []

    def taken_away(update=False):
        found = get(update)
        if not taken:
            taken.append(found)
            cache.remove_unused(found.image.parents[1])
        return found

    monkeypatch.setattr(stock, "get", taken_away)
    with stock.in_use() as found:
        assert found.image.exists()
    assert archive.fetched == ["6.12-a"] * 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"release": 7}', "\xff"])
def test_a_malformed_stamp_is_ignored(archive, text):
    stock.get()
    stock._stamp().write_bytes(text.encode("latin-1"))
    assert stock.chosen() is None
    assert stock.get().release == "6.12-a"
