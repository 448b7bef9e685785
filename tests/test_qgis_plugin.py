"""The plugin for QGIS: its zip, the command that it runs, and the algorithms in QGIS itself where it is installed."""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas
import pytest

import geomtrs
from tests.geomtrs.conftest import HEIGHT, WIDTH, changed, ground, write
from tests.geomtrs.pyqgis import SYSTEM_PYTHON, environment, require_qgis

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "qgis" / "geomtrs_qgis"
SENTENCE = 'the "new" roofs of Müller\'s'


def module(path: Path) -> ModuleType:
    """A file that lies outside every package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look their module up
    try:
        spec.loader.exec_module(made)
    finally:
        del sys.modules[spec.name]
    return made


@pytest.fixture(scope="module")
def command() -> ModuleType:
    return module(PLUGIN / "command.py")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The geomtrs of this tree, in the folder of an environment."""
    path = tmp_path_factory.mktemp("an environment") / "bin" / "geomtrs"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m geomtrs "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def images(folder: Path) -> tuple[str, str]:
    first = ground()
    return str(write(folder / "2019.tif", first)), str(write(folder / "2023.tif", changed(first)))


# --- the zip


def test_the_zip_is_one_folder_with_the_licence_and_nothing_that_was_made_by_running(tmp_path: Path) -> None:
    cache = PLUGIN / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "left.pyc").touch()
    try:
        path = module(ROOT / "qgis" / "package.py").package(tmp_path / "dist")
    finally:
        shutil.rmtree(cache)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {"geomtrs_qgis"}
    assert {"geomtrs_qgis/LICENSE", "geomtrs_qgis/metadata.txt", "geomtrs_qgis/icon.svg"} < names
    assert {f"geomtrs_qgis/{path.name}" for path in PLUGIN.glob("*.py")} == {n for n in names if n.endswith(".py")}
    assert not any("pycache" in name for name in names)


def test_the_zip_has_equal_bytes_each_time(tmp_path: Path) -> None:
    package = module(ROOT / "qgis" / "package.py").package
    assert package(tmp_path / "a").read_bytes() == package(tmp_path / "b").read_bytes()


def test_the_metadata_says_what_qgis_needs_to_install_it() -> None:
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(PLUGIN / "metadata.txt", encoding="utf-8")
    told = metadata["general"]
    assert told["qgisMinimumVersion"] == "3.22"
    assert told["version"] == geomtrs.__version__
    assert told["hasProcessingProvider"] == "yes"
    assert (PLUGIN / told["icon"]).exists()
    assert all(told[name] for name in ("name", "description", "about", "author", "license"))


# --- the command


def test_the_program_is_the_one_of_the_setting_or_of_its_environment(command: ModuleType, program: Path) -> None:
    assert command.find_program(str(program)) == str(program)
    assert command.find_program(f'  "{program.parent.parent}" ') == str(program)


def test_without_a_setting_the_program_is_the_one_on_path(
    command: ModuleType, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    assert command.find_program("") == str(program)


@pytest.mark.parametrize("setting", ["", "/nowhere/geomtrs", str(ROOT)])
def test_no_program_is_one_line_with_a_remedy(
    command: ModuleType, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(command.CommandError, match=r"^(?!.*\n).*found no.*remedy: pip install geomtrs"):
        command.find_program(setting)


def test_a_run_tells_its_stages_and_its_blocks_and_prints_its_record(
    command: ModuleType, program: Path, tmp_path: Path
) -> None:
    events: list[dict[str, Any]] = []
    arguments = [
        "detect",
        *images(tmp_path),
        f"--query={SENTENCE}",
        "--model=differencing",
        f"--out={tmp_path / 'out'}",
    ]
    ended = command.run(str(program), [*arguments, "--log-json", "--json"], events.append, lambda: False)
    assert (ended.code, ended.error) == (0, "")
    assert ended.facts["queries"][0]["text"] == SENTENCE
    assert any(event["event"] == "Stage" for event in events)
    assert [(event["n_done"], event["total"]) for event in events if event["event"] == "BlockDone"] == [(1, 1)]


def test_a_command_that_fails_says_its_one_line(command: ModuleType, program: Path, tmp_path: Path) -> None:
    ended = command.run(str(program), ["verify", str(tmp_path)], lambda event: None, lambda: False)
    assert ended.code == 1
    assert ended.error.endswith("remedy: check the path")


def test_what_qgis_tells_its_own_python_is_not_handed_on(
    command: ModuleType, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("PROJ_LIB", str(tmp_path))
    assert command.run(str(program), ["--version"], lambda event: None, lambda: False).code == 0


def test_a_run_that_is_stopped_keeps_what_is_finished_and_goes_on_e1(
    command: ModuleType, program: Path, tmp_path: Path
) -> None:
    big = ground().repeat(12, axis=1).repeat(10, axis=2)  # several blocks
    pair = [str(write(tmp_path / name, pixels)) for name, pixels in (("2019.tif", big), ("2023.tif", 255 - big))]
    arguments = [
        "detect",
        *pair,
        "--query=new roofs",
        "--model=differencing",
        f"--out={tmp_path / 'out'}",
        "--log-json",
    ]
    events: list[dict[str, Any]] = []
    ended = command.run(
        str(program), arguments, events.append, lambda: any(event["event"] == "BlockDone" for event in events)
    )
    assert ended.code == 130
    assert not (tmp_path / "out" / "run.json").exists()
    events.clear()
    assert command.run(str(program), arguments, events.append, lambda: False).code == 0
    assert next(event["reused"] for event in events if event["event"] == "Started") >= 1


# --- in QGIS


@pytest.fixture
def home(tmp_path: Path, program: Path) -> Path:
    """A profile with the plugin from its zip, that names the program in its settings."""
    require_qgis()
    profile = tmp_path / "home" / "profiles" / "default"
    with zipfile.ZipFile(module(ROOT / "qgis" / "package.py").package(tmp_path)) as archive:
        archive.extractall(profile / "python" / "plugins")
    settings = profile / "QGIS" / "QGIS3.ini"
    settings.parent.mkdir(parents=True)
    setting = f"[Processing]\nConfiguration\\GEOMTRS_PROGRAM={program.parent.parent}\n"
    settings.write_text(f"[PythonPlugins]\ngeomtrs_qgis=true\n{setting}", encoding="utf-8")
    return profile.parents[1]


Process = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def process(home: Path) -> Process:
    """`qgis_process` over that profile."""
    # Debian's wrapper hands on options of the desktop that qgis_process does not know.
    found = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if found is None:
        pytest.skip("no qgis_process")

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [found, *arguments], env=environment(home, **more), capture_output=True, text=True, check=False, timeout=600
        )

    return run


@pytest.mark.qgis
def test_qgis_lists_the_algorithms_and_their_parameters(process: Process) -> None:
    assert "* geomtrs_qgis" in process("plugins").stdout
    listed = process("list").stdout
    named = {"ask": "Ask again", "batch": "Batch over a folder", "detect": "Detect changes", "verify": "Verify"}
    for name, words in named.items():
        assert f"geomtrs:{name}\t{words}" in listed
    told = process("help", "geomtrs:detect").stdout
    shared = ("QUERY", "THRESHOLD", "MIN_AREA", "MODEL", "ENLARGE", "OUTPUT")
    for name in ("IMAGES", "EXTENT", *shared, "POLYGONS", "PROJECT"):
        assert f"\n{name}" in told


@pytest.mark.qgis
def test_a_pair_is_answered_in_its_area_and_verified(process: Process, tmp_path: Path) -> None:
    before, after = images(tmp_path / "in of été")
    out = tmp_path / "out"
    left, top = 500_003.5, 5_100_007.25
    box = f"{left + 100},{left + 2 * WIDTH},{top - 2 * HEIGHT},{top - 60} [EPSG:32633]"
    ran = process(
        "--json", "run", "geomtrs:detect", "--", f"IMAGES={before}", f"IMAGES={after}", f"QUERY={SENTENCE}\nnew roads",
        f"EXTENT={box}", "MODEL=differencing", "MIN_AREA=10", f"OUTPUT={out}",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    results = json.loads(ran.stdout)["results"]
    run = json.loads((out / "run.json").read_bytes())
    assert [query["text"] for query in run["queries"]] == [SENTENCE, "new roads"]
    assert run["job"]["spec"]["min_area_m2"] == 10
    assert results["FOUND"] == sum(query["polygons"] for query in run["queries"]) > 0
    assert Path(results["PROJECT"]) == out / "project.qgz"
    polygons = geopandas.read_file(results["POLYGONS"], layer=run["queries"][0]["layer"])
    assert polygons.total_bounds[3] <= top - 60
    checked = process("--json", "run", "geomtrs:verify", "--", f"FOLDER={out}")
    assert json.loads(checked.stdout)["results"] == {"SOUND": True, "FAULTS": 0}
    (out / "preview_new-roads.png").write_bytes(b"no more")
    checked = process("--json", "run", "geomtrs:verify", "--", f"FOLDER={out}")
    assert json.loads(checked.stdout)["results"] == {"SOUND": False, "FAULTS": 1}


@pytest.mark.qgis
def test_pixels_are_shown_as_large_as_asked_and_as_the_model_wants_else(process: Process, tmp_path: Path) -> None:
    before, after = images(tmp_path)
    for told, wanted in (([], None), (["ENLARGE=4"], 4)):
        out = tmp_path / str(wanted)
        ran = process(
            "run", "geomtrs:detect", "--", f"IMAGES={before}", f"IMAGES={after}", "QUERY=new roofs",
            "MODEL=differencing", f"OUTPUT={out}", *told,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert json.loads((out / "run.json").read_bytes())["job"]["spec"]["enlarge"] == wanted
    ran = process("run", "geomtrs:detect", "--", f"IMAGES={before}", f"IMAGES={after}", "QUERY=new roofs", "ENLARGE=3")
    assert ran.returncode != 0


@pytest.mark.qgis
def test_a_further_sentence_is_asked_of_a_run_that_kept_its_features(process: Process, tmp_path: Path) -> None:
    before, after = images(tmp_path)
    out = tmp_path / "out"
    ran = process(
        "run", "geomtrs:detect", "--", f"IMAGES={before}", f"IMAGES={after}", "QUERY=new roofs", "KEEP=true",
        "THRESHOLD=0.4", f"OUTPUT={out}",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    asked = process("--json", "run", "geomtrs:ask", "--", f"FOLDER={out}", f"QUERY={SENTENCE}", "MIN_AREA=20")
    assert asked.returncode == 0, asked.stderr
    results = json.loads(asked.stdout)["results"]
    folder = Path(results["OUTPUT"])
    assert folder.parent == out
    run = json.loads((folder / "run.json").read_bytes())
    assert [query["text"] for query in run["queries"]] == [SENTENCE]
    spec = run["job"]["spec"]
    assert (spec["threshold"], spec["min_area_m2"], spec["features"]) == (0.4, 20, str(out))
    assert Path(results["POLYGONS"]) == folder / "changes.gpkg"
    elsewhere = process("run", "geomtrs:ask", "--", f"FOLDER={folder}", "QUERY=new roads")
    assert elsewhere.returncode != 0
    assert "--keep-features" in elsewhere.stderr + elsewhere.stdout


@pytest.mark.qgis
def test_a_folder_is_answered_scene_by_scene(process: Process, tmp_path: Path) -> None:
    images(tmp_path / "in")
    (tmp_path / "in" / "broken_2019.tif").write_bytes(b"II*\x00 no more")
    ran = process(
        "--json", "run", "geomtrs:batch", "--", f"INPUT={tmp_path / 'in'}", f"QUERY={SENTENCE}", "MODEL=differencing",
        f"OUTPUT={tmp_path / 'out'}",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    results = json.loads(ran.stdout)["results"]
    assert (results["DONE"], results["FAILED"]) == (1, 1)
    assert "broken_2019" in ran.stderr + ran.stdout
    assert Path(results["PROJECT"]).exists()


@pytest.mark.qgis
def test_bad_input_is_one_clear_line(process: Process, tmp_path: Path) -> None:
    before, after = images(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mask.tif").touch()
    cases = {
        "found nothing; wanted a sentence": ["QUERY= "],
        "remedy: choose another --out, or --overwrite": ["QUERY=roofs"],
        "remedy: did you mean nano?": ["QUERY=roofs", "MODEL=nanno"],
    }
    for words, told in cases.items():
        ran = process(
            "run", "geomtrs:detect", "--", f"IMAGES={before}", f"IMAGES={after}", f"OUTPUT={tmp_path / 'out'}", *told
        )
        assert ran.returncode != 0
        assert words in ran.stderr + ran.stdout
        assert "Traceback" not in ran.stderr + ran.stdout


@pytest.mark.qgis
def test_without_geomtrs_an_algorithm_says_how_to_get_it(process: Process, home: Path, tmp_path: Path) -> None:
    settings = home / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    settings.write_text("[PythonPlugins]\ngeomtrs_qgis=true\n", encoding="utf-8")
    paths = os.pathsep.join(part for part in os.get_exec_path() if not (Path(part) / "geomtrs").exists())
    ran = process("run", "geomtrs:verify", "--", f"FOLDER={tmp_path}", PATH=paths)
    assert ran.returncode != 0
    assert "remedy: pip install geomtrs" in ran.stderr + ran.stdout


@pytest.mark.qgis
def test_results_are_loaded_with_their_style_and_a_cancelled_run_says_what_is_kept(home: Path, tmp_path: Path) -> None:
    script = """
import json, sys
from qgis.core import *
from qgis.PyQt.QtCore import QCoreApplication
QCoreApplication.setOrganizationName("QGIS"); QCoreApplication.setApplicationName("QGIS3")
app = QgsApplication([], False); app.initQgis()
sys.path[:0] = ["/usr/share/qgis/python/plugins", sys.argv[1]]
import processing
from processing.core.Processing import Processing
Processing.initialize()
from geomtrs_qgis.provider import GeomtrsProvider
provider = GeomtrsProvider(); QgsApplication.processingRegistry().addProvider(provider)
algorithm = QgsApplication.processingRegistry().createAlgorithmById("geomtrs:detect")
told = {"IMAGES": sys.argv[2:4], "QUERY": "roofs that appeared", "MODEL": "differencing", "OUTPUT": sys.argv[4],
    "RASTERS": True}
first = QgsProcessingFeedback(); lines = []
class Stopping(QgsProcessingFeedback):
    def pushInfo(self, text): self.cancel()
context = QgsProcessingContext(); context.setProject(QgsProject.instance())
try:
    algorithm.create().run(told, context, Stopping(), {}, False); message = "not stopped"
except QgsProcessingException as error:
    message = str(error)
results, fine = algorithm.create().run(told, context, first, {}, False)
layers = {details.name: source for source, details in context.layersToLoadOnCompletion().items()}
loaded = {}
for name, source in layers.items():
    layer = QgsRasterLayer(source, name) if source.endswith(".tif") else QgsVectorLayer(source, name, "ogr")
    loaded[name] = [layer.isValid(), layer.renderer().type()]
print(json.dumps({"message": message, "fine": fine, "progress": first.progress(), "loaded": loaded}))
"""
    plugins = home / "profiles" / "default" / "python" / "plugins"
    pair = images(tmp_path)
    ran = subprocess.run(
        [SYSTEM_PYTHON, "-c", script, plugins, *pair, tmp_path / "out"],
        env=environment(home), capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["message"].startswith("stopped; what is finished is kept")
    assert (found["fine"], found["progress"]) == (True, 100)
    assert found["loaded"] == {
        "roofs that appeared": [True, "categorizedSymbol"],
        "mask: roofs that appeared": [True, "paletted"],
        "probability: roofs that appeared": [True, "singlebandpseudocolor"],
    }
