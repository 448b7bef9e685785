"""Every real place of a data folder, with its sentences: how each date was aligned, time, polygons, IoU where a truth exists.

python examples/real_places.py --data FOLDER --out OUT [--model nano] [--weights FOLDER] [--only naip_nd]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import geomtrs
from tiling.errors import TilingError


@dataclass(frozen=True)
class Place:
    """Dates (each one or more files, relative to the folder), sentences, options.

    clouds  for each date a mask of its clouds, as `--cloud-mask` takes it
    truth   a mask of 0, 1 and nodata
    """

    name: str
    dates: Sequence[str | Sequence[str]]
    sentences: Sequence[str]
    options: dict[str, Any] = field(default_factory=dict)
    truth: str | None = None
    clouds: Sequence[str] = ()


_FIRE = "LC08_L1TP_034032_{date}_01_T1_{band}_crop.tif"
_BEFORE_FIRE, _AFTER_FIRE = "20160707_20170221", "20160723_20180131"
_RGB = ("sr_band4", "sr_band3", "sr_band2")
_CARTOSAT = ("1_1", "1_3", "3_1", "3_2", "4_2", "5_1")

PLACES = (
    Place("joplin_tornado", ["before_337-10160.tif", ["after_31500-5137.tif", "after_31500-6161.tif"]],
          ["buildings destroyed by the tornado", "houses that are no longer there"]),
    Place("naip_nd", [f"m_4709963_se_14_1_{d}.tif" for d in ("20090818", "20140720", "20160816", "20170827", "20200831")],
          ["lake that has grown over fields", "new open water"]),
    Place("ucayali_landsat", [f"{year}.tif" for year in range(1985, 2021, 5)],
          ["where the city has grown", "old river bends that are cut off", "forest cleared"], {"bands": "3,2,1", "pairs": "first-last"}),
    Place("cairo_new_capital_s2", ["before.tif", "after.tif"],
          ["new buildings in the desert", "newly built residential quarters", "new parks"]),
    Place("cartosat_in", [[f"t{t}_{tile}.tif" for tile in _CARTOSAT] for t in (1, 2)],
          ["farmland turned into building land", "new houses at the edge of the town"], {"bands": "3,2,1"}),
    Place("taizhou_etm", ["2000.tif", "2003.tif"], ["new ring road", "new industrial buildings", "city expansion"], {"bands": "3,2,1"}, "truth.tif"),
    Place("cold_springs_fire", [[_FIRE.format(date=d, band=b) for b in _RGB] for d in (_BEFORE_FIRE, _AFTER_FIRE)],
          ["burned forest", "area burnt by the wildfire"],
          clouds=[f"{_FIRE.format(date=d, band='pixel_qa')}&32" for d in (_BEFORE_FIRE, _AFTER_FIRE)]),  # bit 5: cloud
    *(Place("socal_naip", [f"{town}_{year}_{n}.tif" for year in (2016, 2018, 2020)],
            ["new houses", "school buildings that were added", "trees that were felled"])
      for town, n in (("claremont", 51), ("long_beach", 38), ("santa_monica", 76))),
    Place("italy_greece_meris", ["MER_FRS_20060816.tif", "MER_FRS_20060822.tif"], ["new buildings", "clouds"], {"nodata": 0}),
)  # fmt: skip

SINGLES = ("asar_gcps_only.tif", "crosses_dateline_rgba.tif")


def run_place(place: Place, data: Path, out: Path, *, model: str, weights: Path | None) -> list[str]:
    """The table's rows of one place: one a sentence and pair of dates."""
    folder = data / place.name
    dates = [str(folder / d) if isinstance(d, str) else [str(folder / f) for f in d] for d in place.dates]
    options = {**place.options, "cloud_masks": [str(folder / mask) for mask in place.clouds]}
    label = Path(dates[0] if isinstance(dates[0], str) else dates[0][0]).stem
    target = out / f"{place.name}-{label}"
    options |= {"model": model, "weights": weights}
    plan = geomtrs.plan(*dates, **options).to_dict()
    start = time.perf_counter()
    result = geomtrs.detect(*dates, query=list(place.sentences), out=target, overwrite=True, fresh=True, **options)
    seconds = time.perf_counter() - start
    how = "; ".join(_alignment(date) for date in plan["dates"][1:])
    polygons = result.polygons
    counts = polygons.groupby("query").size() if len(polygons) else {}
    with rasterio.open(next(target.glob("mask*.tif"))) as mask:
        megapixels = mask.width * mask.height / 1e6
    rows = [f"{place.name} {label}: {how}; {seconds:.1f} s, {megapixels / seconds:.2f} Mpx/s"]
    rows += [f"    {sentence!r}: {int(counts.get(sentence, 0))} polygons" for sentence in place.sentences]
    if place.truth is not None:
        rows.append(
            f"    IoU of all sentences together with the labelled part: {_truth_iou(target, folder / place.truth):.2f}"
        )
    return rows


def _alignment(date: dict[str, Any]) -> str:
    x, y = date["offset_px"]
    shift = date["shift"]
    moved = f", shift {shift['dx_px']:+.2f} {shift['dy_px']:+.2f} px" if shift else ""
    return f"{date['alignment']} ({x:+.2f} {y:+.2f} px{moved})"


def _truth_iou(target: Path, path: Path) -> float:
    """Any sentence's mask against a truth that labels a part of the scene."""
    with rasterio.open(path) as file:
        truth = file.read(1)
    found = np.zeros(truth.shape, bool)
    for mask in target.glob("mask*.tif"):
        with rasterio.open(mask) as file:
            found |= file.read(1) == 1
    known = truth != 255
    wanted = truth == 1
    return float((found & wanted).sum() / max(1, ((found & known) | wanted).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    for place in PLACES:
        if arguments.only in place.name:
            try:
                found = run_place(
                    place, arguments.data, arguments.out, model=arguments.model, weights=arguments.weights
                )
                print(*found, sep="\n", flush=True)
            except TilingError as error:
                print(f"{place.name}: refused: {error}", flush=True)
    for name in SINGLES:
        if arguments.only in "odd_singles":
            path = str(arguments.data / "odd_singles" / name)
            try:
                geomtrs.plan(path, path, model=arguments.model)
                print(f"odd_singles {name}: read")
            except TilingError as error:
                print(f"odd_singles {name}: refused: {error}")


if __name__ == "__main__":
    main()
