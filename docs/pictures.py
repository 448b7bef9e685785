"""Makes the pictures of README and docs anew: the demo's answer, its page, its project in QGIS, a batch.

    python docs/pictures.py            # all that this machine can make, into docs/images
    python docs/pictures.py -o drawn   # elsewhere, to look at them first

Runs unattended, with the weights that ship. The pages need chromium and chromedriver, QGIS its program and xvfb-run;
what is not there is said, and its picture stays as it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio
from rasterio.windows import Window

import geomtrs
from geomtrs.demo import REAL_SENTENCE

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

IMAGES = Path(__file__).parent / "images"
QGIS_S = 300  # QGIS itself ends after a few seconds
# Run inside QGIS: waits until the map is drawn, then keeps the window.
IN_QGIS = """
import os
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDockWidget, QToolBar
from qgis.utils import iface
window, canvas = iface.mainWindow(), iface.mapCanvas()
for dock in window.findChildren(QDockWidget):
    dock.setVisible(dock.objectName() == "Layers")
for bar in window.findChildren(QToolBar):
    bar.setVisible(bar.objectName() in {{"mFileToolBar", "mMapNavToolBar"}})
window.resize(1400, 900)
def drawn():
    if canvas.isDrawing():
        return QTimer.singleShot(500, drawn)
    iface.messageBar().clearWidgets()  # that the project is older than this QGIS
    window.grab().save({path!r})
    os._exit(0)  # it would ask whether to save
QTimer.singleShot(4000, drawn)
"""


def main() -> None:
    """Makes what can be made here, and names it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=IMAGES)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    # Not where temporary files lie: QGIS marks what lies there.
    with (
        tempfile.TemporaryDirectory(dir=IMAGES.parent, prefix=".pictures-") as made,
        _sample(Path(made) / "images") as pair,
    ):
        folder = Path(made)
        real = geomtrs.detect(*map(str, pair), query=REAL_SENTENCE, out=folder / "real")
        shutil.copy(real.folder / "preview.png", out / "demo.png")
        print(out / "demo.png")
        _many(pair, folder / "archive")
        batch = geomtrs.batch(folder / "archive", query=REAL_SENTENCE, out=folder / "answers")
        _pages(real.to_html(folder / "page.html"), batch.folder / "summary.html", out)
        _qgis(real.folder / "project.qgz", folder, out / "qgis.png")


@contextmanager
def _sample(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The real pair that ships, copied: the project names images beside it."""
    folder.mkdir()
    with resources.as_file(resources.files("geomtrs.data") / "sample") as sample:
        first, second = (Path(shutil.copy(path, folder)) for path in sorted(sample.glob("*.tif")))
    yield first, second


def _many(pair: tuple[Path, Path], folder: Path, *, rows: int = 3, columns: int = 4) -> None:
    """The pair cut into scenes, one of them broken: a batch goes on, and says so."""
    folder.mkdir()
    for path in pair:
        with rasterio.open(path) as raster:
            height, width = raster.height // rows, raster.width // columns
            for number in range(rows * columns):
                window = Window((number % columns) * width, (number // columns) * height, width, height)
                place = {"width": width, "height": height, "transform": raster.window_transform(window)}
                name = f"field{number + 1:02d}_{path.stem.rpartition('_')[2]}.tif"
                with rasterio.open(folder / name, "w", **{**raster.profile, **place}) as target:
                    target.write(raster.read(window=window))
    broken = max(folder.glob("field07_*"))
    broken.write_bytes(broken.read_bytes()[:2000])


def _pages(page: Path, summary: Path, out: Path) -> None:
    """notebook.png: the page of the answer, a polygon chosen; batch.png: the summary of the batch."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("no chromium with chromedriver: notebook.png and batch.png stay as they are")
        return
    with _browser() as browser:
        browser.set_window_size(1300, 860)
        browser.get(page.as_uri())
        browser.implicitly_wait(20)
        browser.find_element("css selector", "#rows tbody tr:nth-child(2)").click()
        _keep(browser, out / "notebook.png")
        browser.set_window_size(1100, 1500)
        browser.get(summary.as_uri())
        _keep(browser, out / "batch.png")


@contextmanager
def _browser() -> Iterator[Chrome]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def _keep(browser: Chrome, path: Path) -> None:
    frames = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300)))"
    browser.execute_async_script(f"const done = arguments[0]; {frames}")
    browser.save_screenshot(str(path))
    print(path)


def _qgis(project: Path, folder: Path, path: Path) -> None:
    """qgis.png: the window of QGIS over a project, on a display of its own (offscreen, QGIS itself dies)."""
    if not (shutil.which("qgis") and shutil.which("xvfb-run")):
        print("no qgis with xvfb-run: qgis.png stays as it is")
        return
    kept, script = folder / path.name, folder / "in_qgis.py"
    script.write_text(IN_QGIS.format(path=str(kept)), encoding="utf-8")
    told = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    display = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24"]
    command = ["qgis", "--nologo", "--noversioncheck", "--noplugins", "--profiles-path", folder / "profile"]
    with (folder / "qgis.log").open("w") as log:
        subprocess.run(
            [*display, *command, "--code", script, "--project", project],
            env=told, check=False, timeout=QGIS_S, stdout=log, stderr=log,
        )  # fmt: skip
    if kept.exists():
        shutil.copy(kept, path)
        print(path)
    else:
        print(f"QGIS drew nothing, {path} stays as it is: {(folder / 'qgis.log').read_text()[-500:]}")


if __name__ == "__main__":
    main()
