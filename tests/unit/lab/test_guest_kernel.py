"""The guest's kernel: image, build tree, unpacked packages; and when the module is built."""

import gzip
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl import cache, resources
from oomctl.cli import guest
from oomctl.errors import UnsupportedError, UsageError
from oomctl.kmod import module
from oomctl.lab import guest_kernel, tools
from oomctl.lab.architecture import ARM, X86
from oomctl.lab.kernel_image import release_of
from tests.elf import elf_file
from tests.unit.lab.images import RELEASE, bzimage

EMULATED = guest.MachineOptions(kvm="off")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.fixture
def built(monkeypatch, tmp_path):
    """Sources of our own, and a module that is built of them; the builds are kept."""
    sources, builds = tmp_path / "sources", []
    sources.mkdir()
    (sources / "a.c").write_text("one")

    def build(headers, into):
        builds.append(headers)
        into.mkdir()
        ko = into / f"{module.MODULE}.ko"
        ko.write_bytes(elf_file((sources / "a.c").read_text()))
        return ko

    monkeypatch.setattr(resources, "kernel_sources", lambda: sources)
    monkeypatch.setattr(module, "build", build)
    return builds


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
    found = guest_kernel.given(unpacked)
    assert found.release == RELEASE
    assert found.headers == unpacked / f"usr/src/linux-headers-{RELEASE}"
    assert found.modules == unpacked / "lib/modules" / RELEASE
    assert found.provides is False
    assert guest_kernel.given(found.image) == found


def test_unpacked_packages_whose_image_lies_beside_the_modules(unpacked):
    """As in Debian's packages from 6.19 on, and in Fedora's and Arch's."""
    beside = unpacked / "lib/modules" / RELEASE
    (unpacked / "boot").rename(unpacked / "away")
    image = bzimage(beside / "vmlinuz")
    found = guest_kernel.given(unpacked)
    assert (found.image, found.modules, found.release) == (image, beside, RELEASE)
    assert found.headers == unpacked / f"usr/src/linux-headers-{RELEASE}"
    assert found.provides is None
    (beside / "System.map").write_text("ffff T bpf_out_of_memory\n")
    assert guest_kernel.given(image) == guest_kernel.given(unpacked)
    assert guest_kernel.given(image).provides is True


def test_build_tree_with_the_kfunc_needs_no_module(tmp_path):
    image = bzimage(tmp_path / "arch/x86/boot/bzImage", "7.3.4")
    (tmp_path / "System.map").write_text("ffff T bpf_out_of_memory\n")
    found = guest_kernel.given(tmp_path)
    assert (found.image, found.release, found.headers) == (image, "7.3.4", tmp_path)
    assert found.provides is True
    assert guest_kernel.module_for(found) is None


STUB = "ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n"


@pytest.mark.parametrize("stub", [STUB, "", None])
@pytest.mark.parametrize(
    ("vmlinux", "provides"),
    [
        (b"\0out_of_memory\0bpf_out_of_memory\0", True),
        (b"\0out_of_memory\0", False),
        (b"stripped", None),
        (None, None),
    ],
)
def test_the_headers_are_read_if_the_system_map_is_a_stub(unpacked, stub, vmlinux, provides):
    """As in Debian's packages: a stub does not mean that the kernel lacks the kfunc."""
    symbols = unpacked / f"boot/System.map-{RELEASE}"
    symbols.unlink() if stub is None else symbols.write_text(stub)
    if vmlinux is not None:
        (unpacked / f"usr/src/linux-headers-{RELEASE}/vmlinux").write_bytes(vmlinux)
    assert guest_kernel.given(unpacked).provides is provides


def test_a_kernel_that_has_the_kfunc_behind_a_stub_is_given_no_module(unpacked, monkeypatch):
    monkeypatch.setattr(module, "build", lambda *_: pytest.fail("built"))
    (unpacked / f"boot/System.map-{RELEASE}").write_text(STUB)
    vmlinux = unpacked / f"usr/src/linux-headers-{RELEASE}/vmlinux"
    vmlinux.write_bytes(b"\0bpf_out_of_memory\0")
    found = guest_kernel.given(unpacked)
    assert guest_kernel.module_for(found) is None
    assert guest_kernel.built(found)


def test_the_guest_looks_into_an_image_without_symbols(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "require", lambda _guest: None)
    found = guest_kernel.given(bzimage(tmp_path / "k/vmlinuz"))
    assert found.provides is None
    assert guest_kernel.module_for(found) is None
    with guest.ready(EMULATED, str(found.image), True) as host:
        assert (host.module, host.look) == (None, True)
    with guest.ready(EMULATED, str(found.image), False) as host:
        assert (host.module, host.look) == (None, False)


def test_one_that_may_have_the_kfunc_gets_a_module_that_is_loaded_only_if_need_be(
    unpacked, monkeypatch, built
):
    monkeypatch.setattr(tools, "require", lambda _guest: None)
    (unpacked / f"boot/System.map-{RELEASE}").write_text(STUB)
    with guest.ready(EMULATED, str(unpacked), True) as host:
        assert (host.module is not None, host.look) == (True, True)


@pytest.mark.parametrize(
    ("name", "why"), [("nothing", "does not exist"), ("empty", "no kernel image"), ("two", "2 ")]
)
def test_folders_without_one_kernel(tmp_path, name, why):
    (tmp_path / "empty").mkdir()
    bzimage(tmp_path / "two/boot/vmlinuz-1")
    bzimage(tmp_path / "two/boot/vmlinuz-2")
    with pytest.raises(UsageError, match=why):
        guest_kernel.given(tmp_path / name)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
def test_only_a_regular_file_is_an_image(tmp_path, make):
    """With a pipe in its place `lab status` waited without end."""
    image = tmp_path / "vmlinuz-6.12"
    make(image)
    with pytest.raises(UsageError, match="image: it is not a regular file"):
        release_of(image)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("x", b"hello", "is not a bootable kernel image: it has no kernel header; give a bzImage"),
        ("vmlinuz-6.12", b"", "is not a bootable kernel image: it is empty"),
        ("vmlinuz-6.12", b"\0" * 4096, "it has no kernel header"),
        ("vmlinux-6.12", b"\x7fELF" + b"\0" * 60, "is truncated: its section headers are missing"),
        ("vmlinux-6.12", b"\x7fELF", "is truncated: its section headers are missing"),
    ],
)
def test_file_that_is_not_a_kernel(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        guest_kernel.given(tmp_path / name)
    assert str(caught.value).startswith(f"--kernel: {tmp_path / name} ")
    assert why in str(caught.value)


@pytest.mark.parametrize("left", [0x400, 0x4000, 1 << 20])
def test_image_that_is_cut(tmp_path, left):
    image = bzimage(tmp_path / "vmlinuz", pages=4096)
    guest_kernel.given(image)
    os.truncate(image, left)
    with pytest.raises(UsageError, match=rf"is truncated: it has {left} bytes, its header says "):
        guest_kernel.given(image)


@pytest.mark.parametrize("release", [b"\xff\xfe", b"", b"../../x", b"..", b"\x1b[31m", b"x" * 65])
def test_image_with_a_malformed_version(tmp_path, release):
    with pytest.raises(UsageError, match="not a bootable kernel image: its version is"):
        guest_kernel.given(bzimage(tmp_path / "vmlinuz-6.12", release))


def test_image_without_a_version_has_the_one_of_its_name(tmp_path):
    assert guest_kernel.given(bzimage(tmp_path / "vmlinuz-6.12-x", None)).release == "6.12-x"
    with pytest.raises(UsageError, match="neither in its header nor in its name"):
        guest_kernel.given(bzimage(tmp_path / "vmlinuz", None))


@given(near=st.binary(max_size=0x300), at=st.integers(0, 0x3400), cut=st.integers(0, 0x4000))
def test_any_file_is_an_image_or_a_usage_error(tmp_path_factory, near, at, cut):
    image = bzimage(tmp_path_factory.mktemp("any") / "vmlinuz-6.12")
    data = bytearray(image.read_bytes())
    data[at : at + len(near)] = near
    image.write_bytes(data[:cut])
    said = ""
    try:
        said = guest_kernel.given(image).release.replace("/", "\n")
    except UsageError as error:
        said = str(error)
    assert said.isprintable()


def test_module_is_built_once_and_again_when_its_sources_change(unpacked, built, tmp_path):
    found = guest_kernel.given(unpacked)
    assert not guest_kernel.built(found)
    first = guest_kernel.module_for(found)
    assert guest_kernel.built(found)
    assert guest_kernel.module_for(found) == first
    assert b"one" in first.read_bytes()
    (tmp_path / "sources/a.c").write_text("two")
    assert not guest_kernel.built(found)
    assert b"two" in guest_kernel.module_for(found).read_bytes()
    assert built == [found.headers] * 2
    assert not first.exists()


def test_module_in_use_is_not_removed(unpacked, built, tmp_path):
    """Two checkouts share the cache: building for one must not take the other's away."""
    found = guest_kernel.given(unpacked)
    with guest_kernel.module_in_use(found) as first:
        (tmp_path / "sources/a.c").write_text("two")
        second = guest_kernel.module_for(found)
        assert b"one" in first.read_bytes()
        assert b"two" in second.read_bytes()
    (tmp_path / "sources/a.c").write_text("three")
    guest_kernel.module_for(found)
    assert not first.exists()
    assert not second.exists()


CHECKOUT = """
import sys
from pathlib import Path
from oomctl import resources
from oomctl.kmod import module
from oomctl.lab import guest_kernel
from tests.elf import elf_file

sources, image = map(Path, sys.argv[1:])

def build(headers, into):
    into.mkdir()
    ko = into / f"{module.MODULE}.ko"
    ko.write_bytes(elf_file((sources / "a.c").read_text()))
    return ko

resources.kernel_sources = lambda: sources
module.build = build
found = guest_kernel.given(image)
for _ in range(100):
    with guest_kernel.module_in_use(found) as ko:
        for _ in range(20):
            assert (sources / "a.c").read_bytes() in ko.read_bytes()
"""


def test_several_checkouts_that_share_a_cache(unpacked, tmp_path):
    """Each builds its own module again and again, and is never robbed of it while it is used."""
    running = []
    for name in ("one", "two", "three"):
        sources = tmp_path / name
        sources.mkdir()
        (sources / "a.c").write_text(name)
        words = [sys.executable, "-c", CHECKOUT, str(sources), str(unpacked)]
        root = Path(__file__).parents[3]
        running.append(subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=120)[1] for process in running]
    assert said == ["", "", ""]
    assert [process.returncode for process in running] == [0, 0, 0]


def test_module_of_oomctl_kfunc_build_is_not_removed_with_those_of_the_lab(
    unpacked, built, tmp_path
):
    found = guest_kernel.given(unpacked)
    theirs = cache.folder("modules", RELEASE) / f"{module.MODULE}.ko"
    theirs.touch()
    guest_kernel.module_for(found)
    assert theirs.exists()


@pytest.mark.parametrize("left", [0, 3, 64, 100])
def test_module_that_is_cut_is_built_again(unpacked, built, left):
    found = guest_kernel.given(unpacked)
    ko = guest_kernel.module_for(found)
    whole = ko.read_bytes()
    os.truncate(ko, left)
    assert not guest_kernel.built(found)
    assert guest_kernel.module_for(found) == ko
    assert ko.read_bytes() == whole


def test_failed_build_leaves_nothing_that_looks_built(unpacked, monkeypatch):
    def build(headers, into):
        into.mkdir()
        (into / f"{module.MODULE}.ko").touch()
        raise UnsupportedError("no compiler")

    monkeypatch.setattr(module, "build", build)
    found = guest_kernel.given(unpacked)
    with pytest.raises(UnsupportedError, match="no compiler"):
        guest_kernel.module_for(found)
    assert not guest_kernel.built(found)


def arm_image(path, compress=bytes):
    """Write an image with the header of Documentation/arch/arm64/booting.rst."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compress(b"MZ" + bytes(54) + b"ARM\x64" + bytes(4096)))
    return path


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "name", ["boot/vmlinuz-7.3.4-arm64-16k", "lib/modules/7.3.4-arm64-16k/vmlinuz"]
)
def test_the_architecture_of_an_image_is_read_from_it(tmp_path, name, compress):
    arm_image(tmp_path / name, compress)
    found = guest_kernel.given(tmp_path)
    assert (found.release, found.architecture) == ("7.3.4-arm64-16k", ARM)
    assert guest_kernel.given(bzimage(tmp_path / "x/vmlinuz")).architecture == X86
    (tmp_path / "vmlinux-1").write_bytes(elf_file("x")[:18] + b"\xb7\0" + elf_file("x")[20:])
    assert guest_kernel.given(tmp_path / "vmlinux-1").architecture == ARM


@pytest.mark.parametrize("name", ["Image", "Image.gz"])
def test_a_build_tree_of_another_architecture(tmp_path, name):
    arm_image(tmp_path / "arch/arm64/boot" / name)
    (tmp_path / "include/config").mkdir(parents=True)
    (tmp_path / "include/config/kernel.release").write_text("7.4.0-rc1\n")
    found = guest_kernel.given(tmp_path)
    assert (found.release, found.architecture, found.headers) == ("7.4.0-rc1", ARM, tmp_path)
    bzimage(tmp_path / "arch/x86/boot/bzImage")
    assert guest_kernel.given(tmp_path).architecture == X86


def test_an_arm64_image_that_is_truncated(tmp_path):
    head = bytearray(4096)
    head[:2], head[0x38:0x3C], head[0x3C], head[0x40:0x44] = b"MZ", b"ARM\x64", 0x40, b"PE\0\0"
    head[0x46], head[0x54] = 2, 0xA0  # sections, and bytes of the optional header
    for at, size, offset in ((0xF8, 512, 1024), (0x120, 2048, 2048)):
        head[at + 16 : at + 24] = size.to_bytes(4, "little") + offset.to_bytes(4, "little")
    image = tmp_path / "vmlinuz-6.12-arm64"
    image.write_bytes(head)
    assert guest_kernel.given(image).release == "6.12-arm64"
    image.write_bytes(head[:4095])
    with pytest.raises(UsageError, match="is truncated: it has 4095 bytes, its header says 4096"):
        guest_kernel.given(image)
