"""Packages unpacked into the cache."""

from oomctl.lab import unpack


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
    unpack.relocate(tmp_path, tmp_path)
    for name, text in makefiles.items():
        moved = (tmp_path / name / "Makefile").read_text()
        assert moved == text.replace("/usr/src", str(tmp_path))
