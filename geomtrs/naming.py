"""What the outputs of a run are called: one scheme, told before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geomtrs import dates as dating
from geomtrs.outputs.raster import stem
from geomtrs.query import Query, slugs

SINGLE = ("coverage.tif", "project.qgz", "run.json", "item.json", "checksums.json")


@dataclass(frozen=True, slots=True)
class Channel:
    """One sentence of one pair of dates: `number` in the store, and the parts of names that tell it from others."""

    number: int
    query: int
    pair: int
    slug: str | None
    span: str | None

    def file(self, kind: str, suffix: str) -> str:
        """`mask.tif`, or `mask_<slug>_<from>-<to>.tif` where several could be meant."""
        return f"{stem(kind, slug=self.slug, span=self.span)}.{suffix}"


@dataclass(frozen=True, slots=True)
class Names:
    """Slugs of the sentences, spans of the pairs of dates: None where there is only one."""

    slugs: tuple[str | None, ...]
    spans: tuple[str | None, ...]

    def channels(self) -> Iterator[Channel]:
        """Every answer in the order of the store: pair by pair, sentence by sentence."""
        for pair, span in enumerate(self.spans):
            for query, slug in enumerate(self.slugs):
                yield Channel(pair * len(self.slugs) + query, query, pair, slug, span)

    @property
    def layers(self) -> tuple[str, ...]:
        """One layer a sentence, all pairs in it."""
        return tuple(stem("changes", slug=slug) for slug in self.slugs)

    @property
    def tracked(self) -> bool:
        """Are there several pairs of dates, so that a thing can be followed."""
        return len(self.spans) > 1

    def vectors(self, suffix: str) -> tuple[str, ...]:
        """The vector files of a format: one GeoPackage, of the others one file a layer."""
        return ("changes.gpkg",) if suffix == "gpkg" else tuple(f"{layer}.{suffix}" for layer in self.layers)

    def targets(self, folder: Path, formats: Sequence[str]) -> tuple[Path, ...]:
        """Every file that a run writes (but those that only follow another: styles, parts of a shapefile)."""
        kinds = (("mask", "tif"), ("probability", "tif"), ("preview", "png"))
        answers = [channel.file(kind, suffix) for channel in self.channels() for kind, suffix in kinds]
        vectors = [name for suffix in formats for name in self.vectors(suffix)]
        followed = ["tracks.gpkg"] if self.tracked else []
        return tuple(folder / name for name in (*answers, *vectors, *followed, *SINGLE))


def names(queries: Sequence[Query], dates: Sequence[str | None], pairs: Sequence[tuple[int, int]]) -> Names:
    """Slugs only where there are several sentences, spans only where there are several pairs."""
    return Names(
        slugs=slugs(queries) if len(queries) > 1 else (None,),
        spans=dating.pair_labels(dates, pairs) if len(pairs) > 1 else (None,),
    )
