"""What a model saw in the images, kept tile by tile, so that a further sentence costs only the model's head.

    detect --keep-features ─► .geomtrs/features: a file a tile, features.json ─► ask: the same tiles, other sentences
                                                 look-….npz: a pair of dates ─► as the pictures show it

The tiles are those of a block store: written durably, checksummed, of one plan. Nothing of the images is read again but
for the closer look of a picture.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from geomtrs.errors import JobError, QueryError
from geomtrs.models.base import KeepsFeatures, PairAnswers
from geomtrs.models.catalog import Recipe
from geomtrs.outputs import checksums
from geomtrs.outputs.publish import json_bytes, publish
from geomtrs.scene import Scene
from geomtrs.state import JobState, hidden
from tiling.engine import ModelFactory, TileSource
from tiling.errors import StoreError
from tiling.plan import Plan
from tiling.source import OpenFiles
from tiling.stack import StackTile
from tiling.store import BlockStore

FORMAT = 1
NAME = "features.json"
# Options of the answer alone, and with them all that may differ between the run that kept features and one that asks.
OF_THE_ANSWER = frozenset({
    "threshold", "formats", "min_area_m2", "max_area_m2", "fill_holes_m2", "simplify_m", "regularize",
})  # fmt: skip
_MAY_DIFFER = OF_THE_ANSWER | {"queries", "dates", "keep_features", "features"}

Answers = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Kept:
    """Features in the folder of a finished run: the state of that run, and the scene as it was found then."""

    folder: Path
    state: JobState
    stack: Mapping[str, Any]
    dates: tuple[str | None, ...]

    def seen(self, state: JobState) -> JobState:
        """The state of a run that asks these features: the images were computed as they were then.

        Raises JobError naming what is not the same: images, weights, grid or how the images are read.
        """
        spec = replace(self.state.spec, **{name: getattr(state.spec, name) for name in _MAY_DIFFER})
        then = replace(self.state, spec=spec)
        now = replace(state, precision=then.precision, engine=then.engine, batch=then.batch)
        differences = then.differences(now)
        if differences:
            raise _other(self.folder, "; ".join(differences[:3]))
        return now


def features_folder(folder: Path) -> Path:
    """Where the features of a run lie."""
    return hidden(folder) / "features"


def read_kept(folder: Path) -> Kept:
    """The features of a finished run.

    Raises JobError where none were kept, or where coverage.tif, which tells where they hold, is not as it was written.
    """
    path = features_folder(folder) / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        state = JobState.from_dict(document["state"])
        kept = Kept(folder, state, document["stack"], tuple(document["dates"]))
        wrong = checksums.difference(folder / "coverage.tif", checksums.read_checksums(folder)["coverage.tif"])
    except FileNotFoundError as error:
        raise JobError(
            folder,
            found="no image features",
            wanted="a finished run with --keep-features",
            remedy="detect once more with --keep-features --overwrite, or ask the sentence with detect",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _other(path, f"a record that does not read ({type(error).__name__}: {error})") from error
    if wrong:
        raise _other(folder / "coverage.tif", wrong)
    return kept


def forget(folder: Path) -> None:
    """No features are left of an earlier run."""
    shutil.rmtree(features_folder(folder), ignore_errors=True)


def size_bytes(folder: Path) -> int:
    """What the features of a run take on disk; 0 where none were kept."""
    return sum(path.stat().st_size for kind in ("*.block", "look-*") for path in features_folder(folder).glob(kind))


def keep_look(folder: Path, pair: tuple[int, int], dates: NDArray[np.uint8]) -> None:
    """Both dates of a pair, (6, H, W), lie beside the features as the pictures of a scene show them, made smaller."""
    content = io.BytesIO()
    np.savez(content, dates=dates)
    publish(_look(folder, pair), content.getvalue())


def kept_look(folder: Path, pair: tuple[int, int]) -> NDArray[np.uint8] | None:
    """What `keep_look` kept; None where there is none, or it does not read: the images still have it."""
    try:
        with np.load(_look(folder, pair)) as file:
            dates: NDArray[np.uint8] = file["dates"]  # checked by the sum that zip keeps
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return dates


def refuse_unable(model: object, name: str) -> None:
    """Raises QueryError for a model whose features cannot be kept."""
    if not isinstance(model, KeepsFeatures):
        raise QueryError(
            "--keep-features",
            found=f"model {name}, whose features cannot be kept",
            wanted="one that can, as nano",
            remedy="leave it out, or ask all sentences at once with several -q",
        )


def model_of(state: JobState, recipe: Recipe, scene: Scene, work: Plan) -> ModelFactory:
    """What answers the tiles of a run: the model, one that also keeps what it sees, or one that recalls it."""
    spec = state.spec
    if spec.features is None and not spec.keep_features:
        return recipe
    stack = scene.stack.to_dict()
    # Equal ids, equal features: the tiles, and of what was asked only that which decides how they look.
    same = replace(work, token=state.token(stack, leave=_MAY_DIFFER))
    if spec.features is not None:
        return _Recalling(recipe, BlockStore(features_folder(Path(spec.features)), same.id))
    folder = Path(spec.out)
    store = _own_store(folder, state, same.id)
    document = {"format": FORMAT, "state": state.to_dict(), "stack": stack, "dates": list(scene.dates)}
    publish(features_folder(folder) / NAME, json_bytes(document))
    return _Keeping(recipe, store)


def _own_store(folder: Path, state: JobState, plan_id: str) -> BlockStore:
    """The features of this very run, which died; else none yet, and those of an earlier one are gone."""
    if _go_on(folder, state):
        with suppress(StoreError):  # of another plan, or damaged
            return BlockStore(features_folder(folder), plan_id)
    forget(folder)
    return BlockStore(features_folder(folder), plan_id)


def _go_on(folder: Path, state: JobState) -> bool:
    """Whether the features in a folder are of this very run, which died; of an earlier one, files may have changed."""
    try:
        document = json.loads((features_folder(folder) / NAME).read_text(encoding="utf-8"))
        return not JobState.from_dict(document["state"]).differences(state)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def source_of(spec_features: str | None, scene: Scene) -> TileSource:
    """Where the tiles of a run come from: the images, or, where features are asked, only what was observed."""
    if spec_features is None:
        return scene.stack
    return _Ground(scene.stack.geobox, str(Path(spec_features) / "coverage.tif"), len(scene.dates))


@dataclass(frozen=True, slots=True)
class _Ground:
    """A source without pixels: where each date showed the ground, as coverage.tif tells."""

    geobox: GeoBox
    coverage: str
    dates: int
    files: OpenFiles = field(default_factory=OpenFiles, repr=False, compare=False)

    def read(self, window: Window) -> StackTile:
        coverage = self.files.get(self.coverage).read(1, window=window)
        return StackTile(np.broadcast_to(np.uint8(0), (self.dates, 3, *coverage.shape)), coverage)


@dataclass(frozen=True, slots=True)
class _Keeping:
    """How a worker comes to a model that keeps what it sees."""

    recipe: Recipe
    store: BlockStore

    def __call__(self) -> _Keeps:
        return _Keeps(self.recipe(), self.store)


@dataclass(frozen=True, slots=True)
class _Recalling:
    """How a worker comes to a model that recalls what was seen."""

    recipe: Recipe
    store: BlockStore

    def __call__(self) -> _Recalls:
        return _Recalls(self.recipe(), self.store)


@dataclass(frozen=True, slots=True)
class _Keeps:
    """Answers from what it sees, as the model does, and keeps it before its answer is known."""

    answers: PairAnswers
    store: BlockStore

    def __call__(self, tiles: NDArray[np.uint8]) -> Answers:
        return self.answers(tiles)

    def at(self, tiles: NDArray[np.uint8], places: Sequence[tuple[int, int]]) -> Answers:
        seen = self.answers.look(tiles)
        packed = [_able(self.answers).pack(one) for one in seen]
        for n, place in enumerate(places):
            arrays = {f"{pair}/{name}": a[n : n + 1] for pair, one in enumerate(packed) for name, a in one.items()}
            self.store.put(_name(place), arrays, {}, compressed=False)
        return self.answers.tell(seen)


@dataclass(frozen=True, slots=True)
class _Recalls:
    """Answers from what was seen; of the tiles only their places count."""

    answers: PairAnswers
    store: BlockStore

    def __call__(self, tiles: NDArray[np.uint8]) -> Answers:
        raise NotImplementedError("kept features are found by the places of their tiles")

    def at(self, tiles: NDArray[np.uint8], places: Sequence[tuple[int, int]]) -> Answers:
        del tiles
        model, kept = _able(self.answers), self._kept(places)
        return self.answers.tell([model.unpack(_of_pair(kept, pair)) for pair in range(len(self.answers.pairs))])

    def _kept(self, places: Sequence[tuple[int, int]]) -> list[dict[str, NDArray[np.generic]]]:
        try:
            return [self.store.arrays(_name(place)) for place in places]
        except StoreError as error:
            raise StoreError(
                error.file,
                found=error.found,
                wanted="the features of every tile",
                remedy="detect once more with --keep-features --overwrite",
            ) from error


def _of_pair(kept: Sequence[Mapping[str, NDArray[np.generic]]], pair: int) -> dict[str, NDArray[np.generic]]:
    """The packed features of one pair of dates, the tiles below each other; of a lone tile as they lie, not copied."""
    joined = {}
    for key in kept[0]:
        of, _, kind = key.partition("/")
        if of == str(pair):
            joined[kind] = kept[0][key] if len(kept) == 1 else np.concatenate([tile[key] for tile in kept])
    return joined


def _able(answers: PairAnswers) -> KeepsFeatures:
    assert isinstance(answers.model, KeepsFeatures)  # refuse_unable looked, where the run began
    return answers.model


def _look(folder: Path, pair: tuple[int, int]) -> Path:
    return features_folder(folder) / f"look-{pair[0]}-{pair[1]}.npz"


def _name(place: tuple[int, int]) -> str:
    return f"t{place[0]:04d}-{place[1]:04d}"


def _other(file: Path, difference: str) -> JobError:
    return JobError(
        file,
        found=f"image features of something else ({difference})",
        wanted="those of the same images, read alike, and the same weights",
        remedy="put them back as they were, or detect once more with --keep-features --overwrite",
    )
