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
from oomctl.lab import cached, guest_kernel, stock, unpack
from oomctl.lab.apt import Candidate
from oomctl.lab.cached import Flavour
from tests.unit.lab.images import bzimage

RELEASES = ("6.12-a", "6.12-b", "6.1-c")
"""What the archive has, newest first."""


@pytest.fixture
def archive(monkeypatch, tmp_path):
    """An archive of kernels, the last of which does not boot; `fetched` has the fetched ones."""
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(stock.tools, "require", lambda _guest: None)
    monkeypatch.setattr(stock.apt, "machine_codename", lambda: "x")
    has = SimpleNamespace(releases=list(RELEASES), bad=["6.1-c"], fetched=[])

    def download(candidate, folder):
        has.fetched.append(candidate.release)
        return []

    def unpacked(program, *words):
        if program == "depmod":
            bzimage(Path(words[1]) / f"boot/vmlinuz-{words[2]}", words[2], pages=4)

    def try_boot(found):
        if found.release in has.bad:
            raise OomctlError(f"{found.release} does not boot here")

    @contextlib.contextmanager
    def opened(suite, _arch):
        listed = [Candidate(release, ()) for release in has.releases]
        yield SimpleNamespace(candidates=lambda: listed, download=download)

    monkeypatch.setattr(stock, "open_archive", opened)
    monkeypatch.setattr(unpack, "run", unpacked)
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
        case "foreign byte":
            image.write_bytes(image.read_bytes()[:-1] + b"!")
        case left:
            os.truncate(image, left)


@pytest.mark.parametrize(
    "how", [0, 100, 0x4000, "one byte less", "foreign byte", "missing", "gone"]
)
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


def test_an_update_keeps_kernels_that_are_not_stock(archive):
    archive.releases.remove("6.12-a")
    stock.get()
    for name, flavour in (("7.3-x", Flavour.DEBIAN), ("7.3-y", Flavour.PLAIN)):
        cached.home(name).mkdir()
        cached.stamp(cached.home(name), flavour)
    archive.releases.insert(0, "6.12-a")
    stock.get(update=True)
    assert kernels() == ["6.12-a", "7.3-x", "7.3-y"]


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

    def taken_away(arch):
        found = get(arch=arch)
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


def test_each_architecture_has_a_stock_kernel_of_its_own(archive):
    archive.releases = ["6.12-amd64"]
    stock.get()
    archive.releases = ["6.13-arm64", "6.12-arm64"]
    archive.bad = ["6.13-arm64"]
    assert stock.get(arch="arm64").release == stock.chosen("arm64").release == "6.12-arm64"
    archive.releases = ["6.12-arm64-16k"]
    stock.get(arch="arm64-16k")
    archive.releases, archive.bad = ["6.13-arm64"], []
    stock.get(True, "arm64")
    assert kernels() == ["6.12-amd64", "6.12-arm64-16k", "6.13-arm64"]
    assert stock.chosen().release == stock.chosen("amd64").release == "6.12-amd64"
