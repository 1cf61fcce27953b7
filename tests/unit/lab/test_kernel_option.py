"""What --kernel names: the kernel in the cache, of a package, of a version, of a path."""

import contextlib
import platform
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from oomctl import cache
from oomctl.errors import OomctlError, UsageError
from oomctl.lab import cached, kernel_option, stock, suites, unpack
from oomctl.lab.apt import Candidate
from oomctl.lab.cached import Flavour
from oomctl.oom.enums import KfuncPlace
from tests.unit.lab.images import bzimage, compressed, vmlinux


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def cache_kernel(name, flavour=Flavour.PLAIN, made=None):
    home = cached.home(name)
    bzimage(home / f"boot/vmlinuz-{name}", name, payload=compressed(vmlinux(), "gzip"))
    cached.stamp(home, flavour)
    if made is not None:
        (home / cached.STAMP).write_text(f'{{"flavour": "{flavour}", "made": {made}}}')
    return home


def test_stock(monkeypatch):
    monkeypatch.setattr(stock, "get", lambda *given: f"stock {given}")
    found = kernel_option.find("stock", update=True, arch="arm64")
    assert found == "stock (True, 'arm64')"


def test_reference_is_the_newest_plain_build():
    with pytest.raises(UsageError, match="none was built yet; oomctl lab build"):
        kernel_option.find("reference")
    for name, flavour, made in (
        ("7.3.1", Flavour.PLAIN, 1),
        ("7.3.2", Flavour.PLAIN, 3),
        ("7.3.3", Flavour.PLAIN, 2),
        ("7.3.4", Flavour.LOCKDEP, 4),
        ("7.3.5", Flavour.DEBIAN, 5),
    ):
        cache_kernel(name, flavour, made)
    assert kernel_option.find("reference").release == "7.3.2"
    (cached.home("7.3.2") / "boot/vmlinuz-7.3.2").unlink()
    assert kernel_option.find("reference").release == "7.3.3"


def test_a_name_in_the_cache():
    cache_kernel("7.3.4-oomctl-lockdep", Flavour.LOCKDEP)
    found = kernel_option.find("7.3.4-oomctl-lockdep")
    assert (found.release, found.kfunc) == ("7.3.4-oomctl-lockdep", KfuncPlace.BUILT_IN)


def test_damage_is_told_by_the_hashes_of_what_boots():
    name = "7.3.4-oomctl-x"
    cache_kernel(name, Flavour.PLAIN)
    place = cached.home(name)
    module = place / "lib/modules/7.3.4/kernel/fs/9p/9p.ko"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"whole")
    cached.stamp(place, Flavour.PLAIN)
    assert cached.damage(place) == ""
    module.write_bytes(b"whol")
    with pytest.raises(UsageError, match=r"x in the cache is damaged: .*9p\.ko has changed; `oomc"):
        kernel_option.find(name)
    (listed,) = [each for each in cached.kernels() if each.name == name]
    assert listed.damage.endswith("9p.ko has changed")
    module.unlink()
    assert cached.damage(place).endswith("9p.ko is missing")
    with pytest.raises(UsageError, match="none was built yet"):
        kernel_option.find("reference")


@pytest.mark.parametrize("text", ["nothing", "6", "6.", "6.12.x", "../x", "a/b", ""])
def test_a_name_of_nothing(text):
    with pytest.raises(UsageError, match=r"^--kernel: .* give stock, reference, a version"):
        kernel_option.find(text)


def test_a_path_goes_before_a_version(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    bzimage(tmp_path / "6.12/boot/vmlinuz-9.9", "9.9")
    assert kernel_option.find("6.12").release == "9.9"


@pytest.fixture
def archives(monkeypatch):
    """Suites with kernels; `fetched` has what was downloaded."""
    has = SimpleNamespace(
        suites={
            "own": ["6.12.95+deb12-amd64", "6.1.0-50-amd64"],
            "newer": ["7.3.4+deb13-amd64", "6.12.117+deb13-amd64"],
        },
        fetched=[],
    )

    def archive(suite):
        candidates = [Candidate(release, ()) for release in has.suites[suite]]

        def download(candidate, into):
            has.fetched.append((suite, candidate.release))
            return []

        return SimpleNamespace(suite=suite, candidates=lambda: candidates, download=download)

    @contextlib.contextmanager
    def open_all(names, arch):
        yield [archive(suite) for suite in names]

    def run(program, *words):
        if program == "depmod":
            root, release = words[1:]
            payload = compressed(vmlinux(kfunc=False), "gzip")
            bzimage(
                cache.place("x").parent / root / f"boot/vmlinuz-{release}", release, payload=payload
            )

    monkeypatch.setattr(suites, "open_all", open_all)
    monkeypatch.setattr(suites, "own", lambda: ["own"])
    monkeypatch.setattr(suites, "newer", lambda: ["newer"])
    monkeypatch.setattr(unpack, "run", run)
    return has


def test_a_version_is_debians_newest_of_it(archives):
    found = kernel_option.find("7.3")
    assert found.release == "7.3.4+deb13-amd64"
    assert archives.fetched == [("newer", "7.3.4+deb13-amd64")]
    assert kernel_option.find("7.3") == kernel_option.find("7.3.4") == found
    archives.suites["newer"].append("7.3.10+deb13-amd64")
    assert kernel_option.find("7.3") == found
    assert kernel_option.find("7.3", update=True).release == "7.3.10+deb13-amd64"
    assert kernel_option.find("7.3").release == "7.3.10+deb13-amd64"
    assert cached.flavour_of(cached.home("7.3.10+deb13-amd64")) == Flavour.DEBIAN


@pytest.mark.parametrize("version", ["5.99", "6.120", "7", "6.12.9"])
def test_a_version_that_debian_does_not_have(archives, version):
    with pytest.raises(UsageError) as caught:
        kernel_option.find(version)
    if "." in version:
        wanted = "Debian has no such kernel in own, newer; it has 6.1, 6.12, 7.3"
        assert str(caught.value) == f"--kernel {version}: {wanted}"
    assert archives.fetched == []


def test_own_suites_go_before_newer_ones(archives):
    assert kernel_option.find("6.12").release == "6.12.95+deb12-amd64"
    assert kernel_option.find("6.12.117").release == "6.12.117+deb13-amd64"
    assert kernel_option.find("6.12").release == "6.12.117+deb13-amd64"


@pytest.mark.parametrize(
    ("codename", "first", "last"),
    [
        ("bookworm", ["trixie-backports", "trixie", "forky-backports"], "sid"),
        ("forky", ["sid"], "sid"),
        ("unheard-of", ["sid"], "sid"),
    ],
)
def test_suites_after_this_machines_own(monkeypatch, codename, first, last):
    monkeypatch.setattr(suites.apt, "machine_codename", lambda: codename)
    assert suites.own() == [f"{codename}-backports", codename]
    assert suites.newer()[: len(first)] == first
    assert suites.newer()[-1] == last


def test_nothing_is_fetched_for_a_dry_run(archives, monkeypatch):
    monkeypatch.setattr(stock, "chosen", lambda _arch: None)
    with pytest.raises(UsageError, match=r"6.12 was not fetched yet; oomctl lab fetch --k"):
        kernel_option.find_local("6.12")
    with pytest.raises(UsageError, match=r"stock was not fetched yet; oomctl lab fetch$"):
        kernel_option.find_local("stock")
    assert archives.fetched == []
    kernel_option.find("6.12")
    assert kernel_option.find_local("6.12").release == "6.12.95+deb12-amd64"


def deb(folder, name, version, files=(), depends=""):
    """Make a package, as dpkg-deb does."""
    root = folder / f"root-{name}"
    (root / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@x>\n"
    control += f"Depends: {depends}\n" * bool(depends) + "Description: x\n"
    (root / "DEBIAN/control").write_text(control)
    for path, data in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    made = folder / f"{name}_{version}_amd64.deb"
    subprocess.run(["dpkg-deb", "-b", str(root), str(made)], check=True, capture_output=True)
    shutil.rmtree(root)
    return made


def image(release, tmp_path):
    payload = compressed(vmlinux(), "gzip")
    return bzimage(tmp_path / "image", release, payload=payload).read_bytes()


needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not here")


@needs_dpkg
def test_a_package_of_bindeb_pkg(tmp_path):
    release = "6.12.0-mine"
    files = [
        (f"boot/vmlinuz-{release}", image(release, tmp_path)),
        (f"lib/modules/{release}/modules.order", b""),
        (f"lib/modules/{release}/modules.builtin", b""),
    ]
    made = deb(tmp_path, f"linux-image-{release}", "6.12.0-1", files)
    found = kernel_option.find(str(made))
    assert (found.release, found.kfunc) == (release, KfuncPlace.BUILT_IN)
    assert kernel_option.find(str(made)) == found
    assert [each.flavour for each in cached.kernels()] == [Flavour.PACKAGE]


@needs_dpkg
def test_a_package_whose_image_is_in_another_package(tmp_path):
    release, version = "7.3.4+deb13-amd64", "7.3.4-1"
    depends = f"dracut, linux-binary-{release} (= {version})"
    made = deb(tmp_path, f"linux-image-{release}", version, depends=depends)
    with pytest.raises(UsageError, match=r"needs linux-binary-7.3.4\+deb13-amd64; put these"):
        kernel_option.find(str(made))
    files = [(f"usr/lib/modules/{release}/vmlinuz", image(release, tmp_path))]
    deb(tmp_path, f"linux-binary-{release}", version, files)
    assert kernel_option.find(str(made)).release == release


@needs_dpkg
def test_other_packages(tmp_path):
    made = deb(tmp_path, "linux-doc", "1")
    with pytest.raises(UsageError, match="is the package linux-doc, which has no kernel image"):
        kernel_option.find(str(made))
    (tmp_path / "x.deb").write_bytes(made.read_bytes()[:100])
    with pytest.raises(UsageError, match="is not a Debian package, or is truncated"):
        kernel_option.find(str(tmp_path / "x.deb"))
    empty = deb(tmp_path, "linux-image-9", "1")
    with pytest.raises((UsageError, OomctlError)):
        kernel_option.find(str(empty))


def test_each_architecture_has_its_own_newest_of_a_version(archives):
    archives.suites["own"] += ["6.12.95+deb12-arm64", "6.12.94+deb12-arm64-16k"]
    assert kernel_option.find("6.12").release == "6.12.95+deb12-amd64"
    for name in ("6.12.96+deb12-arm64", "6.12.97+deb12-arm64-16k"):
        cache_kernel(name, Flavour.DEBIAN)
    assert kernel_option.find("6.12").release == "6.12.95+deb12-amd64"
    assert kernel_option.find_local("6.12", "arm64-16k").release == "6.12.97+deb12-arm64-16k"
    assert kernel_option.find_local("6.12", "arm64").release == "6.12.96+deb12-arm64"


def test_a_kernel_of_another_architecture_than_asked_for():
    cache_kernel("7.3.2", made=1)
    assert kernel_option.find("7.3.2", arch="amd64").release == "7.3.2"
    with pytest.raises(UsageError, match=r"^--arch arm64-16k: the kernel 7\.3\.2 is for amd64"):
        kernel_option.find("7.3.2", arch="arm64-16k")


@pytest.mark.parametrize(
    ("name", "arch", "command"),
    [
        ("stock", "arm64", "oomctl lab fetch --arch arm64"),
        ("7.3", "arm64-16k", "oomctl lab fetch --kernel 7.3 --arch arm64-16k"),
    ],
)
def test_the_command_that_fetches_names_the_architecture(name, arch, command):
    with pytest.raises(UsageError) as caught:
        kernel_option.find_local(name, arch)
    assert caught.value.hint == command
