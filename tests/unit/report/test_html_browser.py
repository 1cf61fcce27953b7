"""Every kind of page in a real browser: all of it can be read, on a phone, a screen and paper."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape

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

# The pages have no script; this one is only here, and tells what the layout came to. Each page is
# in a frame, because a headless window is never narrower than 500 pixels; one browser has all
# frames, one after the other. On paper and in the dark the rules for these hold on the screen.
MEASURE = """
<script>
const mode = location.hash.slice(1);
for (const sheet of document.styleSheets)
  for (const rule of sheet.cssRules)
    if (rule.media && rule.media.mediaText.includes(mode)) rule.media.mediaText = "all";
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
      texts.push({box, within, text: node.data.trim(), size: getComputedStyle(within).fontSize});
}
const parsed = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
const light = colour => {
  const [r, g, b] = parsed(colour).map(n => n / 255)
    .map(n => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = element => {
  for (let one = element; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (parsed(colour)[3] !== 0) return colour;
  }
  return "rgb(255, 255, 255)";
};
const contrast = within => {
  const [a, b] = [light(getComputedStyle(within).color), light(behind(within))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
};
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
  pale: texts.filter(t => contrast(t.within) < 4.5).map(t => t.text).slice(0, 5),
  first: texts.filter(t => t.box.bottom <= 700).map(t => t.text).join(" "),
  curves: document.querySelectorAll(".area path.curve").length,
  ink: rgb.color, paper: rgb.backgroundColor,
};
parent.postMessage(found, "*");
</script>
"""
FRAMES = """<!DOCTYPE html><body style="margin:0"><script>
const found = {{}}, jobs = {};
const next = () => {{
  if (!jobs.length) {{
    const told = document.createElement("pre"); told.textContent = JSON.stringify(found);
    return document.body.replaceChildren(told);
  }}
  const [key, file, width, mode] = jobs.shift(), frame = document.createElement("iframe");
  frame.style = `border:0;width:${{width}}px;height:1500px`;
  frame.src = `${{file}}#${{mode}}`;
  onmessage = event => {{ found[key] = event.data; next(); }};
  document.body.replaceChildren(frame);
}};
next();
</script></body>"""
LOOKS = {
    "400": (400, "screen"),
    "700": (700, "screen"),
    "1280": (1280, "screen"),
    "dark": (1280, "dark"),
    "paper": (718, "print"),
}
"""How pages are looked at: widths, and media; A4 with the browser's margins is 718 pixels wide."""


def browse(path, tmp_path, *more):
    """Open a page; return stdout, and what the browser's console said."""
    done = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *more, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def measure(pages, looks, folder, *more):
    """Return what the layouts came to, by page and look; `pages` has them by name."""
    jobs = []
    for number, (name, page) in enumerate(pages.items()):
        bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        assert bare != page
        path = folder / f"page-{number}.html"
        path.write_text(bare.replace("</body>", f"{MEASURE}</body>"))
        jobs += [(f"{name} {look}", path.name, *LOOKS[look]) for look in looks]
    frames = folder / "frames.html"
    frames.write_text(FRAMES.format(json.dumps(jobs)))
    more = ("--dump-dom", "--window-size=1400,1600", "--virtual-time-budget=900000", *more)
    dom, console = browse(frames, folder, *more)
    assert console == []
    text = re.search(r"<pre>(.*)</pre>", dom, re.DOTALL)[1]
    return json.loads(unescape(text))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Every page in every look, from one browser."""
    pages = {name: made() for name, made in PAGES.items()}
    return measure(pages, LOOKS, tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read(name, look, layouts):
    found = layouts[f"{name} {look}"]
    width, _media = LOOKS[look]
    assert found["inner"] == width
    assert found["width"] <= width
    assert found["smallest"] >= 11
    for fault in ("outside", "overlaps", "cut", "shifted", "squeezed", "pale"):
        assert found[fault] == [], fault


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", ["observed", "reaped", "wrong", "refused", "empty"])
def test_the_verdict_stands_on_the_first_700_pixels(name, look, layouts):
    tree = json.loads(RENDERERS["json"](OUTCOMES[name]))
    first = " ".join(layouts[f"{name} {look}"]["first"].split())
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


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", FACTS)
def test_what_happened_stands_on_the_first_700_pixels_of_every_page(name, look, layouts):
    first = " ".join(layouts[f"{name} {look}"]["first"].split())
    assert [fact for fact in FACTS[name] if fact not in first] == [], first


def test_each_cgroup_has_its_line(layouts):
    assert layouts["observed 1280"]["curves"] == 8  # two calls, four cgroups


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

    page = {"page": PAGES["observed"]()}
    light, dark = (measure(page, ["1280"], tmp_path, *more)["page 1280"] for more in ((), (DARK,)))
    assert brightness(light["ink"]) < brightness(light["paper"])
    assert brightness(dark["ink"]) > brightness(dark["paper"])
