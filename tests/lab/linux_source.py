"""Files of the kernel's source, from Debian's linux-source package (140 MB)."""

import re
import subprocess

UNPACK = (
    "dpkg --fsys-tarfile {deb} | tar -xO ./usr/src/{package}.tar.xz | "
    "tar -xJ --strip-components 1 --wildcards {files}"
)


def default_package():
    """Return the newest of the machine's Debian release."""
    shown = subprocess.run(
        ["apt-cache", "depends", "linux-source"], capture_output=True, text=True, check=True
    )
    return re.search(r"Depends: (linux-source-[\d.]+)", shown.stdout)[1]


def unpack(package, folder, *patterns):
    """Fetch a package into a folder and unpack the files that match."""
    subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
    [deb] = folder.glob("*.deb")
    files = " ".join(f"'{pattern}'" for pattern in patterns)
    command = UNPACK.format(deb=deb, package=package, files=files)
    subprocess.run(command, shell=True, cwd=folder, check=True)
    deb.unlink()


def take(archive, folder, *patterns):
    """Unpack the files that match from a kernel's source."""
    words = ["tar", "-xf", archive, "--strip-components", "1", "--wildcards", *patterns]
    subprocess.run(words, cwd=folder, check=True)
