"""A model asked the sentences of an evaluation as the product asks them: existence, words about the scene and all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import geopandas
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from geomtrs.data.cases import Case
from geomtrs.errors import QueryError
from geomtrs.grammar import ScenePart
from geomtrs.models.base import LARGEST_PX, ChangeModel, PairAnswers
from geomtrs.outputs.keep import kept
from geomtrs.query import Query
from tiling.rings import corners, outlines

SENTENCES_AT_ONCE = 16  # so that memory follows the picture, not the number of its sentences
STRIDE = 32  # parts of a large picture begin on multiples of it, as the product's reads do

Bool = NDArray[np.bool_]
Progress = Callable[[int, int], None]  # sentences and pairs answered so far


@dataclass(frozen=True, slots=True)
class Answered:
    """A case and what the model said.

    pair         number of the pair, from 0; the sentences of one follow each other
    probability  (H, W) float32, mask × existence, before words about the scene
    existence    of the sentence anywhere in the picture
    mask         (H, W), the answer: probability at the threshold, of that what words about the scene leave
    swapped      (H, W), the answer with the dates swapped; None unless the case says that nothing is right then
    twin         (H, W), the answer to the case's twin; None where it has none
    tiled        (H, W), the answer of the picture cut into tiles; None where that was not asked
    seconds      of the model for this sentence, and its share of what serves the whole pair
    """

    case: Case
    pair: int
    probability: NDArray[np.float32]
    existence: float
    mask: NDArray[np.bool_]
    swapped: NDArray[np.bool_] | None
    seconds: float
    twin: NDArray[np.bool_] | None = None
    tiled: NDArray[np.bool_] | None = None


def answers(
    model: ChangeModel,
    cases: Iterable[Case],
    *,
    threshold: float = 0.5,
    tiled_px: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Answered]:
    """Each case answered, in order; the pictures of a pair are looked at once for all its consecutive sentences.

    Directional cases are asked of the swapped dates too. Pictures larger than LARGEST_PX are cut, with the model's
    halo around each part; padding a smaller one to what the model wants is the model's own affair. With `tiled_px`
    larger pictures are asked once more, in such parts. Raises QueryError where the halo leaves nothing of a part.
    """
    if tiled_px is not None and tiled_px <= 2 * _halo_px(model):
        wanted = f"more than {2 * _halo_px(model)} px, twice the halo of {model.name}"
        raise QueryError("--tiled", found=f"{tiled_px} px", wanted=wanted, remedy="take larger parts")
    done = 0
    for number, group in enumerate(pairs(cases)):
        begun = time.perf_counter()
        queries = [Query(case.sentence) for case in group]
        probability, existence = _ask(model, group[0], queries)
        swapped = _swapped(model, group, queries)
        seconds = (time.perf_counter() - begun) / len(group)
        twins = _twins(model, group)
        tiled = _tiled(model, group[0], queries, tiled_px)
        for i, (case, query) in enumerate(zip(group, queries, strict=True)):

            def answer(found: NDArray[np.float32] | None, query: Query = query, case: Case = case) -> Bool | None:
                return None if found is None else said(found, query.scene_part, threshold=threshold, gsd_m=case.gsd_m)

            yield Answered(
                case=case,
                pair=number,
                probability=probability[i],
                existence=float(existence[i]),
                mask=said(probability[i], query.scene_part, threshold=threshold, gsd_m=case.gsd_m),
                swapped=answer(swapped.get(i)),
                seconds=seconds,
                twin=answer(twins.get(i)),
                tiled=answer(None if tiled is None else tiled[i]),
            )
        done += len(group)
        if progress is not None:
            progress(done, number + 1)


def pairs(cases: Iterable[Case]) -> Iterator[list[Case]]:
    """Consecutive cases about the same two pictures."""
    group: list[Case] = []
    for case in cases:
        if group and not _same(group[-1], case):
            yield group
            group = []
        group.append(case)
    if group:
        yield group


def said(
    probability: NDArray[np.float32], part: ScenePart, *, threshold: float, gsd_m: float | None
) -> NDArray[np.bool_]:
    """(H, W) where the answer holds: the threshold, then place, size and rank among its 4-connected parts.

    Limits of area need a ground resolution and are passed over without one; north is up.
    """
    mask: NDArray[np.bool_] = probability >= threshold
    if gsd_m is None:
        part = replace(part, least=None, most=None)
    if not part:
        return mask
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    numbers = np.arange(1, count + 1)
    frame = geopandas.GeoDataFrame(
        {
            # Without a CRS sizes are told by area_px: here in m², so that limits in m² mean what they say.
            "area_px": ndimage.sum_labels(mask, labels, numbers) * (gsd_m or 1.0) ** 2,
            "prob_mean": ndimage.mean(probability, labels, numbers),
        },
        geometry=_outlines(labels, count),
    )
    chosen = kept(frame, part, GeoBox(mask.shape, Affine.identity(), None))
    left: NDArray[np.bool_] = np.concatenate([[False], chosen])[labels]
    return left


def _halo_px(model: ChangeModel) -> int:
    """Around each part of a picture: the model's, up to whole strides."""
    return -(-model.tile_spec.halo_px // STRIDE) * STRIDE


def _same(one: Case, other: Case) -> bool:
    return all(a is b or np.array_equal(a, b) for a, b in ((one.before, other.before), (one.after, other.after)))


def _swapped(model: ChangeModel, group: Sequence[Case], queries: Sequence[Query]) -> dict[int, NDArray[np.float32]]:
    """Probability with the dates swapped, by place in the group, of the cases that ask for it."""
    wanted = [i for i, case in enumerate(group) if case.swapped_empty]
    if not wanted:
        return {}
    swapped = replace(group[0], before=group[0].after, after=group[0].before)
    probability, _ = _ask(model, swapped, [queries[i] for i in wanted])
    return dict(zip(wanted, probability, strict=True))


def _twins(model: ChangeModel, group: Sequence[Case]) -> dict[int, NDArray[np.float32]]:
    """Probability of each case's twin, by place in the group."""
    twins = {i: Query(case.twin) for i, case in enumerate(group) if case.twin is not None}
    if not twins:
        return {}
    probability, _ = _ask(model, group[0], list(twins.values()))
    return dict(zip(twins, probability, strict=True))


def _tiled(
    model: ChangeModel, case: Case, queries: Sequence[Query], tiled_px: int | None
) -> NDArray[np.float32] | None:
    """(Q, H, W) of a picture in parts; None where it is no larger than one, or that is not asked."""
    if tiled_px is None or max(case.before.shape[:2]) <= tiled_px:
        return None
    return _ask(model, case, queries, largest_px=tiled_px)[0]


def _ask(
    model: ChangeModel,
    case: Case,
    queries: Sequence[Query],
    *,
    largest_px: int = LARGEST_PX,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability × existence (Q, H, W) and existence (Q,); of a picture in parts the highest of its parts."""
    height, width = case.before.shape[:2]
    dates = np.stack([case.before, case.after]).transpose(0, 3, 1, 2)[None]  # (1, 2, 3, H, W)
    groups = [queries[i : i + SENTENCES_AT_ONCE] for i in range(0, len(queries), SENTENCES_AT_ONCE)]
    times = model.tile_spec.times(case.gsd_m)
    asked = [PairAnswers(model, model.prepare(some), ((0, 1),), times) for some in groups]
    probability = np.empty((len(queries), height, width), np.float32)
    existence = np.zeros(len(queries), np.float32)
    largest_px = min(largest_px, LARGEST_PX // times)
    halo = _halo_px(model)
    for rows in _cuts(height, halo, largest_px):
        for cols in _cuts(width, halo, largest_px):
            features = asked[0].look(np.ascontiguousarray(dates[..., rows.read, cols.read]))
            for first, some in zip(range(0, len(queries), SENTENCES_AT_ONCE), asked, strict=True):
                found, exists = some.tell(features)
                which = slice(first, first + exists.shape[1])
                probability[which, rows.core, cols.core] = found[0, :, rows.inside, cols.inside]
                existence[which] = np.maximum(existence[which], exists[0])
    return probability, existence


@dataclass(frozen=True, slots=True)
class _Cut:
    """A stretch of rows or columns: what is read, what of it counts, and where that lies in what was read."""

    read: slice
    core: slice

    @property
    def inside(self) -> slice:
        return slice(self.core.start - self.read.start, self.core.stop - self.read.start)


def _cuts(length: int, halo: int, largest_px: int) -> list[_Cut]:
    if length <= largest_px:
        return [_Cut(slice(0, length), slice(0, length))]
    step = largest_px - 2 * halo
    return [
        _Cut(slice(max(0, at - halo), min(length, at + step + halo)), slice(at, min(length, at + step)))
        for at in range(0, length, step)
    ]


def _outlines(labels: NDArray[np.int32], count: int) -> NDArray[np.object_]:
    """The polygons of numbered regions, in pixels from the picture's upper left."""
    points = corners(np.pad(labels, 1), -1, -1)
    return outlines(replace(points, piece=points.piece - 1, other=points.other - 1), count)
