"""The command line as a user meets it: a process, its two streams and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

HEAVY = ("torch", "pandas", "geopandas", "dask", "distributed", "transformers", "rasterio")


def geomtrs(*arguments: str, limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own; `limit_bytes` caps the size of any file it writes."""
    code = "import sys; from geomtrs.cli import main; main(sys.argv[1:])"
    if limit_bytes is not None:
        limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes},) * 2)"
        code = f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {limit}; {code}"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=240
    )


def ask(pair: tuple[str, str], out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`detect` with the quick control model."""
    return geomtrs("detect", *pair, "-q", "what changed", "-o", str(out), "--model", "differencing", *more)


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One line on stderr with found, wanted and remedy, and the exit code."""
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in ("found", "wanted", "remedy", *words):
        assert word in lines[0]


def test_help_imports_nothing_heavy_f1() -> None:
    listed = f"print([m for m in {HEAVY!r} if m in sys.modules])"
    code = f"import sys; from geomtrs.cli import main\ntry: main(['--help'])\nexcept SystemExit: {listed}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_importing_the_package_reads_no_metadata_f1() -> None:
    code = "import sys, geomtrs; print('importlib.metadata' in sys.modules, geomtrs.__version__)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False ")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("geomtrs de", ["detect", "demo"]),
        ("geomtrs detect --keep-f", ["--keep-features"]),
        ("geomtrs detect --scope t", ["tile"]),
        ("geomtrs detect --model na", ["nano"]),
        ("geomtrs detect --format ", ["shp", "parquet", "fgb", "geojson"]),
    ],
)
def test_a_shell_completes_verbs_options_and_their_words_f5(typed: str, offered: list[str]) -> None:
    asked = {"_GEOMTRS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    code = "import sys; sys.argv = ['geomtrs']; from geomtrs.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    assert done.stdout.split() == offered


@pytest.mark.parametrize("verb", ["detect", "plan", "resume", "rerun", "verify", "demo", "doctor", "model"])
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    done = geomtrs(verb, "--help")
    assert done.returncode == 0
    assert f"geomtrs {verb}" in done.stdout or verb == "model"


def test_detect_answers_and_names_its_outputs(pair: tuple[str, str], tmp_path: Path) -> None:
    done = ask(pair, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "out" / "changes.gpkg") in done.stdout
    assert "device" in done.stderr
    assert "scene" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_terminal_shows_a_bar_with_the_time_that_is_left_and_a_log_does_not_f2(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    import pty

    ours, its = pty.openpty()
    code = "import sys; from geomtrs.cli import main; main(sys.argv[1:])"
    words = ["detect", *pair, "-q", "what changed", "--model", "differencing", "-o", str(tmp_path / "out")]
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=its, stdout=subprocess.DEVNULL) as running:
        os.close(its)
        shown = b""
        with suppress(OSError):  # the terminal is gone with the process
            while part := os.read(ours, 65_536):
                shown += part
    os.close(ours)
    assert running.returncode == 0
    assert b"ETA" in shown
    assert b"1/1" in shown
    assert "ETA" not in ask(pair, tmp_path / "logged").stderr


def test_quiet_says_nothing_f2(pair: tuple[str, str], tmp_path: Path) -> None:
    done = ask(pair, tmp_path / "out", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_log_json_is_one_object_a_line_f2(pair: tuple[str, str], tmp_path: Path) -> None:
    done = ask(pair, tmp_path / "out", "--log-json")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"Stage", "BlockDone"} <= {event["event"] for event in events}
    assert events[-1]["text"].startswith("found ")


def test_a_scheduler_without_a_port_is_one_line_at_once_e10(pair: tuple[str, str], tmp_path: Path) -> None:
    began = time.monotonic()
    refused(ask(pair, tmp_path / "out", "--scheduler", "tcp://head"), 1, "missing port number", "tcp://head:8786")
    assert time.monotonic() - began < 50  # a client that was made of no address takes a minute to go


def test_command_line_and_python_give_the_same_bytes_f6(pair: tuple[str, str], tmp_path: Path) -> None:
    import geomtrs as package

    assert ask(pair, tmp_path / "cli").returncode == 0
    package.detect(*pair, query="what changed", out=tmp_path / "python", model="differencing")
    for name in ("mask.tif", "probability.tif", "coverage.tif"):
        assert (tmp_path / "cli" / name).read_bytes() == (tmp_path / "python" / name).read_bytes()


def test_plan_tells_how_the_dates_lie(pair: tuple[str, str]) -> None:
    done = geomtrs("plan", *pair)
    assert done.returncode == 0, done.stderr
    assert "equal" in done.stdout
    assert "tiles" in done.stdout


def test_verify_is_green_and_names_a_flipped_byte_d12(pair: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ask(pair, out).returncode == 0
    assert geomtrs("verify", str(out)).returncode == 0
    data = bytearray((out / "mask.tif").read_bytes())
    data[-1] ^= 1
    (out / "mask.tif").write_bytes(bytes(data))
    done = geomtrs("verify", str(out))
    assert done.returncode == 1
    assert "mask.tif" in done.stdout


def test_rerun_repeats_the_mask_bit_by_bit_d8(pair: tuple[str, str], tmp_path: Path) -> None:
    assert ask(pair, tmp_path / "out").returncode == 0
    done = geomtrs("rerun", str(tmp_path / "out" / "run.json"), "-o", str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "mask.tif").read_bytes() == (tmp_path / "out" / "mask.tif").read_bytes()


def test_rerun_over_outputs_names_no_option_that_it_lacks(pair: tuple[str, str], tmp_path: Path) -> None:
    assert ask(pair, tmp_path / "out").returncode == 0
    done = geomtrs("rerun", str(tmp_path / "out" / "run.json"), "-o", str(tmp_path / "out"))
    refused(done, 2, "remedy: choose another --out")
    assert "--overwrite" not in done.stderr


def test_models_are_listed_and_shown() -> None:
    assert "differencing" in geomtrs("model", "list").stdout
    assert "licence" in geomtrs("model", "show", "nano").stdout
    refused_ = geomtrs("model", "show", "nanno")
    refused(refused_, 2, "nano")


def test_weights_that_are_not_there_are_not_shown(tmp_path: Path) -> None:
    refused(geomtrs("model", "show", "nano", "--weights", str(tmp_path / "nope")), 1, "nope: found nothing")


@pytest.mark.parametrize(("package", "lacking"), [("torch", ["device", "model nano"]), ("pyogrio", ["drivers"])])
def test_doctor_names_a_package_that_does_not_load_f4(package: str, lacking: list[str]) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from geomtrs.cli import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("LACKING")]
    assert [line[9:31].strip() for line in lines] == lacking


def test_doctor_finds_this_machine_fit_f4() -> None:
    done = geomtrs("doctor")
    assert done.returncode == 0, done.stdout
    assert "LACKING" not in done.stdout


def test_a_missing_file_is_named(pair: tuple[str, str], tmp_path: Path) -> None:
    refused(ask((pair[0], str(tmp_path / "no.tif")), tmp_path / "out"), 1, "no.tif")
    assert not (tmp_path / "out").exists()


def test_a_text_file_named_tif_is_named(pair: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("not a raster", encoding="utf-8")
    refused(ask((pair[0], str(tmp_path / "text.tif")), tmp_path / "out"), 1, "text.tif")


def test_a_truncated_tiff_is_named_and_leaves_no_output_a16(pair: tuple[str, str], tmp_path: Path) -> None:
    whole = Path(pair[1]).read_bytes()
    (tmp_path / "half.tif").write_bytes(whole[: len(whole) // 2])
    refused(ask((pair[0], str(tmp_path / "half.tif")), tmp_path / "out"), 1, "half.tif")
    assert not (tmp_path / "out" / "mask.tif").exists()


@pytest.mark.parametrize("sentence", ["", "   ", "x" * 10_000, "new\x07houses"])
def test_a_sentence_that_is_none_is_asked_wrongly_b4(sentence: str, pair: tuple[str, str], tmp_path: Path) -> None:
    done = geomtrs("detect", *pair, "-q", sentence, "-o", str(tmp_path / "out"), "--model", "differencing")
    refused(done, 2)
    assert not (tmp_path / "out").exists()


def test_one_image_is_asked_wrongly(pair: tuple[str, str], tmp_path: Path) -> None:
    refused(geomtrs("detect", pair[0], "-q", "new houses", "-o", str(tmp_path / "out")), 2)


def test_outputs_that_exist_are_not_overwritten_unasked_e2(pair: tuple[str, str], tmp_path: Path) -> None:
    assert ask(pair, tmp_path / "out").returncode == 0
    before = (tmp_path / "out" / "mask.tif").read_bytes()
    refused(ask(pair, tmp_path / "out"), 2, "--overwrite")
    assert (tmp_path / "out" / "mask.tif").read_bytes() == before
    assert ask(pair, tmp_path / "out", "--overwrite").returncode == 0


def test_a_folder_below_a_file_is_named(pair: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    refused(ask(pair, tmp_path / "file" / "out"), 1, "file")


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_full_disk_is_named_and_leaves_nothing_half_written(pair: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = geomtrs("detect", *pair, "-q", "what changed", "-o", str(out), "--model", "differencing", limit_bytes=2_000)
    refused(done, 1)
    assert not (out / "mask.tif").exists()
    assert ask(pair, out).returncode == 0


def test_an_unknown_model_names_the_nearest(pair: tuple[str, str], tmp_path: Path) -> None:
    done = geomtrs("detect", *pair, "-q", "new houses", "-o", str(tmp_path / "out"), "--model", "nanoo")
    refused(done, 2, "nano")


def test_damaged_weights_are_refused_before_any_pixel_e7(pair: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{", encoding="utf-8")
    done = geomtrs("detect", *pair, "-q", "x y", "-o", str(tmp_path / "out"), "--weights", str(tmp_path / "weights"))
    refused(done, 1, "weights")
    assert not (tmp_path / "out").exists()


def test_rasters_without_common_ground_say_where_both_are_a8(pair: tuple[str, str], tmp_path: Path) -> None:
    far = tmp_path / "far.tif"
    with rasterio.open(pair[1]) as raster:
        profile = raster.profile | {"transform": rasterio.Affine(2, 0, 700_000, 0, -2, 5_100_000)}
        with rasterio.open(far, "w", **profile) as target:
            target.write(raster.read())
    refused(ask((pair[0], str(far)), tmp_path / "out"), 1, "far.tif", "2019.tif", "15.00", "17.5", "lon 46.0", "lat")


def test_a_raster_without_a_crs_is_named_and_may_be_told_a9(pair: tuple[str, str], tmp_path: Path) -> None:
    bare = tmp_path / "bare.tif"
    with rasterio.open(pair[1]) as raster:
        profile = raster.profile | {"crs": None}
        with rasterio.open(bare, "w", **profile) as target:
            target.write(raster.read())
    refused(ask((pair[0], str(bare)), tmp_path / "out"), 1, "bare.tif", "--assume-crs")
    assert ask((pair[0], str(bare)), tmp_path / "out", "--assume-crs", "EPSG:32633").returncode == 0


def test_complex_samples_are_refused_a11(pair: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "complex.tif"
    with rasterio.open(pair[1]) as raster:
        profile = raster.profile | {"dtype": "complex64"}
        with rasterio.open(path, "w", **profile) as target:
            target.write(raster.read().astype(np.complex64))
    refused(ask((pair[0], str(path)), tmp_path / "out"), 1, "complex.tif")


def test_a_wrong_option_is_asked_wrongly_e10(pair: tuple[str, str], tmp_path: Path) -> None:
    done = ask(pair, tmp_path / "out", "--no-such-option")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_debug_shows_where_an_error_came_from_e10(pair: tuple[str, str], tmp_path: Path) -> None:
    done = ask((pair[0], str(tmp_path / "no.tif")), tmp_path / "out", "--debug")
    assert "Traceback" in done.stderr


def test_a_checkpoint_that_is_not_there_is_one_line_e7(tmp_path: Path) -> None:
    done = geomtrs("model", "convert", str(tmp_path / "nowhere"), "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "no weights" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_mistyped_option_is_told_the_nearest_one(tmp_path: Path) -> None:
    done = geomtrs("detect", "a.tif", "b.tif", "--qurey", "what changed")
    assert done.returncode == 2
    assert "did you mean --query?" in done.stderr
    assert "see geomtrs plan --help" in geomtrs("plan", "a.tif", "--max-shift", "far").stderr


def test_numbers_that_are_no_box_are_not_taken_for_a_file(pair: tuple[str, str], tmp_path: Path) -> None:
    refused(ask(pair, tmp_path / "out", "--aoi", "1,2,3"), 2, "3 numbers")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--aoi", "1,2,3,4"), "ground inside the dates"),
        (("--aoi", "15.0001,46.0500,15.00010001,46.05000001"), "at least one pixel"),
        (("--aoi", "nowhere.gpkg"), "no such file"),
        (("--aoi", "pyproject.toml"), "does not open"),
        (("--aoi", "1,2,3,4", "--aoi-crs", "EPSG:99999"), "--aoi-crs"),
    ],
)
def test_an_area_that_cannot_be_is_asked_wrongly_c12(
    pair: tuple[str, str], tmp_path: Path, options: tuple[str, ...], word: str
) -> None:
    refused(ask(pair, tmp_path / "out", *options), 2, word)


def test_what_goes_unheeded_is_told_before_any_image_is_looked_at() -> None:
    done = geomtrs("model", "read", "new buildings not near the stadium", "neue Häuser aus Holz")
    said = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in said if line[0] != " "] == [
        "new buildings not near the stadium", "neue Häuser aus Holz"
    ]  # fmt: skip
    assert "“not” may go unheeded" in said[1]
    assert "“near” may go unheeded" in said[2]
    assert "does not look English" in said[-1]


def test_a_path_that_is_none_is_refused_before_anything_is_said(tmp_path: Path) -> None:
    done = ask((str(tmp_path / "a.tif"), str(tmp_path / "b.tif")), tmp_path / "out")
    refused(done, 1, "no such file")
    assert "device" not in done.stderr


def test_plain_pictures_can_be_planned(pair: tuple[str, str]) -> None:
    done = geomtrs("plan", *pair, "--pixels", "--json")
    assert json.loads(done.stdout)["grid"]["crs"] is None, done.stderr


@pytest.mark.parametrize("words", [(), ("train",)])
def test_who_asks_nothing_gets_the_help_and_no_error(words: tuple[str, ...]) -> None:
    done = geomtrs(*words)
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage" in done.stdout


def test_a_missing_file_is_named_before_the_model_is_looked_for(pair: tuple[str, str], tmp_path: Path) -> None:
    weights = ("--model", "nano", "--weights", str(tmp_path / "none"))
    done = geomtrs(
        "detect", pair[0], str(tmp_path / "no.tif"), "-q", "new houses", "-o", str(tmp_path / "out"), *weights
    )
    refused(done, 1, "no.tif")


def test_a_folder_in_place_of_an_image_is_sent_to_batch(pair: tuple[str, str], tmp_path: Path) -> None:
    refused(ask((pair[0], str(tmp_path)), tmp_path / "out"), 1, "found a folder", "geomtrs batch")


def test_a_picture_without_a_place_hears_of_pixels(pair: tuple[str, str], tmp_path: Path) -> None:
    picture = tmp_path / "now.png"
    Image.new("RGB", (96, 64)).save(picture)
    refused(ask((pair[0], str(picture)), tmp_path / "out"), 1, "now.png", "--pixels")


@pytest.mark.parametrize("option", ["--min-area", "--fill-holes", "--simplify", "--max-shift"])
def test_a_number_that_means_nothing_is_told_by_its_options_own_name(
    pair: tuple[str, str], tmp_path: Path, option: str
) -> None:
    refused(ask(pair, tmp_path / "out", option, "-3"), 2, f"{option}: found -3")


def test_what_people_open_is_named_and_sidecars_are_not(pair: tuple[str, str], tmp_path: Path) -> None:
    done = ask(pair, tmp_path / "out", "--format", "shp")
    named = [Path(line).name for line in done.stdout.splitlines()]
    assert named == [
        "changes.gpkg", "changes.shp", "coverage.tif", "mask.tif", "preview.png", "probability.tif", "project.qgz",
    ]  # fmt: skip
