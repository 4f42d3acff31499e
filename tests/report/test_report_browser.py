"""A browser shows the page of `ssl report` whole, on a phone as on a desk."""

import json
import shutil
import subprocess

import html5lib
import pytest
from report_pages import parsed

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


PROBE = """<!DOCTYPE html><meta charset="utf-8"><body>
<iframe id="f" src="SRC" style="width:WIDTHpx;height:900px"></iframe>
<script>onload = () => {
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const svg = page.querySelector("#tsne svg"), box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  const [x, y] = JSON.parse(page.getElementById("points").textContent).maps.tsne[3];
  svg.dispatchEvent(new PointerEvent("pointerdown", {clientX: box.left + x * scale, clientY: box.top + y * scale}));
  const tip = page.getElementById("tip"), wide = root.clientWidth;
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
  const inside = (e) => { for (; e; e = e.parentElement) if (scrolls(e)) return true; };
  const cut = [...page.querySelectorAll("body *")].filter((e) => !e.closest("svg") || e.tagName === "text")
    .filter((e) => e.getBoundingClientRect().right > wide + 1 && !inside(e))
    .map((e) => `${e.tagName} ${e.textContent}`);
  const small = [...page.querySelectorAll("svg text")].map((e) => e.getBoundingClientRect().height);
  const found = {wide: root.scrollWidth, client: wide, cut, tip: tip.textContent, shown: getComputedStyle(tip).display,
    paper: getComputedStyle(page.body).backgroundColor, scripts: page.scripts.length, small: Math.min(...small)};
  document.body.dataset.found = JSON.stringify(found);
};</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_browser_shows_it_whole(run, tmp_path, width, scheme):
    page = run / "report/index.html"
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("SRC", page.as_uri()).replace("WIDTH", str(width)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--window-size=1400,1000"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    flags += [f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"]
    done = subprocess.run([BROWSER, *flags, probe.as_uri()], capture_output=True, text=True, timeout=180)
    tree = html5lib.parse(done.stdout, namespaceHTMLElements=False)
    found = json.loads(tree.find("body").get("data-found"))
    assert found["wide"] <= found["client"] and found["cut"] == [], found
    assert found["paper"] == {"dark": "rgb(20, 23, 28)", "light": "rgb(255, 255, 255)"}[scheme]
    points = json.loads(parsed(page).find(".//script[@id='points']").text)
    assert found["shown"] == "block" and found["tip"] in points["images"] and found["scripts"] == 2
    assert found["small"] >= 8  # pixels: the least height of a text in a figure
