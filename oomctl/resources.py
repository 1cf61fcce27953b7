"""Files inside the package: BPF objects, hogs, the sources of the kernel module, examples."""

import sysconfig
from functools import cache
from pathlib import Path

from oomctl.errors import OomctlError

_PACKAGE = Path(__file__).parent


@cache
def built(name: str) -> Path:
    """Return the path of a file that `hatch_build.py` makes; OomctlError if it is missing."""
    path = _PACKAGE / "built" / name
    if not path.exists():
        raise OomctlError(
            f"{path} is missing from this installation",
            "in a checkout run `make build`; otherwise install oomctl again",
        )
    return path


def kernel_sources() -> Path:
    """Return the folder of the module's sources: `bpf/kernel`, or its copy in a wheel."""
    return _folder("bpf/kernel", "kernel")


def examples() -> list[Path]:
    """Return the files of `examples/`, or of its copy in a wheel, by name."""
    return sorted(path for path in _folder("examples", "examples").iterdir() if path.is_file())


def man_page() -> Path:
    """Return the path of oomctl(1): in `docs/`, or where a wheel was installed to."""
    checkout = _PACKAGE.parent / "docs/oomctl.1"
    page = Path(sysconfig.get_path("data"), "share/man/man1/oomctl.1")
    return checkout if checkout.is_file() else page


def _folder(checkout: str, copy: str) -> Path:
    place = _PACKAGE.parent / checkout
    return place if place.is_dir() else built(copy)
