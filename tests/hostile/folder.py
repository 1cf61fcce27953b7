"""A folder with a file of every kind that a command may be given."""

import shutil

from tests.rounds import alone, beside

VALID = '[hog.a]\nsize = "1M"\n[hog.c]\nsize = "4K"\ncount = 2\n[[call]]\n[expect]\nkills = 1\n'
FILES = {
    "valid.toml": VALID.encode(),
    "record.jsonl": (alone() + beside()).encode(),
    "half.jsonl": alone().encode()[:-99],
    "broken.toml": b"[hog.a]\nsize = \n",
    "a b": VALID.encode(),
    "empty": b"",
    "binary": bytes(range(256)),
    "utf16": VALID.encode("utf-16"),
    "zeros": bytes(70_000),
}


def furnish(where):
    """Make the folder as if nothing had been there before."""
    if where.exists():
        for each in where.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    (where / "folder").mkdir(parents=True)
    for name, data in FILES.items():
        (where / name).write_bytes(data)
    (where / "loop").symlink_to("loop")
