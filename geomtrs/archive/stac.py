"""A STAC catalogue, collection, item collection or API → images: one asset of every item that is clear enough."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from shapely.errors import ShapelyError
from shapely.geometry import shape

from geomtrs.archive.scene import Image, Scene, Selection, place_of, safe_name
from geomtrs.errors import MissingExtra, QueryError
from geomtrs.items import data_raster, is_address, located_href
from tiling.errors import TilingError

if TYPE_CHECKING:
    import pystac

_PLACES = ("grid:code", "s2:mgrs_tile", "mgrs:grid_square")


def stac_images(source: str, selection: Selection) -> tuple[list[Image], list[Scene]]:
    """The images of a source, and what of it is not used: items under clouds, without a raster, or that do not read.

    Raises QueryError for a source that is no STAC, MissingExtra without pystac.
    """
    images, left = [], []
    for item in _items(source, selection):
        try:
            found = _image(item, selection, here=not is_address(source))
        except (AttributeError, KeyError, TypeError, ValueError, ShapelyError) as error:
            found = f"an item that does not read ({type(error).__name__}: {error})"
        if isinstance(found, Image):
            images.append(found)
        else:
            href = item.get_self_href() or str(item.id)
            left.append(Scene(safe_name(str(item.id)), (href,), status="skipped", reason=found))
    return images, left


def _image(item: pystac.Item, selection: Selection, *, here: bool) -> Image | str:
    """The image that an item names, or why it is not used.

    here  the catalogue lies on this machine
    """
    cover = item.properties.get("eo:cloud_cover")
    if cover is not None and float(cover) > selection.max_cloud:
        return f"cloud cover {float(cover):g} %, above {selection.max_cloud:g} %"
    key = _asset(item, selection.asset)
    if key is None:
        return "no raster among its assets"
    if not item.geometry:
        return "no geometry"
    named = item.assets[key].get_absolute_href() or item.assets[key].href
    # Without an address of its own an item was told by its source.
    href = located_href(named, here=here and not is_address(item.get_self_href() or ""))
    if href is None:
        return f"its raster is {named}, which a catalogue {'on this disk' if here else 'elsewhere'} may not name"
    return Image(
        href=href,
        name=safe_name(place_of(item.id)),
        place=next((str(item.properties[one]) for one in _PLACES if one in item.properties), ""),
        date=_day(item),
        ground=shape(item.geometry),
        pixels=_pixels(item, key),
        told=True,
    )


def _items(source: str, selection: Selection) -> Iterable[pystac.Item]:
    try:
        import pystac
    except ImportError as error:
        remedy = "pip install 'geomtrs[stac]'"
        raise MissingExtra("pystac", found="not installed", wanted="to read STAC", remedy=remedy) from error
    try:
        if selection.collections or selection.bbox or selection.datetime:
            return _searched(source, selection)
        reader = _reader(here=not is_address(source))
        document = reader.read_json(source)
        if "conformsTo" in document:
            raise QueryError(
                source,
                found="a STAC API",
                wanted="what of it",
                remedy="say --collection, --bbox, --datetime",
            )
        if document.get("type") == "FeatureCollection":
            items = list(pystac.ItemCollection.from_file(source, stac_io=reader))
            for item in items:
                if item.get_self_href() is None:  # what it names lies beside the collection, wherever this runs
                    item.set_self_href(source if is_address(source) else str(Path(source).absolute()))
            return items
        catalogue = pystac.read_file(source, stac_io=reader)
        if isinstance(catalogue, pystac.Catalog):
            return list(catalogue.get_items(recursive=True))
    except TilingError:
        raise
    except Exception as error:  # pystac raises plain ones where an address does not answer
        raise QueryError(
            source,
            found=f"no STAC that reads ({type(error).__name__}: {error})",
            wanted="a STAC catalogue, collection or item collection; of an API, say --collection",
            remedy="check the address",
        ) from error
    raise QueryError(source, found="one item", wanted="a catalogue of several dates", remedy="name what links it")


def _reader(*, here: bool) -> pystac.StacIO:
    """Reads a catalogue and what it links: files only of a catalogue that is one, and never a pipe or a device."""
    from pystac.stac_io import DefaultStacIO

    class Reader(DefaultStacIO):
        def read_text_from_href(self, href: str) -> str:
            if not is_address(href) and not (here and Path(url2pathname(urlparse(href).path)).is_file()):
                raise OSError(f"{href} is no file that it may name")
            return super().read_text_from_href(href)

    return Reader()


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
    return data_raster({key: asset.to_dict() for key, asset in item.assets.items()})


def _day(item: pystac.Item) -> str | None:
    moment = item.datetime or item.common_metadata.start_datetime
    return None if moment is None else moment.date().isoformat()


def _pixels(item: pystac.Item, key: str) -> int | None:
    shape_: Any = item.assets[key].extra_fields.get("proj:shape") or item.properties.get("proj:shape")  # Any: JSON
    return int(shape_[0]) * int(shape_[1]) if shape_ else None
