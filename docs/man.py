"""Writes the man page oomctl(1) from the help texts: typer's Markdown, made roff by cmark."""

import os
import re
import subprocess
import sys
from textwrap import indent

from oomctl import __version__
from oomctl.cli.command import ENVIRONMENT

HEAD = f'.TH OOMCTL 1 "" "oomctl {__version__}" "User Commands"\n.SH NAME\n'
VARIABLES = "".join(f"\n\n`{name}`: {text}" for name, text in ENVIRONMENT.items())
END = f"""
# EXIT STATUS

{{}}

Each command names its own.

# ENVIRONMENT{VARIABLES}

# FILES

`/run/oomctl/`: the journals of running oomctls, from which `oomctl clean` undoes what a killed one
left; another folder by `OOMCTL_RUN_DIR`.

`~/.cache/oomctl/`: kernels, built modules and probe results; another folder by `OOMCTL_CACHE`.

# SEE ALSO

`bpftool(8)`, `proc(5)`, and Documentation/admin-guide/cgroup-v2.rst of the kernel.
"""


def markdown() -> str:
    """Return the help of every command as typer writes it for documentation."""
    words = [sys.executable, "-m", "typer", "oomctl.cli.app", "utils", "docs", "--name", "oomctl"]
    env = {**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    return subprocess.run(words, capture_output=True, text=True, check=True, env=env).stdout


def sections(text: str) -> str:
    """Turn typer's headings into those of a man page, and examples into blocks."""
    _title, about, rest = text.split("\n\n", 2)
    usage = "**Usage**:\n\n```console\n$ oomctl [OPTIONS] COMMAND [ARGS]...\n```\n\n"
    text = (
        f"oomctl - {about[0].lower()}{about[1:].rstrip('.')}\n\n# SYNOPSIS\n\n"
        f"`oomctl` [OPTIONS] COMMAND [ARGS]...\n\n# DESCRIPTION\n\n{about}\n\n"
        f"{rest.replace(usage, '', 1)}"
    )
    text = re.sub(r"```console\n\$ (.*)\n```", r"    \1", text)
    text = text.replace("\n## ", "\n# COMMANDS\n\n## ", 1).replace("\n### ", "\n## ")
    examples = re.compile(r"^(Examples?:)\n((?:  .*\n)+)", re.M)
    text = examples.sub(lambda found: f"{found[1]}\n\n{indent(found[2], '    ')}", text)
    before, _, after = text.partition("Exit codes: ")  # the program's own are the first
    codes, _, after = after.partition("\n\n")
    text = before + after
    text = re.sub(r" &lt;[^&]*&gt;| <(?:list\[)?(?:str|Path|path)\]?>", "", text)  # Python's types
    return text.replace("'*order*'", r"'\*order\*'").replace("\b", "") + END.format(codes)


def main() -> None:
    """Write the page to stdout."""
    words = ["cmark", "-t", "man", "--width", "0"]
    text = sections(markdown())
    page = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    # cmark sets code in font C, which a terminal lacks; man pages set it bold
    sys.stdout.write(HEAD + page.stdout.replace(r"\f[C]", r"\f[B]"))


if __name__ == "__main__":
    main()
