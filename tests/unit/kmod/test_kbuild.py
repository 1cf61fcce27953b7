import platform

import pytest

from oomctl.errors import UnsupportedError
from oomctl.kmod import kbuild
from oomctl.kmod.kbuild import Compiler
from oomctl.proc import programs

GCC = {"GCC_VERSION": "120200", "CLANG_VERSION": "0"}
CLANG = {"GCC_VERSION": "0", "CLANG_VERSION": "190107"}


def test_parse_config_unquotes_and_skips_comments():
    text = '# CONFIG_CFI is not set\nCONFIG_KPROBES=y\nCONFIG_A="x y"\nCONFIG_E=""\nCONFIG_N=17\n'
    assert kbuild.parse_config(text) == {"KPROBES": "y", "A": "x y", "E": "", "N": "17"}


@pytest.mark.parametrize(
    ("config", "compiler"),
    [
        (GCC, Compiler("gcc", 12)),
        (CLANG, Compiler("clang", 19)),
        ({"GCC_VERSION": "90400"}, Compiler("gcc", 9)),
    ],
)
def test_compiler_of(config, compiler):
    assert kbuild.compiler_of(config) == compiler


@pytest.mark.parametrize("config", [{}, {"GCC_VERSION": "0"}, {"GCC_VERSION": "odd"}])
def test_compiler_of_a_configuration_that_does_not_say(config):
    with pytest.raises(UnsupportedError, match="neither gcc nor clang"):
        kbuild.compiler_of(config)


@pytest.mark.parametrize(
    ("scripts", "found"),
    [
        ({"gcc-12": "echo 12", "gcc": "echo 14"}, "gcc-12"),
        ({"gcc": "echo 12"}, "gcc"),
        ({"gcc": "echo 12.2.0"}, "gcc"),
        ({"gcc": "echo 14"}, None),
        ({"gcc-14": "echo 14"}, None),
        ({}, None),
    ],
)
def test_find_takes_the_same_major_version_only(machine, scripts, found):
    machine(**scripts)
    assert kbuild.find(Compiler("gcc", 12)) == found


def test_require_gives_make_the_compiler(machine, headers):
    machine(**{"gcc-12": "", "make": "", "pahole": "", "readelf": ""})
    assert kbuild.require(headers(**GCC)) == ("CC=gcc-12",)


@pytest.mark.parametrize(("program", "argument"), [("clang-19", "LLVM=-19"), ("clang", "LLVM=1")])
def test_require_gives_make_the_llvm_suffix(machine, headers, program, argument):
    machine(**{program: "echo 19.1.7", "make": "", "pahole": "", "readelf": ""})
    assert kbuild.require(headers(**CLANG)) == (argument,)


@pytest.mark.parametrize(
    ("present", "config", "hint"),
    [
        (["gcc-12", "pahole", "readelf"], GCC, "apt install make"),
        (["gcc-12", "make", "readelf"], GCC, "apt install dwarves"),
        (["gcc-14", "make", "pahole", "readelf"], GCC, "apt install gcc-12"),
        (["gcc-12", "make", "pahole", "readelf"], CLANG, "apt install clang-19 lld-19 llvm-19"),
        ([], GCC, "apt install make dwarves binutils gcc-12"),
    ],
)
def test_require_names_every_package_that_is_missing(machine, headers, present, config, hint):
    machine(**dict.fromkeys(present, ""))
    with pytest.raises(UnsupportedError) as caught:
        kbuild.require(headers(**config))
    assert caught.value.hint == hint


@pytest.mark.parametrize("option", kbuild.NEEDED)
def test_require_names_the_option_that_is_off(headers, option):
    with pytest.raises(UnsupportedError, match=f"without CONFIG_{option}, "):
        kbuild.require(headers(**{option: "m"}))


def test_require_needs_the_btf_of_vmlinux(headers):
    folder = headers()
    (folder / "vmlinux").unlink()
    with pytest.raises(UnsupportedError, match="no vmlinux") as caught:
        kbuild.require(folder)
    assert caught.value.hint.endswith(f"cp /sys/kernel/btf/vmlinux {folder}/")


def test_no_headers_names_their_package(tmp_path):
    with pytest.raises(UnsupportedError, match="no kernel headers there") as caught:
        kbuild.require(tmp_path / "7.3.4+deb13-amd64" / "build")
    assert "apt install linux-headers-7.3.4+deb13-amd64" in caught.value.hint


@pytest.mark.parametrize("lost", ["Makefile", "include/config/auto.conf"])
def test_a_folder_that_is_not_a_build_folder(headers, lost):
    folder = headers()
    (folder / lost).unlink()
    with pytest.raises(UnsupportedError, match=f"not a prepared kernel build folder.*{lost}"):
        kbuild.require(folder)


def test_a_package_that_was_only_unpacked(headers):
    folder = headers()
    (folder / "Makefile").write_text("X = 1\ninclude /nowhere/linux-headers-common/Makefile\n")
    with pytest.raises(UnsupportedError, match="includes /nowhere/linux-headers-common/Makefile"):
        kbuild.require(folder)


def test_release_of(headers, tmp_path):
    assert kbuild.release_of(headers()) == "6.12.0-test"
    assert kbuild.release_of(tmp_path / "none") == "unknown"


@pytest.mark.parametrize(
    "data", [b"\xff\n", b"\n", b"../../etc\n", b"..\n", b"6.12 x\n", b"x" * 65]
)
def test_text_that_is_not_a_release(headers, data):
    """It becomes the name of a folder in the cache."""
    folder = headers()
    (folder / "include/config/kernel.release").write_bytes(data)
    assert kbuild.release_of(folder) == "unknown"


@pytest.mark.parametrize(
    ("image", "has"),
    [
        (b"\0bpf_out_of_memory\0", True),
        (b"\0bpf_out_of_memory_handler\0out_of_memory\0", False),
        (b"\0bpf_out_of_memory_handler\0", None),
        (b"", None),
        (None, None),
    ],
)
def test_has_kfunc(tmp_path, image, has):
    if image is not None:
        (tmp_path / "vmlinux").write_bytes(image)
    assert kbuild.has_kfunc(tmp_path, "bpf_out_of_memory") is has


def test_tools_do_not_inherit_an_outer_make(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "n -j8 --jobserver-auth=3,4")
    monkeypatch.setenv("ARCH", "arm64")
    status, output = programs.run("/bin/sh", "-c", 'echo "$LC_ALL [$MAKEFLAGS$ARCH]" >&2; exit 3')
    assert (status, output) == (3, "C []\n")


def test_a_tool_that_is_not_there():
    assert programs.run("/nonexistent") == (127, "/nonexistent: not found")


def test_a_kernel_of_another_architecture_needs_a_cross_compiler(machine, headers, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    machine(**{"aarch64-linux-gnu-gcc-12": "", "make": "", "pahole": "", "readelf": ""})
    assert kbuild.require(headers(ARM64="y", **GCC)) == (
        "ARCH=arm64",
        "CROSS_COMPILE=aarch64-linux-gnu-",
        "CC=aarch64-linux-gnu-gcc-12",
    )


@pytest.mark.parametrize(
    ("here", "package"), [("x86_64", "gcc-12"), ("aarch64", "gcc-12-x86-64-linux-gnu")]
)
def test_require_names_the_package_of_a_cross_compiler(
    machine, headers, monkeypatch, here, package
):
    monkeypatch.setattr(platform, "machine", lambda: here)
    machine(**{"make": "", "pahole": "", "readelf": "", "aarch64-linux-gnu-gcc-12": ""})
    with pytest.raises(UnsupportedError) as caught:
        kbuild.require(headers(X86_64="y", **GCC))
    assert caught.value.hint == f"apt install {package}"


def test_clang_is_a_cross_compiler_itself(machine, headers, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    machine(**{"clang-19": "", "make": "", "pahole": "", "readelf": ""})
    made = kbuild.require(headers(ARM64="y", **CLANG))
    assert made == ("ARCH=arm64", "CROSS_COMPILE=", "LLVM=-19")
