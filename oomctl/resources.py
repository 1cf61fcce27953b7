"""Files inside the package: BPF objects, hogs, the sources of the kernel module, examples."""

from pathlib import Path

from oomctl.errors import OomctlError

_PACKAGE = Path(__file__).parent


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
    return sorted(_folder("examples", "examples").iterdir())


def _folder(checkout: str, copy: str) -> Path:
    place = _PACKAGE.parent / checkout
    return place if place.is_dir() else built(copy)
