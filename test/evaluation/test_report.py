"""The report as its readers have it: opened in a real browser, on a phone, on a projector and on paper."""

from __future__ import annotations

import base64
import copy
import html
import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

from t2g_ros.evaluation.replay.conditions import Condition
from t2g_ros.evaluation.replay.counts import Counts
from t2g_ros.evaluation.replay.loop import Run
from t2g_ros.evaluation.report import charts, wording, write_report
from t2g_ros.evaluation.report.results import row as row_of
from t2g_ros.evaluation.report.schema import SCHEMA, load_schema
from t2g_ros.evaluation.report.series import series_of
from t2g_ros.evaluation.report.timeline_chart import BUCKETS, kept_points
from t2g_ros.labels import CAMVID11

from . import evaluation_results as made

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = ("full", "one_row", "unlabelled", "many")
PHONE, DESK, PROJECTOR = (360, 800), (1280, 900), (1920, 1080)
HOSTILE = {
    "t2g_tiny": "<script>window.hacked = 1</script>",
    "seq16E5_15Hz.mcap": '"><img src=x onerror="window.hacked = 1">' + 40 * "long",
    "pavement": "<b>pavement</b> & {{ 7 * 7 }}",
}


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    full = made.full_results()
    hostile = json.dumps(full)
    for harmless, name in HOSTILE.items():
        hostile = hostile.replace(harmless, json.dumps(name)[1:-1])
    plain = {"full": full, "one_row": made.one_row(), "unlabelled": made.unlabelled(), "many": made.many()}
    return plain | {"hostile": json.loads(hostile)}


@pytest.fixture(scope="module")
def pages(results: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, contents in results.items():
        inputs = ["drive8", "drive2"] if name == "many" else [entry["name"] for entry in contents["inputs"]]
        moments = made.moments(inputs, truth=name != "unlabelled")
        write_report(copy.deepcopy(contents), moments, folder / f"{name}.html")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.set_page_load_timeout(120)
    yield chrome
    chrome.quit()


class Page:
    """A report opened in a browser, with every chart drawn."""

    def __init__(self, browser: webdriver.Chrome, path: Path, size: tuple[int, int], scheme: str = "light") -> None:
        self.browser = browser
        self.resize(size)
        self.prefer(scheme)
        for log in ("browser", "performance"):
            browser.get_log(log)  # what the page before has left there
        browser.get(path.as_uri())
        # As a reader scrolls: the charts are drawn when they come near.
        WebDriverWait(browser, 60, 0.1).until(lambda _: self.run(SCROLL_TO_NEXT))
        self.run("scrollTo(0, 0)")

    def resize(self, size: tuple[int, int]) -> None:
        screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def prefer(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )
        return [" ".join(text.split()) for text in found]

    def has(self, selector: str) -> bool:
        return bool(self.run("return document.querySelector(arguments[0]) !== null", selector))


SCROLL_TO_NEXT = """
const next = document.querySelector(".plot:not([data-drawn])");
if (next) next.scrollIntoView();
return !next;
"""
TRACES = """
return [...document.querySelectorAll(".plot")].map(plot => ({
  wanted: plot.data.filter(t => t.visible !== false && t.y.some(v => v !== null)).length,
  drawn: plot.querySelectorAll(".scatterlayer > .trace, .barlayer > .trace").length,
  width: plot.querySelector("svg.main-svg").getBoundingClientRect().width,
}));
"""
SMALLEST_TYPE = """
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let smallest = [Infinity, ""];
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const box = element.getBoundingClientRect();
  if (!walker.currentNode.textContent.trim() || !box.width || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const size = parseFloat(getComputedStyle(element).fontSize);
  if (size < smallest[0]) smallest = [size, walker.currentNode.textContent];
}
return smallest;
"""
INK_AND_PAPER = """
const tick = document.querySelector("#latency .plot .xtick text");
const light = c => c.match(/\\d+/g).slice(0, 3).reduce((sum, v) => sum + Number(v), 0) / 3;
return [light(getComputedStyle(tick).fill), light(getComputedStyle(document.body).backgroundColor)];
"""


@pytest.mark.parametrize("name", PAGES)
def test_results_follow_the_schema(results: dict[str, dict[str, Any]], name: str) -> None:
    validator = jsonschema.Draft202012Validator(load_schema())
    validator.check_schema(load_schema())
    validator.validate(results[name])
    assert load_schema()["properties"]["schema"]["const"] == SCHEMA


def test_the_schema_tells_what_does_not_belong(results: dict[str, dict[str, Any]]) -> None:
    validator = jsonschema.Draft202012Validator(load_schema())
    lacking, foreign, share = (copy.deepcopy(results["one_row"]) for _ in range(3))
    del lacking["rows"][0]["tc"]
    foreign["rows"][0]["mood"] = "fine"
    share["rows"][0]["miou"] = 664.0
    for wrong, key in ((lacking, "tc"), (foreign, "mood"), (share, "664.0")):
        assert any(key in error.message for error in validator.iter_errors(wrong))


def test_the_schema_describes_every_key() -> None:
    def keys(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        for name, value in schema.get("properties", {}).items():
            yield f"{path}/{name}", value
            yield from keys(value, f"{path}/{name}")
        for inner in ("items", "additionalProperties"):
            if isinstance(schema.get(inner), dict):
                yield from keys(schema[inner], f"{path}/*")

    described = dict(keys(load_schema()))
    assert "/rows/*/latency_ms/*/p95" in described
    assert [path for path, value in described.items() if not value.get("description")] == []


def test_slow_frames_are_counted_apart_from_the_histogram() -> None:
    fast, slow = np.linspace(8, 12, 100), [40.0, 900.0]
    found = timed({"encode": [*fast, *slow], "decode": [0.5] * 102})
    histogram = found["latency_histogram"]
    assert histogram["edges_ms"][-1] < 40
    assert (sum(histogram["counts"]), histogram["beyond"], histogram["longest_ms"]) == (100, 2, 900.5)
    assert histogram["counts"][-1] == 0, "a slow frame is drawn as if it had taken the last bin's time"
    assert found["latency_ms"]["total"]["p99"] > 40, "percentiles are of all frames"
    nothing = timed({})["latency_histogram"]
    assert (nothing["counts"], nothing["beyond"], nothing["longest_ms"]) == ([], 0, None)


def timed(stage_ms: dict[str, list[float]]) -> dict[str, Any]:
    counts = Counts(len(CAMVID11))
    counts.stage_ms = stage_ms
    run = Run("t2g_tiny", "memory", CAMVID11, lambda: pytest.fail("nothing is run"))
    return row_of(run, Condition("stride 1"), counts, CAMVID11)


@pytest.mark.parametrize("uneven", [("jitter 6", 6, True, 0.0), ("drop 0.9", 1, False, 0.9)])
def test_the_frame_rate_axis_holds_every_mark(uneven: tuple[str, int, bool, float]) -> None:
    rows = [made.row("t2g_tiny", "memory", *c) for c in (("stride 1", 1, False, 0.0), uneven)]
    for chart in charts.frame_rate(series_of({"rows": rows}), 15.0):
        low, high = chart.figure.layout.xaxis.range
        drawn = [x for trace in chart.figure.data for x in trace.x]
        assert max(drawn) == pytest.approx(uneven[1] / (1 - uneven[3]))
        assert low < min(drawn) < max(drawn) < high
        assert max(chart.figure.layout.xaxis.tickvals) >= 0.9 * max(drawn)


def test_a_difference_that_means_nothing_does_not_fill_the_miou_axis() -> None:
    conditions = [("stride 1", 1, None, None), ("stride 2", 2, None, None), ("fog 1", 1, "fog", 1)]
    rows = [made.row("t2g_tiny", "memory", c, n, False, 0.0, 0.0, *weather) for c, n, *weather in conditions]
    for n, row in enumerate(rows):
        row["miou"] = 60 + 0.1 * n
    series = series_of({"rows": rows})
    for chart in (charts.frame_rate(series, None)[0], charts.corruptions(series)[0]):
        assert np.ptp(chart.figure.layout.yaxis.range) >= 2
    rows[1]["miou"] = 30.0
    low, high = charts.frame_rate(series, None)[0].figure.layout.yaxis.range
    assert low < 30 < 60 < high


def test_thinning_keeps_the_peaks_of_every_curve() -> None:
    rng = np.random.default_rng(0)
    curves = [rng.uniform(1, 2, 20_000) for _ in range(2)]
    peaks = {777: (0, 9.0), 13_131: (1, -4.0), 19_998: (1, 7.0)}
    for index, (curve, value) in peaks.items():
        curves[curve][index] = value
    curves[0][5000:6000] = curves[1][5000:6000] = np.nan
    keep = kept_points(curves)
    assert set(peaks) <= set(keep.tolist())
    assert len(keep) <= 4 * BUCKETS + 2
    assert np.isnan(curves[0][keep]).any(), "the gap is closed"
    assert (np.diff(keep) > 0).all()
    assert kept_points([curves[0][: 2 * BUCKETS]]).tolist() == list(range(2 * BUCKETS))


def test_the_page_of_a_long_drive_stays_small(pages: Path) -> None:
    pictures = sum(len(p) for m in made.moments(["x"]) for p in m.pictures.values())
    assert (pages / "one_row.html").stat().st_size < 6e6 + 1.4 * pictures


def test_names_are_escaped_in_the_file(pages: Path) -> None:
    page = (pages / "hostile.html").read_text("utf-8")
    for name in HOSTILE.values():
        assert html.escape(name, quote=False) in page.replace("&#34;", '"').replace("&#39;", "'")
    assert HOSTILE["t2g_tiny"] not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("size", [PHONE, DESK, PROJECTOR])
@pytest.mark.parametrize("name", [*PAGES, "hostile"])
def test_charts_are_drawn_without_errors_network_or_overflow(
    browser: webdriver.Chrome, pages: Path, name: str, size: tuple[int, int]
) -> None:
    page = Page(browser, pages / f"{name}.html", size)
    charts = page.run(TRACES)
    assert len(charts) >= 5
    for chart in charts:
        assert chart["drawn"] == chart["wanted"] > 0
        assert 100 < chart["width"] <= size[0]
    assert browser.get_log("browser") == []
    urls = page.run("return performance.getEntriesByType('resource').map(e => e.name)")
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
    assert {url.split(":")[0] for url in urls} <= {"file", "data", "chrome"}  # the last is the empty tab before
    assert page.run("return document.documentElement.scrollWidth") <= size[0]
    smallest, text = page.run(SMALLEST_TYPE)
    assert smallest >= 14, text


def test_charts_follow_the_width_of_the_window(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", PROJECTOR)
    page.resize(PHONE)
    WebDriverWait(browser, 30).until(lambda _: max(chart["width"] for chart in page.run(TRACES)) <= PHONE[0])
    assert page.run("return document.documentElement.scrollWidth") <= PHONE[0]


def test_the_headline_is_that_of_the_results(
    browser: webdriver.Chrome, pages: Path, results: dict[str, dict[str, Any]]
) -> None:
    page = Page(browser, pages / "full.html", DESK)
    row = results["full"]["rows"][0]
    cards = dict(zip(page.run(CARD_KEYS), zip(page.texts(".value"), page.texts(".note"), strict=True), strict=True))
    for key in ("miou", "mvc8", "tc", "flicker", "flicker_compensated", "ece"):
        assert shown(cards[key][0]) == (pytest.approx(row[key], rel=5e-3), "%")
    assert shown(cards["latency_ms"][0]) == (pytest.approx(row["latency_ms"]["total"]["p50"], rel=5e-3), "ms")
    assert "frames_per_s" not in cards, "masks of all rows are not the model's rate"
    assert any("38.4 masks per second" in text for text in page.texts("#method dd"))
    assert "10 classes" in cards["miou"][1]
    for key in ("flicker", "flicker_compensated"):
        truth = re.search(r"[\d.]+ %", cards[key][1])
        assert truth is not None
        assert shown(truth[0])[0] == pytest.approx(row[f"truth_{key}"], rel=5e-3)
    (verdict,) = page.texts(".verdict")
    assert {cards[key][0] for key in ("miou", "flicker_compensated", "latency_ms")} <= set(
        re.findall(r"[\d.]+ (?:%|ms)", verdict)
    )


CARD_KEYS = "return [...document.querySelectorAll('.cards > div')].map(e => e.dataset.key)"


def shown(text: str) -> tuple[float, str]:
    value, _, unit = text.partition(" ")
    return float(value), unit


def test_the_table_holds_every_row(browser: webdriver.Chrome, pages: Path, results: dict[str, dict[str, Any]]) -> None:
    page = Page(browser, pages / "full.html", DESK)
    heads = page.texts("#rows thead th")
    lines = "[...document.querySelectorAll('#rows tbody tr:not(.group)')]"
    cells = page.run(f"return {lines}.map(r => [...r.cells].map(c => c.innerText))")
    rows = results["full"]["rows"]
    assert len(cells) == len(rows)
    for key, title in (("miou", "mIoU"), ("mvc16_vspw", "mVC16 VSPW"), ("miou_drop", "Lost points"), ("tc", "TC")):
        column = heads.index(title)
        by_series = sorted(rows, key=lambda r: [(o["model"], o["mode"]) for o in rows].index((r["model"], r["mode"])))
        for row, line in zip(by_series, cells, strict=True):
            assert line[0] == row["condition"]
            assert float(line[column].replace("−", "-")) == pytest.approx(row[key], rel=5e-3, abs=5e-3)


def test_the_memory_is_compared_with_the_other_modes(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", DESK)
    first = page.texts("#memory tbody tr:first-child > *")
    assert first == [
        "t2g_tiny against frame by frame",
        *["+0.90 better"] * 3,
        "−1.60 better",
        *["−1.50 better"] * 2,
    ]
    assert page.texts("#memory tbody tr:nth-child(2) > *")[4] == "+0.40 worse"
    assert page.texts("#memory tbody tr:nth-child(4) > *") == [
        "t2g_tiny against average along flow 0.8",
        *["+0.60 better"] * 3,
        "+0.20 worse",
        *["+0.90 worse"] * 2,
    ]
    assert page.texts("#memory tbody th") == [
        f"{model} against {wording.MODES[mode]}"
        for model in ("t2g_tiny", "t2g_street")
        for mode in list(made.MODES)[1:]
    ]


def test_what_is_left_under_all_corruptions_together_is_told(
    browser: webdriver.Chrome, pages: Path, results: dict[str, dict[str, Any]]
) -> None:
    rows = results["full"]["rows"]
    own = [row for row in rows if (row["model"], row["mode"]) == ("t2g_tiny", "memory")]
    mean = np.mean([row["miou"] for row in own if row["corruption"]])
    found = results["full"]["robustness"]
    assert [(each["model"], each["mode"]) for each in found] == [
        (model, mode) for model in ("t2g_tiny", "t2g_street") for mode in ("memory", "single_frame")
    ]
    assert found[0]["families"] == list(made.FAMILIES)
    assert found[0]["severities"] == [1, 2, 3, 4, 5]
    assert found[0]["miou"] == pytest.approx(mean, abs=1e-3)
    assert found[0]["share_of_clean"] == pytest.approx(100 * mean / own[0]["miou"], abs=1e-3)
    page = Page(browser, pages / "full.html", DESK)
    name, miou, share = page.texts("#corruptions tbody tr:first-child > *")
    assert name == "t2g_tiny, with memory"
    assert float(miou) == pytest.approx(mean, abs=0.05)
    assert float(share.split()[0]) == pytest.approx(100 * mean / own[0]["miou"], abs=0.05)
    assert results["unlabelled"]["robustness"] == results["one_row"]["robustness"] == []


def test_pictures_are_decoded_and_described(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", PHONE)
    images = page.run("return [...document.images].map(i => [i.naturalWidth, i.alt])")
    assert len(images) == 6 * 4
    assert all(width == 480 and alt for width, alt in images)
    assert page.texts(".moment:first-of-type figcaption") == ["image", "mask", "ground truth", "stability"]
    assert page.run("return [...document.querySelectorAll('.plot')].every(p => p.getAttribute('aria-label'))")


def test_headings_and_tables_are_named(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", DESK)
    levels = page.run("return [...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.run("return [...document.querySelectorAll('th')].every(th => th.scope)")
    assert page.run("return [...document.querySelectorAll('tbody tr')].every(tr => tr.querySelector('th'))")


def test_the_timeline_says_time_and_figures_under_the_mouse(
    browser: webdriver.Chrome, pages: Path, results: dict[str, dict[str, Any]]
) -> None:
    page = Page(browser, pages / "one_row.html", DESK)
    page.run("document.querySelector('#timeline .plot').scrollIntoView({block: 'center'})")
    (note,) = page.texts("#timeline figcaption")
    assert "of 20,000 frames" in note
    entry = results["one_row"]["timelines"][0]
    peak = max(v for v in entry["flicker"] if v is not None)
    at = entry["time_s"][entry["flicker"].index(peak)]
    where = page.run(
        "const p = document.querySelector('#timeline .plot'), l = p._fullLayout, b = p.getBoundingClientRect();"
        "return [b.x + l.xaxis._offset + l.xaxis.d2p(arguments[0]), b.y + l.yaxis._offset + l.yaxis._length / 2]",
        at,
    )
    mouse = ActionChains(browser)
    mouse.w3c_actions.pointer_action.move_to_location(*map(round, where))
    mouse.perform()
    label = WebDriverWait(browser, 20).until(lambda _: " ".join(page.texts("#timeline .hoverlayer text")))
    assert f"{peak:.2f} %" in label
    assert f"{at:.2f} s" in label
    assert "% of pixels right" in label


def test_a_legend_hides_what_it_names(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", DESK)
    shown_bars = "return document.querySelectorAll('#classes .barlayer > .trace').length"
    before = page.run(shown_bars)
    page.run("document.querySelector('#classes .legend button').click()")
    assert page.run(shown_bars) == before - 1
    assert page.run("return document.querySelector('#classes .legend button').getAttribute('aria-pressed')") == "false"
    page.run("document.querySelector('#classes .legend button').click()")
    assert page.run(shown_bars) == before


def test_charts_follow_the_colour_scheme(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "one_row.html", DESK, "dark")
    ink, paper = page.run(INK_AND_PAPER)
    assert ink > 200 > 60 > paper
    page.prefer("light")
    ink, paper = WebDriverWait(browser, 20).until(lambda _: (found := page.run(INK_AND_PAPER))[0] < 60 and found)
    assert ink < 60 < 200 < paper


def test_prints_dark_ink_on_paper_width(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", PROJECTOR, "dark")
    page.run("dispatchEvent(new Event('beforeprint'))")
    ink, paper = page.run(INK_AND_PAPER)
    assert ink < 60 < 200 < paper
    assert max(chart["width"] for chart in page.run(TRACES)) <= 700
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run(INK_AND_PAPER)[0] > 200
    pdf = base64.b64decode(
        browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
    )
    assert pdf.startswith(b"%PDF")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_says_that_there_is_nothing_in_program_words(browser: webdriver.Chrome, pages: Path, name: str) -> None:
    page = Page(browser, pages / f"{name}.html", DESK)
    text = page.run("return document.body.innerText + document.title") + " ".join(page.texts("svg text"))
    assert re.findall(r"\b(?:nan|none|null|undefined|inf)\b|`|\w_\w+(?= is not)", text, re.IGNORECASE) == []


def test_without_ground_truth_the_page_says_so(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "unlabelled.html", DESK)
    assert "No ground truth: accuracy is unknown." in page.texts("header .muted")
    assert page.run(CARD_KEYS) == ["tc", "flicker", "flicker_compensated", "latency_ms"]
    assert "mIoU" not in page.texts("#rows thead th")
    assert page.texts("#memory thead th") == ["Memory", "Flicker", "Compensated flicker"]
    assert "same reference frames" not in page.texts("#frame-rate p")[0]
    assert not page.has("#classes .plot")
    assert not page.has("#calibration .plot")
    assert page.texts("#corruptions h3") == ["Flicker in fog"]


def test_one_row_leaves_out_what_needs_more(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "one_row.html", DESK)
    assert not page.has("#memory")
    assert not page.has("#corruptions")
    assert page.texts("#frame-rate p") == ["Only stride 1 was measured; --strides adds others."]


def test_a_failed_recording_is_told_at_the_top(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "many.html", DESK)
    assert page.texts("header .failed li") == ["drive4 failed and is in no figure: its index is cut off"]
    assert page.texts("#method > ul > li") == ["drive4, lost: its index is cut off", "8 recordings without a loss"]
    assert page.texts("h1") == ["drive0, drive1 and 6 more"]
    assert "15 frames per second" in " ".join(page.texts("#frame-rate .xtitle")), "the failed one has no rate to tell"
    page = Page(browser, pages / "full.html", DESK)
    assert not page.has(".failed"), "frames were lost, but the recording is in the figures"


def test_times_of_processes_at_once_are_told_as_such(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "many.html", DESK)
    assert page.texts("[data-key=latency_ms] .note")[0].endswith("4 processes at once")
    assert "with 4 processes at once" in page.texts(".verdict")[0]
    assert any("4 processes at once, the engine of each with 1 thread" in text for text in page.texts("#method dd"))
    page = Page(browser, pages / "full.html", DESK)
    assert "at once" not in " ".join(page.texts("header *") + page.texts("#latency p"))
    assert any("1 process, the engine with one thread per core" in text for text in page.texts("#method dd"))


def test_rows_say_what_of_them_compares(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "many.html", DESK)
    assert "not all measured on the same reference frames: there are 38 to 40" in page.texts("#frame-rate p")[0]
    page = Page(browser, pages / "full.html", DESK)
    assert "All points are measured on the same reference frames." in page.texts("#frame-rate p")[0]
    assert "mVC does not: its windows span more time" in page.texts("#rows p")[0]
    said = dict(zip(page.texts("#method dt"), page.texts("#method dd"), strict=True))
    for title in ("Flicker", "TC", "ECE"):
        assert "no counterpart" in said[title]
    assert "finer class" in said["ECE"]
    assert "counts as an error" in said["mIoU"]
    assert "annotation's own inconsistency" in said["Truth’s flicker"]
    assert "reference frames" in said["Lost points"]


def test_of_many_recordings_those_with_worst_moments_are_drawn(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "many.html", DESK)
    assert page.texts("#timeline h3") == ["drive0", "drive1", "drive2", "drive3", "drive5", "drive8"]
    assert page.texts("#timeline .muted") == ["2 more recordings can be found in metrics.json under “timelines”."]
    page = Page(browser, pages / "full.html", DESK)
    assert "metrics.json" not in " ".join(page.texts("#timeline p"))


def test_worst_moments_are_marked_where_they_are_ranked(
    browser: webdriver.Chrome, pages: Path, results: dict[str, dict[str, Any]]
) -> None:
    page = Page(browser, pages / "one_row.html", DESK)
    find = "document.querySelector('#timeline .plot').data.find(t => t.legendgroup === arguments[0])"
    at, heights = page.run(f"const t = {find}; return [t.x, t.y]", "moments")
    entry = results["one_row"]["timelines"][0]
    nearest = [int(np.abs(np.array(entry["time_s"]) - t).argmin()) for t in at]
    assert heights == pytest.approx([entry["flicker_compensated"][n] for n in nearest])
    curve = dict(zip(*page.run(f"const t = {find}; return [t.x, t.y]", "compensated"), strict=True))
    drawn = [curve[round(entry["time_s"][n], 3)] for n in nearest]
    assert drawn == pytest.approx(heights, abs=1e-3), "a mark beside its curve"
    assert "Ranked by compensated flicker over all recordings" in page.texts("#moments p")[0]


def test_no_two_of_many_series_look_alike(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "many.html", DESK)
    marks = page.run("return [...document.querySelectorAll('#frame-rate .legend svg')].map(e => e.outerHTML)")
    assert len(set(marks)) == 12 + 1  # and the ground truth
    shapes = page.run(
        "return [...document.querySelectorAll('#frame-rate .legend svg')].map(e => e.lastElementChild.outerHTML)"
    )
    assert len(set(shapes[:12])) == 4, "a marker for each model"
    bars = page.run("return document.querySelector('#memory .plot').data.map(t => t.marker.color)")
    assert len(set(bars)) == len(bars) == 12
    rows = [made.row(f"model{n}", mode, "stride 1", 1, False, 0.0) for n in range(25) for mode in made.MODES]
    looks = [(s.color, s.dash, s.symbol) for s in series_of({"rows": rows})]
    assert len(set(looks)) == len(looks) == 25 * len(made.MODES)


def test_a_click_enlarges_a_picture(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", DESK)
    width = "return document.querySelector('.pictures img').clientWidth"
    before = page.run(width)
    page.run("document.querySelector('.pictures img').click()")
    assert page.run(width) > 3 * before
    page.run("document.querySelector('.pictures img').click()")
    assert page.run(width) == before


def test_frames_beyond_the_histogram_are_told(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "one_row.html", DESK)
    assert page.texts("#latency figcaption") == ["2 frames took longer, up to 120.6 ms."]


def test_lost_frames_and_the_command_are_told(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "full.html", DESK)
    assert page.texts("#method li") == [
        "0016E5_dusk.mcap, lost: 3 of 104 images could not be decoded, the first at 4.2 s",
        "1 recording without a loss",
    ]
    (command,) = page.texts("#method pre")
    assert command.startswith("t2g evaluate seq16E5_15Hz.mcap")
    assert "3f" * 32 in page.texts("#method .hash")


def test_hostile_names_are_only_text(browser: webdriver.Chrome, pages: Path) -> None:
    page = Page(browser, pages / "hostile.html", DESK)
    assert page.run("return window.hacked === undefined")
    assert browser.get_log("browser") == []
    model, recording, road = HOSTILE.values()
    assert page.texts("h1") == [f"{recording} and 0016E5_dusk.mcap"]
    assert page.texts("#rows .group span")[0] == f"{model}, with memory"
    assert any(road in text for text in page.texts("#classes .ytick text"))
    assert any(road in text for text in page.texts(".swatches li"))
