"""The demo, small: it draws, answers, compares with the truth and names what it wrote."""

from __future__ import annotations

from pathlib import Path

from geomtrs.demo import run_demo


def test_demo_leaves_pictures_and_an_iou(tmp_path: Path) -> None:
    lines: list[str] = []
    report = run_demo(tmp_path, model="differencing", report=lines.append, side_px=512)
    assert 0 <= report.iou <= 1
    assert any("drawn" in line for line in lines)
    for result in (report.drawn, report.real):
        assert (result.folder / "preview.png").exists()
        assert str(result.folder / "mask.tif") in "\n".join(lines)
