"""The private apt: the machine's sources with another suite, and the choice of a kernel."""

import platform
from pathlib import Path

import pytest

from oomctl.lab import apt
from oomctl.lab.apt import Candidate, Entry, Package

DEB822 = """\
# The archive.
Types: deb deb-src
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg


# Security.
Types: deb
URIs: http://mirror.invalid/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL
 -----END PGP PUBLIC KEY BLOCK-----
"""

ONE_LINE = """\
# deb http://other.invalid/debian bookworm main
deb-src http://mirror.invalid/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian bookworm main contrib
deb http://mirror.invalid/debian bookworm-security main
"""


def test_targets_of_component_main_are_parsed():
    listed = (
        "bookworm|main|/etc/apt/sources.list.d/debian.sources:1\n"
        "bookworm|main|/etc/apt/sources.list.d/debian.sources:1\n"
        "bookworm|contrib|/etc/apt/sources.list.d/debian.sources:1\n"
        "nodistro|main|/etc/apt/sources.list.d/node.sources:1\n"
        "stable|main|/etc/apt/odd:name.list:12\n"
    )
    entries = apt.parse_targets(listed)
    assert entries == [
        Entry(Path("/etc/apt/sources.list.d/debian.sources"), 1, "bookworm"),
        Entry(Path("/etc/apt/sources.list.d/node.sources"), 1, "nodistro"),
        Entry(Path("/etc/apt/odd:name.list"), 12, "stable"),
    ]
    assert apt.own_entries(entries, "bookworm") == [entries[0], entries[2]]


def test_deb822_keeps_mirror_and_key_and_changes_the_suite():
    assert apt.with_suite(DEB822, 1, "bookworm-backports") == (
        "Types: deb\n"
        "URIs: http://mirror.invalid/debian\n"
        "Suites: bookworm-backports\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_deb822_keeps_a_key_in_the_file():
    text = apt.with_suite(DEB822, 2, "trixie")
    assert "URIs: http://mirror.invalid/debian-security\n" in text
    assert text.endswith(
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBGPL\n"
        " -----END PGP PUBLIC KEY BLOCK-----\n"
    )


def test_deb822_drops_continuation_lines_of_what_it_replaces():
    text = (
        "Types: deb\nURIs: http://m.invalid/\nSuites: a\n b\n c\nComponents: main\nSigned-By: /k\n"
    )
    text += "Architectures: amd64\n"
    assert apt.with_suite(text, 1, "x") == (
        "Types: deb\nURIs: http://m.invalid/\nSuites: x\nComponents: main\nSigned-By: /k\n"
    )


def test_one_line_format_keeps_its_options():
    assert apt.with_suite(ONE_LINE, 3, "bookworm-backports") == (
        "deb [signed-by=/k.gpg] http://mirror.invalid/debian bookworm-backports main\n"
    )
    assert apt.with_suite(ONE_LINE, 4, "x") == "deb http://mirror.invalid/debian x main\n"


def test_one_line_format_without_an_entry_there():
    with pytest.raises(ValueError, match="other"):
        apt.with_suite(ONE_LINE, 1, "x")


def test_packages_take_the_first_of_each_choice():
    depends = (
        "linux-headers-6.12.95+deb12-common (= 6.12.95-1~bpo12+1), "
        "linux-image-6.12.95+deb12-amd64 (= 6.12.95-1~bpo12+1) | "
        "linux-image-6.12.95+deb12-amd64-unsigned (= 6.12.95-1~bpo12+1), "
        "linux-kbuild-6.12.95+deb12, gcc-12"
    )
    text = f"""\
Package: linux-headers-6.12.95+deb12-amd64
Version: 6.12.95-1~bpo12+1
Depends: {depends}
Size: 3035744

Package: linux-kbuild-6.12.95+deb12
Version: 6.12.95-1~bpo12+1
"""
    headers, kbuild = apt.parse_packages(text)
    assert headers == Package(
        "linux-headers-6.12.95+deb12-amd64",
        "6.12.95-1~bpo12+1",
        (
            "linux-headers-6.12.95+deb12-common",
            "linux-image-6.12.95+deb12-amd64",
            "linux-kbuild-6.12.95+deb12",
            "gcc-12",
        ),
    )
    assert kbuild.name == "linux-kbuild-6.12.95+deb12"


def kernel(abi, version, arch="amd64", *, flavour="", headers=True):
    image = f"linux-image-{abi}{flavour}-{arch}"
    parts = [Package(image, version), Package(f"{image}-dbg", version)]
    parts.append(Package(f"{image}-unsigned", version))
    if headers:
        depends = (f"linux-headers-{abi}-common", f"linux-kbuild-{abi}", "gcc-12", image)
        parts.append(Package(f"linux-headers-{abi}{flavour}-{arch}", version, depends))
    parts += [
        Package(f"linux-headers-{abi}-common", version),
        Package(f"linux-kbuild-{abi}", version),
    ]
    return parts


def test_candidates_are_generic_kernels_with_headers_newest_first():
    index = [
        *kernel("6.12.9+deb12", "6.12.9"),
        *kernel("6.12.95+deb12", "6.12.95"),
        *kernel("6.12.96+deb12", "6.12.96", headers=False),
        *kernel("6.12.97+deb12", "6.12.97", flavour="-cloud"),
        *kernel("6.12.98+deb12", "6.12.98", flavour="-rt"),
        *kernel("6.12.99+deb12", "6.12.99", arch="arm64"),
        *kernel("6.1.0-50", "6.1.50"),
    ]
    found = apt.candidates(index, "amd64")
    releases = ["6.12.95+deb12-amd64", "6.12.9+deb12-amd64", "6.1.0-50-amd64"]
    assert [candidate.release for candidate in found] == releases
    assert found[0].packages == (
        "linux-headers-6.12.95+deb12-amd64",
        "linux-headers-6.12.95+deb12-common",
        "linux-image-6.12.95+deb12-amd64",
        "linux-kbuild-6.12.95+deb12",
    )


def test_headers_of_another_version_do_not_fit():
    index = kernel("7.3.4+deb13", "7.3.4")
    index[3] = Package("linux-headers-7.3.4+deb13-amd64", "7.3.5")
    assert apt.candidates(index, "amd64") == []


def test_image_and_modules_in_packages_of_their_own():
    version = "7.3.4"
    index = [
        Package(
            "linux-image-7.3.4+deb13-amd64",
            version,
            (
                "dracut",
                "linux-base-7.3.4+deb13-amd64",
                "linux-binary-7.3.4+deb13-amd64",
                "linux-modules-7.3.4+deb13-amd64",
            ),
        ),
        Package("linux-headers-7.3.4+deb13-amd64", version, ("linux-kbuild-7.3.4+deb13",)),
        *(Package(f"linux-{part}-7.3.4+deb13-amd64", version) for part in ("binary", "modules")),
        Package("linux-kbuild-7.3.4+deb13", version),
    ]
    (found,) = apt.candidates(index, "amd64")
    assert found.packages == (
        "linux-binary-7.3.4+deb13-amd64",
        "linux-headers-7.3.4+deb13-amd64",
        "linux-image-7.3.4+deb13-amd64",
        "linux-kbuild-7.3.4+deb13",
        "linux-modules-7.3.4+deb13-amd64",
    )


def test_order_of_versions_is_debians():
    ordered = ["6.12.95-1~bpo12+1", "6.12.95-1", "6.12.95-1.1", "6.12.100-1", "7.3~rc7-1~exp1"]
    ordered.append("7.3-1~exp1")
    index = [part for n, version in enumerate(ordered) for part in kernel(f"1.{n}", version)]
    found = apt.candidates(index[::-1], "amd64")
    assert [candidate.release for candidate in found] == [
        f"1.{n}-amd64" for n in (5, 4, 3, 2, 1, 0)
    ]


def test_of_two_versions_of_a_package_the_newer_is_taken():
    older, newer = kernel("7.3", "7.3~rc7-1~exp1"), kernel("7.3", "7.3-1~bpo12+1")
    for index in (older + newer, newer + older):
        assert len(apt.candidates(index, "amd64")) == 1
    newer_image_only = [*older, newer[0]]
    assert apt.candidates(newer_image_only, "amd64") == []


@pytest.fixture
def commands(monkeypatch):
    """The commands that would be run on a machine whose dpkg is of amd64."""
    done = []

    def run(words, cwd=None):
        if words[0] != "dpkg":
            done.append(words)
        return "amd64\n"

    monkeypatch.setattr(apt, "_run", run)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return done


@pytest.mark.parametrize(
    ("arch", "kbuild"), [("arm64-16k", "linux-kbuild-1:amd64"), ("", "linux-kbuild-1")]
)
def test_programs_of_kernel_makefiles_are_those_of_this_machine(commands, tmp_path, arch, kbuild):
    candidate = Candidate("1", ("linux-headers-1", "linux-kbuild-1"))
    apt.Archive(tmp_path, "x", arch).download(candidate, tmp_path)
    assert commands[0][-3:] == ["download", "linux-headers-1", kbuild]
    assert ("APT::Architecture=arm64" in commands[0]) == bool(arch)
    assert ("APT::Architectures=arm64,amd64" in commands[0]) == bool(arch)


def test_packages_are_fetched_with_what_they_depend_on_and_not_installed(commands, tmp_path):
    apt.Archive(tmp_path, "x", "arm64").fetch_all(["python3"], tmp_path / "debs")
    words = commands[0]
    assert words[-4:] == ["--yes", "--no-install-recommends", "--download-only", "python3"]
    assert f"Dir::Cache::archives={tmp_path}/debs" in words
