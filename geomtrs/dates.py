"""When the dates are: from file names, tags or the user; the order of the arguments always decides which is first."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

from geomtrs.errors import QueryError

Pairing = Literal["consecutive", "first-last", "all"]

# A run of digits that stands alone; 20160723T100031 counts, 034032 (a Landsat path and row) does not.
_FULL = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:(\d\d)(\d\d)|-(\d\d)-(\d\d))(?!\d)")
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
_TAGS = ("ACQUISITIONDATETIME", "TIFFTAG_DATETIME")
_TAG = re.compile(r"((?:19|20)\d\d)[:/-](\d\d)[:/-](\d\d)")


@dataclass(frozen=True, slots=True)
class Dated:
    """The date of one acquisition, `YYYY-MM-DD` or `YYYY`, None where it is unknown; a note when that needs a word."""

    text: str | None
    note: str | None = None


def in_name(name: str) -> Dated:
    """The one distinct date in a file's name (YYYY, YYYYMMDD, YYYY-MM-DD), else None; several are said in the note."""
    base = re.split(r"[/\\]", name)[-1]
    full = {text for match in _FULL.finditer(base) if (text := _iso(*[part for part in match.groups() if part]))}
    years = {match[1] for match in _YEAR.finditer(_FULL.sub("-", base))} - {text[:4] for text in full}
    found = sorted(full | years)
    if len(found) > 1:
        return Dated(None, f"{base}: {len(found)} dates in the name ({', '.join(found)}), none taken; say --dates")
    return Dated(found[0] if found else None)


def of_files(files: Sequence[str], tags: Mapping[str, str]) -> Dated:
    """The date of one acquisition made of several files: their names decide, tags only where no name holds a date."""
    named = [in_name(file) for file in files]
    texts = sorted({date.text for date in named if date.text})
    if len(texts) == 1:
        return Dated(texts[0])
    if texts:
        return Dated(None, f"{files[0]}: its files are of several dates ({', '.join(texts)}), none taken; say --dates")
    note = next((date.note for date in named if date.note), None)
    if note:
        return Dated(None, note)
    tag = next((_TAG.match(tags[name].strip()) for name in _TAGS if name in tags), None)
    return Dated(_iso(*tag.groups()) if tag else None)


def parse(text: str | Sequence[str | int | dt.date | None] | None, count: int) -> tuple[str | None, ...] | None:
    """`--dates 2019,2023-05-01`: one for each acquisition, an empty one is unknown. None when nothing was said.

    Raises QueryError for another number of dates and for what is no date.
    """
    if text is None:
        return None
    parts = text.split(",") if isinstance(text, str) else list(text)
    if len(parts) != count:
        raise QueryError(
            "--dates", found=f"{len(parts)} dates", wanted=f"{count}, one for each", remedy="name all, in order"
        )
    return tuple(_one(str(part).strip()) if part and str(part).strip() else None for part in parts)


def order_notes(dates: Sequence[str | None]) -> tuple[str, ...]:
    """A warning for each date that contradicts the order of the arguments, which decides, or comes twice."""
    known = [date for date in dates if date]
    twice = tuple(f"two images are of {one}: is one of them the other?" for one, two in pairwise(known) if one == two)
    return twice + tuple(
        f"dates contradict the order of the files: {later} is taken as after {earlier}, as the files were given"
        for earlier, later in pairwise(known)
        if later[: min(len(earlier), len(later))] < earlier[: min(len(earlier), len(later))]
    )


def pairs(count: int, how: Pairing = "consecutive") -> tuple[tuple[int, int], ...]:
    """Which of `count` acquisitions are compared, as (before, after) indices. Raises QueryError below two."""
    if count < 2:
        raise QueryError(
            "images", found=str(count), wanted="two or more dates of one place", remedy="give before and after"
        )
    if how == "first-last":
        return ((0, count - 1),)
    if how == "all":
        return tuple(combinations(range(count), 2))
    if how == "consecutive":
        return tuple(pairwise(range(count)))
    raise QueryError("--pairs", found=repr(how), wanted="consecutive, first-last or all", remedy="choose one of them")


def pair_labels(dates: Sequence[str | None], pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """`20190601-20230601` for each pair, safe in a file name; ordinals (`1-2`) when a date is unknown or repeated."""
    labels = tuple(f"{dates[a]}_{dates[b]}".replace("-", "").replace("_", "-") for a, b in pairs)
    if any(dates[index] is None for pair in pairs for index in pair) or len(set(labels)) < len(labels):
        return tuple(f"{a + 1}-{b + 1}" for a, b in pairs)
    return labels


def _iso(year: str, month: str, day: str) -> str | None:
    try:
        return dt.date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _one(part: str) -> str:
    if re.fullmatch(r"(19|20)\d\d", part):
        return part
    match = _FULL.fullmatch(part)
    iso = _iso(*[piece for piece in match.groups() if piece]) if match else None
    if iso is None:
        raise QueryError(
            "--dates", found=repr(part), wanted="YYYY, YYYYMMDD or YYYY-MM-DD", remedy="write the day it was taken"
        )
    return iso
