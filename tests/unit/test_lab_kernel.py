"""A kernel of the user's: image, build tree, unpacked packages; and when the module is built."""

import platform

import pytest

from oomctl import resources
from oomctl.errors import UnsupportedError, UsageError
from oomctl.kmod import module
from oomctl.lab import kernel

RELEASE = "6.12.95+deb12-amd64"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def bzimage(path, release=RELEASE):
    """Write the part of an x86 image that says its release."""
    head = bytearray(0x4000)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x3000).to_bytes(2, "little")
    text = f"{release} (builder@host) #1 SMP\0".encode()
    head[0x3200 : 0x3200 + len(text)] = text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)
    return path


@pytest.fixture
def unpacked(tmp_path):
    root = tmp_path / "root"
    bzimage(root / f"boot/vmlinuz-{RELEASE}")
    (root / f"boot/System.map-{RELEASE}").write_text("ffff T out_of_memory\n")
    headers = root / f"usr/src/linux-headers-{RELEASE}"
    headers.mkdir(parents=True)
    (headers / "Makefile").touch()
    (root / "lib/modules" / RELEASE).mkdir(parents=True)
    return root


def test_unpacked_packages(unpacked):
    found = kernel.given(unpacked)
    assert found.release == RELEASE
    assert found.headers == unpacked / f"usr/src/linux-headers-{RELEASE}"
    assert found.modules == unpacked / "lib/modules" / RELEASE
    assert found.provides is False
    assert kernel.given(found.image) == found


def test_unpacked_packages_whose_image_lies_beside_the_modules(unpacked):
    """As in Debian's packages from 6.19 on, and in Fedora's and Arch's."""
    beside = unpacked / "lib/modules" / RELEASE
    (unpacked / "boot").rename(unpacked / "away")
    image = bzimage(beside / "vmlinuz")
    found = kernel.given(unpacked)
    assert (found.image, found.modules, found.release) == (image, beside, RELEASE)
    assert found.headers == unpacked / f"usr/src/linux-headers-{RELEASE}"
    assert found.provides is None
    (beside / "System.map").write_text("ffff T bpf_out_of_memory\n")
    assert kernel.given(image) == kernel.given(unpacked)
    assert kernel.given(image).provides is True


def test_build_tree_with_the_kfunc_needs_no_module(tmp_path):
    image = bzimage(tmp_path / "arch/x86/boot/bzImage", "7.3.4")
    (tmp_path / "System.map").write_text("ffff T bpf_out_of_memory\n")
    found = kernel.given(tmp_path)
    assert (found.image, found.release, found.headers) == (image, "7.3.4", tmp_path)
    assert found.provides is True
    assert kernel.module_for(found) is None


def test_image_without_a_system_map_leaves_the_question_open(tmp_path):
    found = kernel.given(bzimage(tmp_path / "k/vmlinuz"))
    assert found.provides is None
    with pytest.raises(UnsupportedError, match="no headers"):
        kernel.module_for(found)


@pytest.mark.parametrize(
    ("name", "why"), [("nothing", "does not exist"), ("empty", "no kernel image"), ("two", "2 ")]
)
def test_folders_that_are_no_kernel(tmp_path, name, why):
    (tmp_path / "empty").mkdir()
    bzimage(tmp_path / "two/boot/vmlinuz-1")
    bzimage(tmp_path / "two/boot/vmlinuz-2")
    with pytest.raises(UsageError, match=why):
        kernel.given(tmp_path / name)


def test_file_that_is_no_kernel(tmp_path):
    (tmp_path / "x").write_text("hello")
    with pytest.raises(UsageError, match="not a bootable"):
        kernel.given(tmp_path / "x")


def test_module_is_built_once_and_again_when_its_sources_change(unpacked, tmp_path, monkeypatch):
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "a.c").write_text("one")
    monkeypatch.setattr(resources, "kernel_sources", lambda: sources)
    builds = []

    def build(headers, into):
        builds.append(headers)
        into.mkdir()
        ko = into / f"{module.MODULE}.ko"
        ko.write_text((sources / "a.c").read_text())
        return ko

    monkeypatch.setattr(module, "build", build)
    found = kernel.given(unpacked)
    assert not kernel.built(found)
    first = kernel.module_for(found)
    assert kernel.built(found)
    assert kernel.module_for(found) == first
    assert first.read_text() == "one"
    (sources / "a.c").write_text("two")
    assert not kernel.built(found)
    assert kernel.module_for(found).read_text() == "two"
    assert builds == [found.headers] * 2
    assert not first.exists()


def test_failed_build_leaves_nothing_that_looks_built(unpacked, monkeypatch):
    def build(headers, into):
        into.mkdir()
        (into / f"{module.MODULE}.ko").touch()
        raise UnsupportedError("no compiler")

    monkeypatch.setattr(module, "build", build)
    found = kernel.given(unpacked)
    with pytest.raises(UnsupportedError, match="no compiler"):
        kernel.module_for(found)
    assert not kernel.built(found)
