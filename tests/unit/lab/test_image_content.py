"""What is in an image: configuration, BTF and kfunc, through each compression of the kernel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.lab import image_content
from oomctl.lab.image_content import UnreadableError
from oomctl.proc import programs
from tests.unit.lab.images import BUILT_IN, bzimage, compressed, has, vmlinux


@pytest.mark.parametrize("program", ["gzip", "xz", "lzma", "bzip2", "zstd", "lz4", "lzop"])
def test_every_compression(tmp_path, program):
    if not has(program):
        pytest.skip(f"{program} is not on this machine")
    image = bzimage(tmp_path / "vmlinuz", payload=compressed(vmlinux(), program))
    found = image_content.read(image)
    assert (found.btf, found.kfunc) == (True, True)
    assert found.config["MEMCG"] == "y"


@pytest.mark.parametrize("btf", [True, False])
@pytest.mark.parametrize("kfunc", [True, False])
@pytest.mark.parametrize("config", [BUILT_IN, None])
def test_a_vmlinux(tmp_path, btf, kfunc, config):
    (tmp_path / "vmlinux").write_bytes(vmlinux(config, btf, kfunc))
    found = image_content.read(tmp_path / "vmlinux")
    assert (found.btf, found.kfunc) == (btf, btf and kfunc)
    assert (found.config is None) == (config is None)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\x1f\x8b\x08\0broken", "its compressed kernel is damaged"),
        (b"\xfd7zXZ\0broken", "its compressed kernel is damaged"),
        (b"\x5d\0\0broken", "its compressed kernel is damaged"),
        (b"no method has this", "compressed by an unknown method"),
        (b"", "compressed by an unknown method"),
    ],
)
def test_a_payload_that_cannot_be_unpacked(tmp_path, payload, why):
    with pytest.raises(UnreadableError, match=why):
        image_content.read(bzimage(tmp_path / "vmlinuz", payload=payload))


def test_a_program_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "which", lambda name: None)
    image = bzimage(tmp_path / "vmlinuz", payload=b"\x28\xb5\x2f\xfd....")
    with pytest.raises(UnreadableError, match=r"zstd is not on this machine \(apt install zstd\)"):
        image_content.read(image)


def test_a_configuration_that_is_damaged():
    assert image_content.config_in(b"IKCFG_ST\x1f\x8bno gzipIKCFG_ED") is None
    assert image_content.config_in(b"IKCFG_ED IKCFG_ST") is None


@given(data=st.binary(max_size=200), at=st.integers(0, 400), cut=st.integers(0, 900))
def test_any_bytes_are_read_or_unreadable(data, at, cut):
    image = bytearray(vmlinux())
    image[at : at + len(data)] = data
    try:
        kernel = image_content.unpacked(bytes(image[:cut]))
    except UnreadableError:
        return
    image_content.config_in(kernel)
