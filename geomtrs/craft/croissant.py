"""croissant.json: an exported set in the words of MLCommons Croissant 1.0, so that loaders and catalogues can read it.

http://mlcommons.org/croissant/1.0: JSON-LD that names the files, and the columns of the table of sentences.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

NAME, TABLE = "croissant.json", "triplets.parquet"
CONFORMS = "http://mlcommons.org/croissant/1.0"
# Columns that every export has, with what is in them; further ones are of no use without geomtrs.
COLUMNS: Mapping[str, str] = {
    "id": "of the triplet",
    "pair": "two pictures of one place",
    "file": "name of the pair's files, without suffix",
    "split": "train or val, by whole places",
    "place": "where the pair is; pairs of one place are in one split",
    "sentence": "asks for what changed",
    "kind": "0 appear, 1 disappear, 2 change of state",
    "class": "the thing that the sentence is about",
    "cells": "of the 3 x 3 grid that hold the mask",
    "pixels": "of the mask",
}
_TYPES = {"kind": "sc:Integer", "pixels": "sc:Integer"}
_PROPERTIES = """citeAs column conformsTo extract field fileObject fileProperty fileSet format includes isLiveDataset
    jsonPath key md5 parentField path recordSet references regex repeated replace separator source subField transform"""
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{name: f"cr:{name}" for name in _PROPERTIES.split()},
    "conformsTo": "dct:conformsTo",
}


def croissant(folder: Path, *, name: str, description: str, licence: str) -> dict[str, Any]:
    """The description of a folder in which all else is written: equal folders give equal ones.

    No day of publication is in it; whoever publishes the set adds it, and the address.
    """
    table = folder / TABLE
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": name,
        "description": description,
        "license": licence,
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject", "@id": TABLE, "name": TABLE, "description": "a row a sentence",
                "contentUrl": TABLE, "encodingFormat": "application/x-parquet",
                "sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
            },
            *_pictures(folder),
        ],
        "recordSet": [{
            "@type": "cr:RecordSet", "@id": "triplets", "name": "triplets", "key": {"@id": "triplets/id"},
            "field": list(_fields(pd.read_parquet(table, columns=list(COLUMNS)))),
        }],
    }  # fmt: skip


def _pictures(folder: Path) -> Iterator[dict[str, Any]]:
    """Every folder with files in it is a set of files, by suffix."""
    kinds = {(path.parent, path.suffix) for path in folder.rglob("*") if path.is_file() and path.parent != folder}
    for parent, suffix in sorted(kinds):
        glob = f"{parent.relative_to(folder).as_posix()}/*{suffix}"
        kind = mimetypes.types_map.get(suffix, "image/webp" if suffix == ".webp" else "application/octet-stream")
        yield {"@type": "cr:FileSet", "@id": glob, "name": glob, "includes": glob, "encodingFormat": kind}


def _fields(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for column in table.columns:
        yield {
            "@type": "cr:Field", "@id": f"triplets/{column}", "name": f"triplets/{column}",
            "description": COLUMNS[column], "dataType": _TYPES.get(column, "sc:Text"),
            "source": {"fileObject": {"@id": TABLE}, "extract": {"column": column}},
        }  # fmt: skip
