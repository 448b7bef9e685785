"""Where the cases of an evaluation come from: a pack, a folder of labelled sets, or a split of MTRefSeg-21K."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from geomtrs.data.cases import Case
from geomtrs.data.mtrefseg21k import Listing, Rule, Sample, read_split, splits
from geomtrs.data.pairs import Pack, read_folder, read_list, set_folders, write_pack
from geomtrs.data.pictures import read_mask, read_picture
from geomtrs.errors import DataError
from geomtrs.grammar import read
from geomtrs.models.differencing import direction


@dataclass(frozen=True, slots=True)
class Source:
    """Cases that can be asked again and again, always the same.

    pairs    how many pictures there are at most, for an estimate of the time
    listing  of a split of MTRefSeg-21K, else None
    pack     of labelled sets, else None; `split` and `sets` of it are meant
    """

    name: str
    pairs: int
    cases: Callable[[], Iterator[Case]]
    listing: Listing | None = None
    pack: Pack | None = None
    split: str = "val"
    sets: Sequence[str] | None = None


@contextmanager
def open_source(
    folder: Path, *, split: str = "val", per_pair: int = 8, seed: int = 0, sets: Sequence[str] | None = None
) -> Iterator[Source]:
    """What lies in the folder; sets are packed into a temporary file that lasts as long as the source.

    split     of labelled sets; of a folder with several splits of MTRefSeg-21K its name
    per_pair  sentences asked about a pair of a labelled set; those of MTRefSeg-21K are all asked
    seed      draws the sentences
    sets      of these alone

    Raises DataError where nothing of the kind is there.
    """
    if (folder / "index.json").is_file():
        pack = Pack(folder)
        _refuse_unknown(folder, sorted({sample.set for sample in pack.samples}), sets)
        yield _packed(pack, folder.name, split=split, per_pair=per_pair, seed=seed, sets=sets)
    elif folder.is_dir() and (there := set_folders(folder)):
        _refuse_unknown(folder, [path.name for path in there], sets)
        with tempfile.TemporaryDirectory() as temporary:
            chosen = (one for one in read_folder(folder, sets) if one[0]["split"] == split)
            if not write_pack(Path(temporary), chosen):
                raise _no_sample(folder, split, _splits_of(folder))
            pack = Pack(Path(temporary))
            yield _packed(pack, folder.name, split=split, per_pair=per_pair, seed=seed, sets=sets)
            del pack  # Windows cannot remove a file that is mapped
    else:
        yield published_source(folder, split=split)


def published_source(folder: Path, *, split: str) -> Source:
    """A split of MTRefSeg-21K by the published rule of evaluation; raises DataError where there is no sample."""
    found = splits(folder)
    chosen = found if len(found) < 2 else [path for path in found if split in (path.name, path.name.split("_")[0])]
    if len(chosen) != 1:
        raise DataError(
            folder,
            found=f"splits {', '.join(path.name for path in found)}" if found else "nothing to evaluate on",
            wanted="one of them named by --split" if found else "a pack, a folder of sets, or a split of MTRefSeg-21K",
            remedy="name the folder of one split, or check the path",
        )
    listing = read_split(chosen[0], rule=Rule.EVALUATION)
    if not listing.samples:
        broken = f": {listing.broken[0]}" if listing.broken else ""
        raise DataError(
            chosen[0], found=f"no sample{broken}", wanted="at least one", remedy="see geomtrs data info DIR"
        )
    pairs = len({(sample.before, sample.after) for sample in listing.samples})
    return Source(chosen[0].name, pairs, partial(cases_of, listing, chosen[0].name), listing)


def cases_of(listing: Listing, name: str) -> Iterator[Case]:
    """Each sample of a listing as a case, in its order; all its pixels are known, its place is its pair.

    Raises DataError where a file cannot be read, a mask is missing or sizes differ.
    """
    pictures: tuple[Path, Path] | None = None
    for sample in listing.samples:
        if pictures != (sample.before, sample.after):
            pictures = sample.before, sample.after
            before, after = (read_picture(path) for path in pictures)
        if sample.mask is None:
            raise DataError(sample.before, found="no mask", wanted="one for each sentence", remedy="add masks")
        mask = read_mask(sample.mask)
        for path, shape in ((sample.after, after.shape[:2]), (sample.mask, mask.shape)):
            if shape != before.shape[:2]:
                raise DataError(
                    path, found=f"{shape} rows and columns", wanted=f"{before.shape[:2]}, as {sample.before.name}",
                    remedy="bring the pair to one size, or take it out",
                )  # fmt: skip
        yield Case(
            before=before,
            after=after,
            sentence=sample.sentence,
            mask=mask,
            known=np.ones(mask.shape, bool),
            set=name,
            place=sample.before.stem,
            kind=_kind(sample, empty=not mask.any()),
        )


def _kind(sample: Sample, *, empty: bool) -> str:
    """What can be told of a sentence that nobody labelled: absent, words about the scene, else its direction."""
    if empty:
        return "absent"
    part = read(sample.sentence)[1]
    if part.count is not None:
        return "count" if part.largest is None else "rank"
    if part.least is not None or part.most is not None:
        return "size"
    if part.place is not None:
        return "place"
    way = direction(sample.sentence)
    return way if way != "either" else "other"


def _packed(pack: Pack, name: str, *, split: str, per_pair: int, seed: int, sets: Sequence[str] | None) -> Source:
    from geomtrs.data.val_cases import cases

    chosen = [one for one in pack.samples if one.split == split and (sets is None or one.set in sets)]
    if not chosen:
        raise _no_sample(name, split, sorted({sample.split for sample in pack.samples}))
    # A single date has no case.
    pairs = sum(not one.alone for one in chosen)
    asked = partial(cases, pack, split=split, per_pair=per_pair, seed=seed, sets=sets)
    return Source(name, pairs, asked, pack=pack, split=split, sets=sets)


def _refuse_unknown(file: object, there: Sequence[str], sets: Sequence[str] | None) -> None:
    unknown = [name for name in sets or () if name not in there]
    if unknown:
        raise DataError(
            file, found=f"no set {', '.join(unknown)}", wanted=f"of {', '.join(there)}", remedy="mend --sets"
        )


def _splits_of(folder: Path) -> list[str]:
    return sorted({str(one["split"]) for path in set_folders(folder) for one in read_list(path)})


def _no_sample(file: object, split: str, there: Sequence[str]) -> DataError:
    wanted = f"one of {', '.join(there)}" if there else "samples of a split"
    return DataError(file, found=f"no sample of split {split}", wanted=wanted, remedy="name it with --split")
