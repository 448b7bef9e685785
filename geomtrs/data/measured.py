"""What the files of a listing hold: sizes, masks, how much they cover, and what does not fit together."""

from __future__ import annotations

import statistics as averages
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from geomtrs.data.mtrefseg21k import Broken, Listing, Sample
from geomtrs.data.pictures import MaskKind, grey_of, kind_of, shape_of, truth_of
from geomtrs.errors import DataError


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a split holds; shares are of samples with a readable mask, None where there are none."""

    pairs: int
    sentences: int
    sizes: Mapping[str, int]  # "width × height" to pairs, the most frequent first
    words: tuple[int, float, int] | None  # a sentence: fewest, mean, most
    mask_kinds: Mapping[str, int]  # MaskKind to files
    empty_share: float | None  # samples whose mask is empty
    mask_share: float | None  # mean over samples of the part of the picture that the mask covers
    broken: tuple[Broken, ...]  # the listing's, and pictures that cannot be read or do not fit together

    def to_dict(self) -> dict[str, object]:
        """As JSON takes it."""
        return asdict(self) | {"broken": [{"path": str(one.path), "reason": one.reason} for one in self.broken]}


def statistics(listing: Listing) -> Statistics:
    """Counts over a listing; opens every picture once for its size and reads every mask once."""
    samples = listing.samples
    shapes, bad_pictures = _measured_pictures(samples)
    masks, bad_masks = _measured_masks(samples, shapes)
    pairs = dict.fromkeys((sample.before, sample.after) for sample in samples)
    sizes = Counter("{1} × {0}".format(*shapes[before]) for before, _ in pairs if before in shapes)
    shares = [masks[sample.mask][1] for sample in samples if sample.mask in masks]
    words = [len(sample.sentence.split()) for sample in samples]
    return Statistics(
        pairs=len(pairs),
        sentences=len(samples),
        sizes=dict(sizes.most_common()),
        words=(min(words), averages.fmean(words), max(words)) if words else None,
        mask_kinds=dict(Counter(kind for kind, _ in masks.values()).most_common()),
        empty_share=shares.count(0) / len(shares) if shares else None,
        mask_share=averages.fmean(shares) if shares else None,
        broken=(*listing.broken, *bad_pictures, *bad_masks),
    )


def fitting(listing: Listing) -> Listing:
    """The samples whose pictures and mask are of one size, by their headers; what is not joins what is broken."""
    samples: list[Sample] = []
    broken: dict[Path, Broken] = {}
    shape = cache(shape_of)
    for sample in listing.samples:
        try:
            wanted = shape(sample.before)
            found = [(path, shape(path)) for path in (sample.after, sample.mask) if path is not None]
        except DataError as error:
            broken[Path(error.file)] = _as_broken(error)
            continue
        wrong = {path: _misfit(path, size, wanted) for path, size in found if size != wanted}
        broken |= wrong
        if not wrong:
            samples.append(sample)
    return Listing(tuple(samples), (*listing.broken, *broken.values()))


def _measured_pictures(samples: Sequence[Sample]) -> tuple[dict[Path, tuple[int, int]], list[Broken]]:
    """(H, W) of every earlier picture, and what cannot be read or has another size than its earlier picture."""
    shapes: dict[Path, tuple[int, int]] = {}
    broken = []
    for before, after in dict.fromkeys((sample.before, sample.after) for sample in samples):
        try:
            shapes[before] = shape_of(before)
            later = shape_of(after)
        except DataError as error:
            broken.append(_as_broken(error))
            continue
        if later != shapes[before]:
            broken.append(_misfit(after, later, shapes[before]))
    return shapes, broken


def _measured_masks(
    samples: Sequence[Sample], shapes: Mapping[Path, tuple[int, int]]
) -> tuple[dict[Path, tuple[MaskKind, float]], list[Broken]]:
    """Kind and share of every mask, and which cannot be read or have another size than their picture."""
    masks: dict[Path, tuple[MaskKind, float]] = {}
    broken = []
    for path, before in {one.mask: one.before for one in samples if one.mask is not None}.items():
        try:
            grey = grey_of(path)
        except DataError as error:
            broken.append(_as_broken(error))
            continue
        masks[path] = kind_of(grey), float(truth_of(grey).mean())
        if not masks[path][1] and grey.any():
            broken.append(Broken(path, f"found no grey above {grey.max()}, which is read as empty; wanted 0 and 255"))
        if before in shapes and grey.shape != shapes[before]:
            broken.append(_misfit(path, grey.shape, shapes[before]))
    return masks, broken


def _as_broken(error: DataError) -> Broken:
    return Broken(Path(error.file), f"found {error.found}; wanted {error.wanted}")


def _misfit(path: Path, found: tuple[int, ...], wanted: tuple[int, int]) -> Broken:
    return Broken(path, f"found {found[1]} × {found[0]} px; wanted {wanted[1]} × {wanted[0]} px as the earlier picture")
