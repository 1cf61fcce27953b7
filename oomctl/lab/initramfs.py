"""The guest's initramfs: virtme-ng's (busybox, 9p modules) with the lab's own files appended."""

import shlex
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_GUEST_FILES = {
    "init": "guest-init.sh",
    "lab/guest-run.sh": "guest-run.sh",
    "lab/fstab": "guest-fstab",
}


def archive(
    files: Mapping[str, bytes], folders: Iterable[str] = (), links: Mapping[str, str] | None = None
) -> bytes:
    """Pack files, and the folders they are in, as a cpio archive in `newc` format.

    `folders` may be empty ones; `links` are symbolic, by their names.

    The kernel unpacks one archive after another, and a later file replaces an earlier one, as the
    lab's /init does (Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    links = links or {}
    names = {*folders, *(str(up) for name in (*files, *links) for up in Path(name).parents)}
    entries = [_entry(name, b"", stat.S_IFDIR | 0o755) for name in sorted(names - {"."})]
    entries += [_entry(name, to.encode(), stat.S_IFLNK | 0o777) for name, to in links.items()]
    entries += [_entry(name, data, stat.S_IFREG | 0o755) for name, data in files.items()]
    return b"".join([*entries, _entry("TRAILER!!!", b"", 0)])


def _entry(name: str, data: bytes, mode: int) -> bytes:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, dev major and minor, rdev's, name's length, check
    header = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0]
    head = b"070701" + b"".join(b"%08X" % number for number in header) + path
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def settings(**values: str | int) -> bytes:
    """Return shell text that sets each name to its value, which may have any bytes."""
    return b"".join(b"%s=%s\n" % (name.encode(), _quoted(str(v))) for name, v in values.items())


def command(
    words: Sequence[str],
    environment: Mapping[str, str],
    cwd: str,
    terminal: bool = False,
    request: str = "",
) -> bytes:
    """Return shell text that becomes `words` with exactly that environment and folder.

    It names setsid by the path in $setsid: busybox's own would run busybox's applets. With
    `terminal` its stdin becomes the controlling terminal of the words. `request` asks the Python
    that waits to do them, if it is there (lab/packed.py).
    """
    lines = [b"export %s=%s" % (name.encode(), _quoted(v)) for name, v in environment.items()]
    lines.append(b"cd -- %s || exit 126" % _quoted(cwd))
    lines.append(b"unset OLDPWD SHLVL")
    lines += [b"ask " + _quoted(request)] if request else []
    option = b"--ctty " if terminal else b""
    lines.append(b'exec "$setsid" ' + option + b" ".join(_quoted(word) for word in words))
    return b"\n".join(lines) + b"\n"


def escaped(script: bytes) -> bytes:
    """Return a script on one line, from which printf's %b makes it again (POSIX.1, printf)."""
    return b"".join(
        b"%c" % byte if chr(byte).isalnum() and byte < 128 else b"\\0%03o" % byte for byte in script
    )


def guest_files(module: Path | None, look: bool) -> dict[str, bytes]:
    """Return the lab's files of an initramfs, by their names: scripts, and a module to load.

    With `look` the guest searches kallsyms for the kfunc before it loads the module.
    """
    here = Path(__file__).parent
    files = {name: (here / file).read_bytes() for name, file in _GUEST_FILES.items()}
    if module is not None:
        files[f"lab/{module.name}"] = module.read_bytes()
    name = module.stem if module else ""
    files["lab/kernel"] = settings(module=name, look="yes" if look else "")
    return files


def _quoted(word: str) -> bytes:
    # POSIX quoting leaves every byte between single quotes alone; surrogates are raw bytes.
    return shlex.quote(word).encode("utf-8", "surrogateescape")
