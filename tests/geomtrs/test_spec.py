"""What a run was told is one value, the same from everywhere, and wrong words are refused at birth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomtrs.errors import QueryError
from geomtrs.options import Options, job_spec, parse_bytes
from geomtrs.query import Query
from geomtrs.spec import JobSpec, RunSettings
from tiling.aoi import read_aoi

ASK = "the buildings that appeared"


def told(**options: Unpack[Options]) -> JobSpec:
    return job_spec(["a.tif", "b.tif"], ASK, "out", **options)


def test_a_spec_survives_json_f6() -> None:
    spec = job_spec(
        [["n.tif", "s.tif"], Path("b.tif"), "https://host/c.tif"],
        [Query(ASK, "built"), "the “water” / that left"],
        "out",
        dates="2019,,20210503",
        bands="4,red,2",
        cloud_masks=["q.tif:3", None, None],
        formats=["shp"],
        memory="2GB",
        max_area_m2=1e6,
    )
    assert JobSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@given(st.floats(0.01, 1), st.floats(0, 1e6), st.integers(1, 9))
def test_numbers_survive_json_bit_for_bit(threshold: float, area: float, tiles: int) -> None:
    spec = told(threshold=threshold, min_area_m2=area, block_tiles=tiles)
    assert JobSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_local_paths_hold_from_any_folder_and_remote_ones_stay() -> None:
    spec = job_spec(["a.tif", "/vsizip/x.zip/b.tif", "s3://bucket/c.tif"], ASK, "out")
    assert spec.images[0] == (str(Path.cwd() / "a.tif"),)
    assert spec.images[1:] == (("/vsizip/x.zip/b.tif",), ("s3://bucket/c.tif",))


def test_gpkg_is_always_written_and_nothing_twice() -> None:
    assert told(formats=["shp", "shp"]).formats == ("gpkg", "shp")


def test_one_format_needs_no_list() -> None:
    assert told(formats="shp").formats == ("gpkg", "shp")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"threshold": 0}, "--threshold"),
        ({"threshold": float("nan")}, "--threshold"),
        ({"formats": ["geojsn"]}, "did you mean geojson"),
        ({"pairs": "some"}, "--pairs"),
        ({"bands": "0,1"}, "--bands"),
        ({"bands": "1,,2"}, "--bands"),
        ({"memory": "lots"}, "--memory"),
        ({"min_area_m2": -1}, "--min-area: "),
        ({"min_area_m2": 500, "max_area_m2": 100}, "--min-area: found 500 m², above --max-area 100 m²"),
        ({"max_area_m2": 0}, "--max-area: found 0; wanted above 0"),
        ({"nodata": float("nan")}, "--nodata: .*leave it out"),
        ({"max_shift_px": float("inf")}, "--max-shift: "),
        ({"workers": 0}, "--workers"),
        ({"dates": "2019"}, "--dates"),
        ({"cloud_masks": ["a.tif"]}, "--cloud-mask"),
        ({"aoi": (11.2, 46.1, 11.4, 46.2)}, "found a tuple"),
        ({"treshold": 0.5}, "did you mean threshold"),
        ({"pixels": True, "formats": ["geojson"]}, "geojson"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(options: dict[str, Any], names: str) -> None:
    with pytest.raises(QueryError, match=names):
        told(**options)  # type: ignore[typeddict-item, unused-ignore]


def test_one_image_is_not_enough() -> None:
    with pytest.raises(QueryError, match="two or more"):
        job_spec(["a.tif"], ASK, "out")


def test_pixels_without_a_place_are_refused_by_their_type() -> None:
    with pytest.raises(QueryError, match=r"found a ndarray.*xarray\.DataArray"):
        job_spec([np.zeros((3, 8, 8)), "b.tif"], ASK, "out")  # type: ignore[list-item]


def test_a_date_without_a_file_is_refused() -> None:
    with pytest.raises(QueryError, match="a date without a file"):
        job_spec(["a.tif", []], ASK, "out")


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2_000_000_000), ("1.5 GiB", 1_610_612_736), ("500m", 500_000_000), (1024, 1024), (None, None)],
)
def test_sizes_are_read_as_written(text: str | int | None, size: int | None) -> None:
    assert parse_bytes(text) == size


def test_differences_name_what_and_how(tmp_path: Path) -> None:
    assert told(threshold=0.4).differences(told(threshold=0.6)) == ("threshold: 0.4, not 0.6",)


def test_how_it_runs_is_no_difference() -> None:
    spec = told()
    assert spec.differences(spec.running(RunSettings(workers=3, retries=0))) == ()


def test_the_file_of_a_cloud_mask_is_the_one_that_is_opened_a21() -> None:
    masks = ["fog&haze", "q.tif:4&0x28"]
    assert [Path(path).name for path in told(cloud_masks=masks).files[2:]] == ["fog&haze", "q.tif"]


@pytest.mark.parametrize("box", ["-10.5,46,11,46.5", ".5,46,+1.,46.5", " 1e1, 46, 11, 4.65e1"])
def test_a_bbox_is_no_file_however_its_numbers_are_written(box: str) -> None:
    spec = told(aoi=box)
    assert spec.aoi == box
    assert read_aoi(box).boundingbox[1] == 46
    assert len(spec.files) == 2


def test_the_path_of_an_area_holds_from_any_folder() -> None:
    assert told(aoi="area.gpkg").aoi == str(Path.cwd() / "area.gpkg")


def test_a_document_of_something_else_is_refused() -> None:
    with pytest.raises(QueryError, match="spec"):
        JobSpec.from_dict({"queries": [], "images": [["a"], ["b"]]})
