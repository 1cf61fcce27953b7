"""Files that travel inside the package: the BPF object, the hogs, the kernel side, examples."""

from pathlib import Path

from oomctl.errors import OomctlError

_PACKAGE = Path(__file__).parent


def built(name: str) -> Path:
    """Return the path of a file that `hatch_build.py` made; OomctlError where it was not made."""
    path = _PACKAGE / "built" / name
    if not path.exists():
        raise OomctlError(
            f"{path} is missing from this installation",
            "in a checkout run `make build`; otherwise install oomctl again",
        )
    return path


def kernel_sources() -> Path:
    """Return the folder of the kernel side: `bpf/kernel` in a checkout, its copy in a wheel."""
    return _folder("bpf/kernel", "kernel")


def examples() -> list[Path]:
    """Return the files of `examples/` by name, in a wheel those of its copy."""
    return sorted(_folder("examples", "examples").iterdir())


def _folder(checkout: str, copy: str) -> Path:
    place = _PACKAGE.parent / checkout
    return place if place.is_dir() else built(copy)
