"""The first own run: two rasters, a sentence, a folder.

python examples/first_run.py BEFORE.tif AFTER.tif "the buildings that appeared" OUT
"""

from __future__ import annotations

import sys

import geomtrs


def main(before: str, after: str, sentence: str, out: str) -> None:
    result = geomtrs.detect(before, after, query=sentence, out=out)
    print(result.polygons[["id", "area_m2", "prob_mean"]].head(10).to_string(index=False))
    print(result.folder / "preview.png")


if __name__ == "__main__":
    main(*sys.argv[1:5])
