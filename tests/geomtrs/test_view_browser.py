"""The page of an answer in a real browser, without a window and without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import rasterio
import rasterio.warp
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from geomtrs.result import ChangeResult
from tests.geomtrs.conftest import APPEARED, HEIGHT, ask, changed, ground, write
from tests.geomtrs.test_view import SENTENCES

CHROMIUM, DRIVER = (shutil.which("chromium") or shutil.which("chromium-browser")), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the path"),
    # sockets to the driver end with the interpreter; nothing of ours is open there
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("page")
    images = [ground(), changed(ground()), ground()]
    paths = [str(write(base / f"{2019 + 2 * n}.tif", image)) for n, image in enumerate(images)]
    result = ask(*paths, query=SENTENCES, out=base / "out")
    shown = base / "notebook.html"
    shown.write_text(
        f"<!doctype html><meta charset=utf-8>{ChangeResult(result.folder)._repr_html_()}", encoding="utf-8"
    )
    return result.to_html(base / "page.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1200,800", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    browser.get(page.as_uri())
    wait(browser, "return pictures.every((one) => one.complete && one.naturalWidth > 0)")
    return browser


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, str]]:
    """What the browser said since it was last asked."""
    entries: list[dict[str, str]] = browser.get_log(kind)  # type: ignore[no-untyped-call]  # selenium leaves it untyped
    return entries


def wait(browser: webdriver.Chrome, script: str) -> None:
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(script))


def settled(browser: webdriver.Chrome) -> None:
    """Two frames later, what was asked for is drawn."""
    browser.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")


def on_screen(browser: webdriver.Chrome, column: float, row: float) -> tuple[int, int]:
    """Where a pixel of the raster lies in the canvas."""
    x, y = browser.execute_script(
        "return [view.x + arguments[0] * grid.aspect * view.zoom, view.y + arguments[1] * view.zoom]", column, row
    )
    return round(x), round(y)


def colour_at(browser: webdriver.Chrome, column: float, row: float) -> list[int]:
    settled(browser)
    found: list[int] = browser.execute_script(
        "return [...pen.getImageData(arguments[0], arguments[1], 1, 1).data]", *on_screen(browser, column, row)
    )
    return found[:3]


def move_to(browser: webdriver.Chrome, column: float, row: float) -> ActionChains:
    canvas = browser.find_element(By.ID, "ground")
    x, y = on_screen(browser, column, row)
    return ActionChains(browser).move_to_element_with_offset(
        canvas, x - canvas.size["width"] // 2, y - canvas.size["height"] // 2
    )


def middle() -> tuple[float, float]:
    rows, columns = APPEARED
    return (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2


def text_of(browser: webdriver.Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


def test_f3_no_error_is_logged_and_nothing_is_requested(opened: webdriver.Chrome, page: Path) -> None:
    assert [entry for entry in log(opened, "browser") if entry["level"] in {"SEVERE", "WARNING"}] == []
    events = [json.loads(entry["message"])["message"] for entry in log(opened, "performance")]
    urls = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith("data:")} == {page.as_uri()}


def test_f3_the_divider_uncovers_the_other_date(opened: webdriver.Chrome) -> None:
    opened.find_element(By.ID, "shown").click()
    column, row = middle()
    beside = column - 15  # inside the thing, off the divider
    opened.execute_script("swipe(0)")
    bright = colour_at(opened, beside, row)
    divider = opened.find_element(By.ID, "divider")
    ActionChains(opened).drag_and_drop_by_offset(divider, 700, 0).perform()
    dark = colour_at(opened, beside, row)
    assert min(bright) > max(dark) + 60


def test_f3_the_answer_is_switched_off_and_made_transparent(opened: webdriver.Chrome) -> None:
    opened.execute_script("swipe(0)")
    tinted = colour_at(opened, *middle())
    opened.execute_script("at('strength').value = 100; at('strength').dispatchEvent(new Event('input'))")
    assert colour_at(opened, *middle()) == [230, 0, 110]
    opened.find_element(By.ID, "shown").click()
    plain = colour_at(opened, *middle())
    assert plain != tinted
    assert max(plain) - min(plain) < 12  # the grey picture alone


def test_f3_a_click_on_a_polygon_tells_its_attributes_and_marks_its_row(opened: webdriver.Chrome, page: Path) -> None:
    move_to(opened, *middle()).click().perform()
    facts = text_of(opened, "facts")
    area = ChangeResult(page.parent / "out").polygons["area_m2"].max()
    assert f"area_m2\n{area:,.1f}" in facts
    assert "date_from" in facts
    assert len(opened.find_elements(By.CSS_SELECTOR, "tbody tr.chosen")) == 1
    move_to(opened, 5, 5).click().perform()
    assert not opened.find_element(By.ID, "facts").is_displayed()


def test_f3_row_and_shape_highlight_each_other(opened: webdriver.Chrome) -> None:
    move_to(opened, *middle()).perform()
    (near,) = opened.find_elements(By.CSS_SELECTOR, "tbody tr.near")
    move_to(opened, 5, 5).perform()
    assert opened.find_elements(By.CSS_SELECTOR, "tbody tr.near") == []
    left = opened.execute_script("return paths[answer.rows[0][0]].box[0] + 2 / view.zoom")  # inside the thicker line
    edge = left, middle()[1]
    before = colour_at(opened, *edge)
    ActionChains(opened).move_to_element(near).perform()
    assert colour_at(opened, *edge) != before


def test_f3_a_row_brings_its_polygon_to_the_middle(opened: webdriver.Chrome) -> None:
    opened.find_element(By.CSS_SELECTOR, "tbody tr").click()
    size = opened.find_element(By.ID, "ground").size
    x, y = on_screen(opened, *middle())
    assert abs(x - size["width"] / 2) < size["width"] / 4
    assert abs(y - size["height"] / 2) < size["height"] / 4


def test_f3_wheel_and_drag_zoom_and_move_about_the_pointer(opened: webdriver.Chrome) -> None:
    before = opened.execute_script("return view.zoom")
    place = on_screen(opened, 40, 50)
    opened.execute_script(
        "const { left, top } = canvas.getBoundingClientRect();"
        "const at = { clientX: arguments[0] + left, clientY: arguments[1] + top };"
        "canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: -400, ctrlKey: true, cancelable: true, ...at }))",
        *place,
    )
    assert opened.execute_script("return view.zoom") > 1.5 * before
    assert on_screen(opened, 40, 50) == pytest.approx(place, abs=2)
    move_to(opened, 40, 50).click_and_hold().move_by_offset(60, 30).release().perform()
    assert on_screen(opened, 40, 50) == pytest.approx((place[0] + 60, place[1] + 30), abs=3)


def test_f3_the_place_under_the_pointer_is_told_in_both_systems(opened: webdriver.Chrome, page: Path) -> None:
    column, row = 70, 110
    move_to(opened, column, row).perform()
    told = text_of(opened, "pointer")
    words = told.replace(",", " ").split()
    with rasterio.open(page.parent / "out" / "coverage.tif") as raster:
        x, y = raster.transform @ (column, row)
        (lon,), (lat,) = rasterio.warp.transform(raster.crs, "EPSG:4326", [x], [y])
    assert "EPSG:32633" in told
    assert [float(words[-2]), float(words[-1])] == pytest.approx([x, y], abs=2)  # a pixel
    assert [float(words[1]), float(words[3])] == pytest.approx([lon, lat], abs=4e-5)


def test_f3_the_scale_bar_has_its_length(opened: webdriver.Chrome) -> None:
    settled(opened)
    bar = opened.find_element(By.CSS_SELECTOR, "#scale span")
    metres, unit = float(bar.text.split()[0]), bar.text.split()[1]
    assert unit == "m"
    assert bar.size["width"] == pytest.approx(metres / 2 * opened.execute_script("return view.zoom"), rel=0.02)


def test_f3_sentences_and_pairs_are_chosen(opened: webdriver.Chrome) -> None:
    opened.execute_script("at('pair').value = 1; at('pair').dispatchEvent(new Event('change'))")
    assert text_of(opened, "before").endswith("2021")
    opened.execute_script("at('sentence').selectedIndex = 1; at('sentence').dispatchEvent(new Event('change'))")
    assert text_of(opened, "title") == f"“{SENTENCES[1]}”"


def test_b5_a_sentence_is_text_never_code(opened: webdriver.Chrome) -> None:
    opened.execute_script("at('sentence').selectedIndex = 1; at('sentence').dispatchEvent(new Event('change'))")
    assert opened.execute_script("return window.met") is None
    assert opened.find_elements(By.TAG_NAME, "img") == []
    # Even code that got in would not run: the policy names the one script that may.
    opened.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.met = 2'; document.body.append(made)"
    )
    assert opened.execute_script("return window.met") is None
    log(opened, "browser")  # the refusal just asked for


def test_f3_the_page_works_in_the_frame_of_a_notebook(browser: webdriver.Chrome, page: Path) -> None:
    browser.get((page.parent / "notebook.html").as_uri())
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    try:
        wait(browser, "return pictures.every((one) => one.complete && one.naturalWidth > 0)")
        assert browser.find_elements(By.CSS_SELECTOR, "tbody tr")
        assert browser.execute_script("return view.zoom * grid.height") > HEIGHT
    finally:
        browser.switch_to.default_content()
    assert [entry for entry in log(browser, "browser") if entry["level"] == "SEVERE"] == []
