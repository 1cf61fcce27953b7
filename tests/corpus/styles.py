"""A log of the corpus in the styles of programs that print, keep or forward kernel logs."""

import codecs
import json
import re
import struct

from tests.corpus.compose import HERE

TIME = "2026-11-26T07:15:06"
STAMPS = {  # what stands before a record, with {} for its time since boot
    "dmesg": "[{:>12}] ",
    "dmesg-x": "kern  :warn  : [{:>12}] ",
    "dmesg-xt": "kern  :warn  : ",
    "dmesg-xT-caller": "kern  :warn  : [Thu Nov 26 07:15:06 2026] [  T176] ",
    "dmesg-d": "[{:>12} <    0.000012>] ",
    "dmesg-Td": "[Thu Nov 26 07:15:06 2026 <    0.000012>] ",
    "dmesg-iso-caller": f"{TIME},529934+00:00 [  T176] ",
    "dmesg-raw-caller": "<4>[{:>12}][  T176] ",
    "caller-wide": "[{:>12}][T1234567] ",
    "caller-cpu": "[{:>12}][    C0] ",
    "caller-only": "[  T176] ",
    "twelve-hours": "[Thu 26 Nov 2026 07:15:06 AM UTC] ",
    "rsyslog": f"{TIME}.529934+00:00 box kernel: [{{:>12}}] ",
    "rfc5424": f"<4>1 {TIME}.529934+00:00 box kernel - - - ",
    "rfc5424-no-priority": f'1 {TIME}.529934Z box kernel - - [x y="1"] \ufeff[{{:>12}}] ',
    "busybox": "Nov 26 07:15:06 box user.warn kernel: [{:>12}] ",
    "openwrt": "Thu Nov 26 07:15:06 2026 kern.warn kernel: [{:>12}] ",
    "docker-t": f"{TIME}.529934123Z [{{:>12}}] ",
    "docker-t-bare": f"{TIME}.529934123Z ",
    "crio": f"{TIME}.529934123+00:00 stderr F ",
    "kubectl-prefix": "[pod/dmesg-x7/dm] [{:>12}] ",
    "kubectl-prefix-bare": "[pod/dmesg-x7/dm] ",
    "compose": "dmesg-1  | ",
    "stern": "dmesg-x7 dm ",
    "loki": f'{TIME}Z {{{{job="varlogs", host="box"}}}} Nov 26 07:15:06 box kernel: [{{:>12}}] ',
    "loki-bare": f'{TIME}Z {{{{job="varlogs"}}}} ',
    "logcat": "11-26 07:15:06.529     0     0 W kernel  : ",
    "talos": f"10.0.0.2: kern: warning: [{TIME}.529934123Z]: ",
    "terminal-stamp": "[2026-11-26 07:15:06.529] [{:>12}] ",
    "clock-only": "07:15:06.123456 [{:>12}] ",
    "address-6": "Nov 26 07:15:06 fe80::1 kernel: [{:>12}] ",
    "cat-n": "    17\t[{:>12}] ",
    "grep-n": "/var/log/kern.log:17:Nov 26 07:15:06 box kernel: ",
    "indented": "    [{:>12}] ",
    "tab": "\t[{:>12}] ",
    "colours": "\x1b[32m[{:>12}] \x1b[0m\x1b[33m",
    "colours-escaped": "#033[32m[{:>12}] #033[0m#033[33m",
}
JOURNAL = {  # continued lines are indented
    "short-caller": "Nov 26 07:15:06 box kernel: [  T176] ",
    "iso-half-hour": f"{TIME}+05:30 box kernel: ",
    "full-summer": "Thu 2026-11-26 07:15:06 CEST box kernel: ",
    "full-no-name": "Thu 2026-11-26 07:15:06 +03 box kernel: ",
    "delta": "[{:>12} <    0.000123 >] box kernel: ",
    "delta-first": "[{:>12}                 ] box kernel: ",
    "cat": "",
}


def records(name):
    """Return the records of a log of dmesg, time and lines, without most that say nothing."""
    found = []
    for at, line in enumerate((HERE / f"{name}.log").read_text().splitlines()):
        if at > 12 and re.match(r"\[[ .\d]+\] (?: |R..:|RIP|Code|\w+ \d+$)", line):
            continue
        stamp = re.match(r"\[ *(\d+\.\d+)\] (.*)", line)
        if stamp:
            found.append((stamp[1], [stamp[2]]))
        else:
            found[-1][1].append(line.strip(" "))
    return found


def styles(name):
    """Yield each style and the log in it."""
    found = records(name)
    flat = [(time, line) for time, lines in found for line in lines]
    for style, stamp in STAMPS.items():
        text = "".join(f"{stamp.format(time)}{line}\n" for time, line in flat)
        yield style, text.replace("box kernel: \n", "box kernel:\n").encode()
    for style, stamp in JOURNAL.items():
        text = ""
        for time, lines in found:
            first = stamp.format(time)
            text += first + ("\n" + " " * len(first)).join(lines) + "\n"
        yield f"journal-{style}", text.encode()
    plain = "".join(f"[{time:>12}] {line}\n" for time, line in flat)
    yield "windows", plain.replace("\n", "\r\n").encode()
    yield "serial", plain.replace("\n", "\r\r\n").encode()
    yield "newline-first", plain.replace("\n", "\n\r").encode()
    yield "carriage-returns", plain.replace("\n", "\r").encode()
    yield "utf-8-bom", codecs.BOM_UTF8 + "".join(f"{line}\n" for _, line in flat).encode()
    yield "utf-16", plain.encode("utf-16")
    yield "utf-16-be", codecs.BOM_UTF16_BE + plain.encode("utf-16-be")
    yield "utf-16-windows", plain.replace("\n", "\r\n").encode("utf-16-le")
    yield "one-string", plain.replace("\n", "\\n").encode()
    yield "csv", "".join(f'"2026-11-26","box","{line}"\n' for _, line in flat).encode()
    yield "key-value", "".join(f"time=1 msg={json.dumps(line)}\n" for _, line in flat).encode()
    numbered = [f"4,{at},{float(time) * 1e6:.0f},-" for at, (time, _) in enumerate(flat)]
    yield "kmsg-windows", _lines(f"{n};{x}\r" for n, (_, x) in zip(numbered, flat, strict=True))
    yield "netconsole", _lines(f"6.12.1,{n};{x}" for n, (_, x) in zip(numbered, flat, strict=True))
    yield from _entries(found, flat)


def _entries(found, flat):
    entries = [
        {
            "_HOSTNAME": "box",
            "MESSAGE": "\n".join(lines),
            "_TRANSPORT": "kernel",
            "_SOURCE_MONOTONIC_TIMESTAMP": f"{float(time) * 1e6:.0f}",
        }
        for time, lines in found
    ]
    forged = {
        "MESSAGE": "Out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB, "
        "file-rss:1kB, shmem-rss:0kB",
        "_TRANSPORT": "stdout",
    }
    entries.insert(2, forged)
    lines = [json.dumps(entry) for entry in entries]
    pretty = _lines(json.dumps(each, indent=8).replace('": ', '" : ') for each in entries)
    numbers = json.dumps([*entries[0]["MESSAGE"].encode()], indent=16).encode()
    first = json.dumps(entries[0]["MESSAGE"]).encode()
    yield "journal-json-pretty", pretty
    yield "journal-json-numbers", pretty.replace(first, numbers, 1)
    yield "journal-json-sse", _lines(f"data: {line}\n" for line in lines)
    yield "journal-json-seq", _lines(f"\x1e{line}" for line in lines)
    yield "json-array", json.dumps(entries).encode()
    yield "json-array-lines", ("[" + ",\n".join(lines) + "]").encode()
    yield "json-array-pretty", json.dumps(entries, indent=2).encode()
    binary = b""
    for entry in entries:
        message = entry["MESSAGE"].encode()
        binary += b"__CURSOR=s=1\nMESSAGE\n" + struct.pack("<Q", len(message)) + message
        binary += f"\n_TRANSPORT={entry['_TRANSPORT']}\n\n".encode()
    yield "journal-export-binary", binary
    verbose = ""
    for entry in entries:
        verbose += "Thu 2026-11-26 07:15:06.529934 UTC [s=ab;i=1;b=cd;m=1;t=2;x=3]\n"
        verbose += "    MESSAGE=" + entry["MESSAGE"].replace("\n", "\n" + " " * 12)
        verbose += f"\n    _TRANSPORT={entry['_TRANSPORT']}\n    SYSLOG_FACILITY=0\n"
    yield "journal-verbose", verbose.encode()
    dmesg = [{"pri": 4, "time": float(time), "msg": "\n".join(each)} for time, each in found]
    yield "dmesg-json", json.dumps({"dmesg": dmesg}, indent=3).encode()
    yield "dmesg-json-compact", json.dumps({"dmesg": dmesg}).encode()
    wrapped = {
        "elastic": lambda time, line: {"message": f"Nov 26 07:15:06 box kernel: [{time}] {line}"},
        "nested": lambda _, line: {"timestamp": TIME, "jsonPayload": {"MESSAGE": line}},
        "payload": lambda time, line: {"textPayload": f"[{time}] {line}", "timestamp": TIME},
        "loki-jsonl": lambda _, line: {"labels": {"a": "b"}, "line": line, "timestamp": TIME},
    }
    for style, wrap in wrapped.items():
        yield style, _lines(json.dumps(wrap(*each)) for each in flat)


def _lines(lines):
    return "".join(f"{line}\n" for line in lines).encode()
