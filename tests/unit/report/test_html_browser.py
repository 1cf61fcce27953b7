"""The page in a real browser: it opens without an error, and what is drawn can be read."""

import json
import re
import shutil
import struct
import subprocess

import pytest

from oomctl.report import RENDERERS
from tests.outcomes import OUTCOMES

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--window-size=1280,2400"),
)
DARK = "--blink-settings=preferredColorScheme=0"
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

# The page itself has no script; this one is only here, and tells what the layout came to.
MEASURE = """
<script>
const texts = [...document.querySelectorAll("svg text")].map(t => t.getBoundingClientRect());
const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 3
  || b.bottom <= a.top + 3;
const rgb = getComputedStyle(document.body);
document.body.innerHTML = JSON.stringify({
  width: document.documentElement.scrollWidth,
  lines: [...document.querySelectorAll("polyline")].map(l => l.getBoundingClientRect().width),
  deaths: document.querySelectorAll(".death").length,
  crosses: document.querySelectorAll(".cross").length,
  smallest: Math.min(...texts.map(t => t.height)),
  outside: texts.filter(t => t.left < 0 || t.right > innerWidth).length,
  overlaps: texts.flatMap((a, n) => texts.slice(n + 1).filter(b => !apart(a, b))).length,
  ink: rgb.color, paper: rgb.backgroundColor,
});
</script>
"""


def browse(page, tmp_path, *more):
    """Open a page; return stdout, and what the browser's console said."""
    path = tmp_path / "page.html"
    path.write_text(page)
    done = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *more, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def measured(name, tmp_path, *more):
    page = RENDERERS["html"](OUTCOMES[name])
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert bare != page
    dom, console = browse(
        bare.replace("</body>", f"{MEASURE}</body>"), tmp_path, "--dump-dom", *more
    )
    assert console == []
    return json.loads(re.search(r"<body>(.*)</body>", dom, re.DOTALL)[1])


def test_a_screenshot_of_three_cgroups_without_an_error(tmp_path):
    shot = tmp_path / "page.png"
    _, console = browse(RENDERERS["html"](OUTCOMES["observed"]), tmp_path, f"--screenshot={shot}")
    assert console == []
    assert struct.unpack(">II", shot.read_bytes()[16:24]) == (1280, 2400)
    assert shot.stat().st_size > 100_000, "the page is all but empty"


def test_the_page_may_load_nothing_and_the_console_would_say_so(tmp_path):
    page = RENDERERS["html"](OUTCOMES["observed"])
    spoiled = page.replace("</body>", '<img src="file:///nowhere.png"></body>')
    _, console = browse(spoiled, tmp_path, "--dump-dom")
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.parametrize("name", ["observed", "reaped"])
def test_text_and_drawing_can_be_read_at_1280_pixels(name, tmp_path):
    found = measured(name, tmp_path)
    assert found["width"] <= 1280
    assert found["smallest"] >= 12
    assert found["outside"] == 0
    assert found["overlaps"] == 0
    assert min(found["lines"]) > 200
    assert len(found["lines"]) == {"observed": 8, "reaped": 1}[name]
    assert found["deaths"] == {"observed": 2, "reaped": 6}[name]
    assert found["crosses"] == {"observed": 1, "reaped": 0}[name]


def test_it_is_dark_where_dark_is_preferred(tmp_path):
    def brightness(colour):
        return sum(map(int, re.findall(r"\d+", colour)))

    light, dark = measured("observed", tmp_path), measured("observed", tmp_path, DARK)
    assert brightness(light["ink"]) < brightness(light["paper"])
    assert brightness(dark["ink"]) > brightness(dark["paper"])
