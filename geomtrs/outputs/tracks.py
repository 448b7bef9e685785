"""One thing through a series of dates: polygons of one sentence that lie over each other in several pairs."""

from __future__ import annotations

from collections.abc import Mapping

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geomtrs.outputs.vector import FIELDS

NAME = "tracks.gpkg"
# Two polygons are one thing when at least this share of the smaller one lies in the other.
LEAST_SHARE = 0.5
TRACK_FIELDS: Mapping[str, str] = {**FIELDS, "track": "int64", "first_seen": "string", "last_seen": "string"}


def tracks(table: geopandas.GeoDataFrame, pair: NDArray[np.intp]) -> geopandas.GeoDataFrame:
    """The table with the track of each polygon, numbered from 1 in the order of the table.

    table  polygons of one sentence (`vector.table`), all pairs of dates below each other
    pair   (N,) the number of each one's pair, rising with time

    A track is all polygons that are joined, over any number of steps, by covering each other in different pairs.
    `first_seen` and `last_seen` are the after dates of its earliest and its latest pair, null where not known. Every
    polygon is in one track, be it alone, so areas over all tracks add up to those of the table.
    """
    geometry = table.geometry.to_numpy()
    first, second = shapely.STRtree(geometry).query(geometry, predicate="intersects")
    later = pair[first] < pair[second]
    first, second = first[later], second[later]
    area = shapely.area(geometry)
    shared = shapely.area(shapely.intersection(geometry[first], geometry[second]))
    same = shared >= LEAST_SHARE * np.minimum(area[first], area[second])
    links = coo_array((np.ones(same.sum()), (first[same], second[same])), shape=(len(table), len(table)))
    _, track = connected_components(links, directed=False)
    made = table.assign(track=pd.factorize(track)[0] + 1)
    order = made.assign(pair=pair).sort_values("pair", kind="stable").groupby("track")["date_to"]
    # By position: `first` and `last` would pass over a date that is not known.
    for name, place in (("first_seen", 0), ("last_seen", -1)):
        made[name] = made["track"].map(order.agg(lambda dates, place=place: dates.iloc[place]))
    made = made[[*TRACK_FIELDS, "geometry"]].astype(TRACK_FIELDS)
    made.attrs = {}
    return made
