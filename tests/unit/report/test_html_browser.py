"""Every kind of page in a real browser: all of it can be read, at 400 and at 1280 pixels."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from oomctl.oom.outcome import Check
from oomctl.report import DOCTOR_RENDERERS, RENDERERS, RUN_RENDERERS, SUITES_RENDERERS
from oomctl.rounds.drawn import SLOWEST
from tests.outcomes import OUTCOMES
from tests.unit.report.pages import RESULTS, crowd, drawn, examined, kernel_suites, run_of

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr"),
)
DARK = "--blink-settings=preferredColorScheme=0"
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

CHECKED = replace(
    OUTCOMES["wrong"],
    checks=(Check("victims are large", False, "small died " * 9), Check("kills: 1", True, "1")),
)
PAGES = {
    **{
        name: lambda name=name: RENDERERS["html"](OUTCOMES[name])
        for name in ("observed", "reaped", "wrong", "refused", "empty", "several")
    },
    "expected": lambda: RENDERERS["html"](CHECKED),
    "crowd": lambda: RENDERERS["html"](crowd()),
    "many kernels": lambda: SUITES_RENDERERS["html"](kernel_suites(9)),
    "drawn": lambda: RUN_RENDERERS["html"]([drawn()]),
    "fit": lambda: DOCTOR_RENDERERS["html"](examined()),
    **{
        name: lambda name=name: "".join(RESULTS[name][0]["html"](*RESULTS[name][2]))
        for name in RESULTS
    },
}

# The page itself has no script; this one is only here, and tells what the layout came to. The page
# is in a frame, because a headless window is never narrower than 500 pixels.
MEASURE = """
<script>
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const texts = [];
while (walker.nextNode()) {
  const node = walker.currentNode, within = node.parentElement;
  if (!node.data.trim() || within.closest("script, style, svg")) continue;
  if (within.closest("details:not([open]) > :not(summary)")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects())
    if (box.width > 1)
      texts.push({box, text: node.data.trim(), size: getComputedStyle(within).fontSize});
}
const apart = (a, b) => a.right <= b.left + 2 || b.right <= a.left + 2 || a.bottom <= b.top + 3
  || b.bottom <= a.top + 3;
const overlaps = texts.flatMap((a, n) => texts.slice(n + 1).filter(b => !apart(a.box, b.box))
  .map(b => a.text + " | " + b.text));
const rgb = getComputedStyle(document.body);
const found = {
  width: document.documentElement.scrollWidth, inner: innerWidth,
  smallest: Math.min(...texts.map(t => parseFloat(t.size))),
  outside: texts.filter(t => t.box.left < 0 || t.box.right > innerWidth + 1).map(t => t.text),
  cut: [...document.querySelectorAll(".wide")].filter(w => w.scrollWidth > w.clientWidth + 1)
    .map(w => w.innerText.slice(0, 60)),
  shifted: [...document.querySelectorAll(".tree > div")].filter(row => {
    const [name, bar] = [row.querySelector(".name"), row.querySelector(".bar")]
      .map(e => e && e.getBoundingClientRect());
    return bar && (bar.bottom < name.top || bar.top > name.bottom + 8);
  }).map(row => row.innerText),
  squeezed: [...document.querySelectorAll(".name, td, dd, li")]
    .filter(e => e.clientWidth && e.clientHeight > 3 * e.clientWidth).map(e => e.innerText),
  overlaps: overlaps.slice(0, 5),
  first: texts.filter(t => t.box.bottom <= 700).map(t => t.text).join(" "),
  curves: document.querySelectorAll(".area path.curve").length,
  ink: rgb.color, paper: rgb.backgroundColor,
};
parent.postMessage(JSON.stringify(found), "*");
</script>
"""
FRAME = """<!DOCTYPE html><body style="margin:0"><iframe style="border:0;width:{}px;height:1500px"
src="page.html"></iframe><script>addEventListener("message", e => {{
  const told = document.createElement("pre"); told.textContent = e.data;
  document.body.replaceChildren(told); }});</script></body>"""


def browse(path, tmp_path, *more):
    """Open a page; return stdout, and what the browser's console said."""
    done = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *more, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def measured(page, width, tmp_path, *more):
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert bare != page
    (tmp_path / "page.html").write_text(bare.replace("</body>", f"{MEASURE}</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width))
    more = ("--dump-dom", "--window-size=1400,1600", "--virtual-time-budget=5000", *more)
    dom, console = browse(frame, tmp_path, *more)
    assert console == []
    text = re.search(r"<pre>(.*)</pre>", dom, re.DOTALL)[1]
    unescaped = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(unescaped)


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read(name, width, tmp_path):
    found = measured(PAGES[name](), width, tmp_path)
    assert found["inner"] == width
    assert found["width"] <= width
    assert found["smallest"] >= 11
    assert found["outside"] == []
    assert found["overlaps"] == []
    assert found["cut"] == []
    assert found["shifted"] == []
    assert found["squeezed"] == []


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["observed", "reaped", "wrong", "refused", "empty"])
def test_the_verdict_stands_on_the_first_700_pixels(name, width, tmp_path):
    tree = json.loads(RENDERERS["json"](OUTCOMES[name]))
    first = " ".join(measured(PAGES[name](), width, tmp_path)["first"].split())
    assert tree["verdict"] in first
    assert tree["reason"] in first
    call = next(c for c in tree["calls"] if c["verdict"] == tree["verdict"])
    for reason in call["reasons"]:
        assert reason["sentence"] in first
    assert (call["errno"] or str(call["ret"])) in first
    assert tree["environment"]["kernel"] in first
    if tree["memory_current"]["before_bytes"]:
        assert "memory.current" in first


FACTS = {
    "rounds": ["largest-dies", "killed 2", "Linux 6.12"],
    "records": ["failed", "busy: held in 3 of 5 rounds", "Linux 6.12"],
    "hunt": ["differs", "1 finding in 30 rounds", "the kernel killed b, the model a"],
    "suite": ["failed", "lock.busy", "3 passed, 1 failed, 2 skipped"],
    "two suites": ["lock.busy on kernels", "Linux 7.3.4", "1 failed"],
    "many kernels": ["lock.busy on 9 of 9 kernels", "kernel-8"],
    "kills": ["6 tasks died: 3 of /a/web, 3 of the machine", "limit 128M"],
    "comparison": ["unchanged", "6.12.jsonl (A) and 7.3.jsonl (B)", "no difference beyond chance"],
    "prediction": ["would kill worker (pid 21)", "Why worker: 10,304 pages", "limit: 256M"],
    "explanation": [
        "side car (pid 163) was killed",
        "memory.max of /lab/shop: 64M",
        "Why side car",
    ],
    "doctor": ["unfit", "1 missing", "there is no cgroup v2", "cgroup_no_v1=all"],
    "kernels": ["no rounds, or not all, on broken", "the guest's kernel panicked: Oops"],
    "suites": ["failed", "lock.busy on kernels kernel-0, kernel-1"],
    "fleet of suites": ["1 of 4 hosts as wanted", "dead.lab: kernel-died", "gone.lab: unreachable"],
    "fleet of rounds": ["begun last: lock.a; it has booted since", "Connection timed out"],
}


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", FACTS)
def test_what_happened_stands_on_the_first_700_pixels_of_every_page(name, width, tmp_path):
    first = " ".join(measured(PAGES[name](), width, tmp_path)["first"].split())
    assert [fact for fact in FACTS[name] if fact not in first] == [], first


def test_each_cgroup_has_its_line(tmp_path):
    assert measured(PAGES["observed"](), 1280, tmp_path)["curves"] == 8  # two calls, four cgroups


def test_a_slow_round_is_drawn_if_its_samples_are_there():
    alone, with_samples = (RUN_RENDERERS["html"]([run]) for run in (run_of("alone"), drawn()))
    assert "without memory: no samples were recorded" in alone
    assert "without memory" not in with_samples
    assert with_samples.count("memory.current of each cgroup over time") == 2 * 2 * SLOWEST
    assert with_samples.count('<a class="pass" href="#busy-') == SLOWEST


def test_the_page_may_load_nothing_and_the_console_would_say_so(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGES["observed"]().replace("</body>", '<img src="file:///no.png"></body>'))
    _, console = browse(path, tmp_path, "--dump-dom")
    assert any("Content Security Policy" in line for line in console)


def test_it_is_dark_where_dark_is_preferred(tmp_path):
    def brightness(colour):
        return sum(map(int, re.findall(r"\d+", colour)))

    page = PAGES["observed"]()
    light, dark = measured(page, 1280, tmp_path), measured(page, 1280, tmp_path, DARK)
    assert brightness(light["ink"]) < brightness(light["paper"])
    assert brightness(dark["ink"]) > brightness(dark["paper"])
