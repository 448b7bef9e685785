"""A STAC catalogue, collection, item collection or API → images: one asset of every item that is clear enough."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from shapely.geometry import shape

from geomtrs.archive.scene import Image, Scene, Selection, place_of, safe_name
from geomtrs.errors import MissingExtra, QueryError

if TYPE_CHECKING:
    import pystac

_RASTERS = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-hdf5")
_PLACES = ("grid:code", "s2:mgrs_tile", "mgrs:grid_square")


def stac_images(source: str, selection: Selection) -> tuple[list[Image], list[Scene]]:
    """The images of a source, and what of it is not used: items under clouds, or without a raster.

    Raises QueryError for a source that is no STAC, MissingExtra without pystac.
    """
    images, left = [], []
    for item in _items(source, selection):
        cover = item.properties.get("eo:cloud_cover")
        key = _asset(item, selection.asset)
        ground = shape(item.geometry) if item.geometry else None
        reason = (
            f"cloud cover {cover:g} %, above {selection.max_cloud:g} %"
            if cover is not None and float(cover) > selection.max_cloud
            else "no raster among its assets"
            if key is None
            else "no geometry"
            if ground is None
            else ""
        )
        if reason or key is None or ground is None:
            href = item.get_self_href() or item.id
            left.append(Scene(safe_name(item.id), (href,), status="skipped", reason=reason))
            continue
        images.append(
            Image(
                href=_local(item.assets[key].get_absolute_href() or item.assets[key].href),
                name=safe_name(place_of(item.id)),
                place=next((str(item.properties[one]) for one in _PLACES if one in item.properties), ""),
                date=_day(item),
                ground=ground,
                pixels=_pixels(item, key),
                told=True,
            )
        )
    return images, left


def _items(source: str, selection: Selection) -> Iterable[pystac.Item]:
    try:
        import pystac
    except ImportError as error:
        remedy = "pip install 'geomtrs[stac]'"
        raise MissingExtra("pystac", found="not installed", wanted="to read STAC", remedy=remedy) from error
    try:
        if selection.collections or selection.bbox or selection.datetime:
            return _searched(source, selection)
        document = pystac.StacIO.default().read_json(source)
        if "conformsTo" in document:
            raise QueryError(
                source,
                found="a STAC API",
                wanted="what of it",
                remedy="say --collection, --bbox, --datetime",
            )
        if document.get("type") == "FeatureCollection":
            return list(pystac.ItemCollection.from_file(source))
        catalogue = pystac.read_file(source)
    except QueryError:
        raise
    except (OSError, ValueError, KeyError, pystac.STACError) as error:
        raise QueryError(
            source,
            found=f"no STAC that reads ({type(error).__name__}: {error})",
            wanted="a STAC catalogue, collection or item collection; of an API, say --collection",
            remedy="check the address",
        ) from error
    if isinstance(catalogue, pystac.Catalog):
        return catalogue.get_items(recursive=True)
    raise QueryError(source, found="one item", wanted="a catalogue of several dates", remedy="name what links it")


def _searched(source: str, selection: Selection) -> Iterable[pystac.Item]:
    try:
        from pystac_client import Client
    except ImportError as error:
        remedy = "pip install 'geomtrs[stac]'"
        raise MissingExtra("pystac-client", found="not installed", wanted="a STAC API", remedy=remedy) from error
    bbox = [float(side) for side in selection.bbox.split(",")] if selection.bbox else None
    search = Client.open(source).search(
        collections=list(selection.collections) or None, bbox=bbox, datetime=selection.datetime
    )
    return list(search.items())


def _asset(item: pystac.Item, wanted: str) -> str | None:
    """Key of the asset to read: the wanted one, else the first raster that is data."""
    if wanted in item.assets:
        return wanted
    rasters = [key for key, asset in item.assets.items() if (asset.media_type or "").split(";")[0] in _RASTERS]
    data = [key for key in rasters if "data" in (item.assets[key].roles or ())]
    return next(iter([*data, *rasters]), None)


def _local(href: str) -> str:
    """A path where the address is a file's."""
    parts = urlparse(href)
    if parts.scheme == "file":
        return url2pathname(parts.path)
    return href if "://" in href or href.startswith("/vsi") else str(Path(href).absolute())


def _day(item: pystac.Item) -> str | None:
    moment = item.datetime or item.common_metadata.start_datetime
    return None if moment is None else moment.date().isoformat()


def _pixels(item: pystac.Item, key: str) -> int | None:
    shape_: Any = item.assets[key].extra_fields.get("proj:shape") or item.properties.get("proj:shape")  # Any: JSON
    return int(shape_[0]) * int(shape_[1]) if shape_ else None
