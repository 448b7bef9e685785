"""Every export describes itself in Croissant 1.0: its files as they are, its table column by column."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from geomtrs.craft.export import FORMATS, Format, export
from geomtrs.craft.run import craft
from tests.geomtrs.test_craft import LABELS, write_pairs

BESIDE = {"croissant.json", "datasheet.md", "labels.xml", "samples.jsonl", "tasks.json", "train.json", "val.json"}


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_is_described_in_croissant_k4(format_: Format, tmp_path: Path) -> None:
    craft(write_pairs(tmp_path), tmp_path / "crafted", LABELS)
    out = tmp_path / "set"
    count = export(tmp_path / "crafted", out, format_, licence="CC BY 4.0")
    told = json.loads((out / "croissant.json").read_text(encoding="utf-8"))
    assert told["@context"]["cr"] == "http://mlcommons.org/croissant/"
    assert (told["@type"], told["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.0")
    assert (told["name"], told["license"]) == ("yard", "CC BY 4.0")
    table, *pictures = told["distribution"]
    content = (out / table["contentUrl"]).read_bytes()
    assert (table["@type"], table["sha256"]) == ("cr:FileObject", hashlib.sha256(content).hexdigest())
    assert {one["@type"] for one in pictures} == {"cr:FileSet"}
    matched = {path for one in pictures for path in out.glob(one["includes"])}
    files = {path for path in out.rglob("*") if path.is_file() and path.name not in BESIDE}
    assert files - {out / "triplets.parquet"} <= matched
    (records,) = told["recordSet"]
    columns = pd.read_parquet(out / "triplets.parquet")
    assert len(columns) == count
    for field in records["field"]:
        assert field["source"]["fileObject"] == {"@id": table["@id"]}
        values = columns[field["source"]["extract"]["column"]]
        assert field["dataType"] == ("sc:Integer" if pd.api.types.is_integer_dtype(values) else "sc:Text")
    assert columns["id"].is_unique
    assert records["key"] == {"@id": "triplets/id"}
    ids = [one["@id"] for one in (*told["distribution"], records, *records["field"])]
    assert len(ids) == len(set(ids))
