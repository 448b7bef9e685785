"""The examples run as their docstrings say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_first_run_prints_polygons_and_the_picture(tmp_path: Path) -> None:
    before, after = sorted(str(p) for p in (ROOT / "geomtrs" / "data" / "sample").glob("*.tif"))
    script = str(ROOT / "examples" / "first_run.py")
    done = subprocess.run(
        [sys.executable, script, before, after, "water that appeared", str(tmp_path / "out")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "area_m2" in done.stdout
    assert (tmp_path / "out" / "preview.png").exists()


def test_real_places_says_what_it_takes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "real_places.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--data" in done.stdout
