"""Words about the whole scene: rank, size, number and place; written into sentences and read out of them.

A sentence is about the scene, a model sees a tile (product.md §2). `read` takes such words out of what the model is
asked and says what to keep of the finished polygons; `write` puts them in, for training data. What it is not sure of
it leaves in: "the largest city's airport", "a two-lane road" and "in the north of the lake" reach the model whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from geomtrs.areas import DIGITS, NUMBER, UNIT, WORDS, area_m2, told_otherwise

_ORDINALS = ("", "first", "second", "third", "fourth", "fifth")
_SKIPS = {**{word: n for n, word in enumerate(_ORDINALS[1:])}, "2nd": 1, "3rd": 2, "4th": 3, "5th": 4}
_LARGEST = ("largest", "biggest", "greatest", "most extensive")
_SMALLEST = ("smallest", "tiniest", "least extensive")

_WHOLE = r"(?![\w²/]| per (?:year|annum|decade|month|week|day)\b)"  # "2 ha/year" is no size
_LEAD = (
    r"(?:,? ?\b(?:(?:that|which)(?: (?:is|are|was|were|cover|covers|have an area(?: of)?|has an area(?: of)?))?|"
    r"(?:with|having)(?: an?)? (?:area|size|footprint)s?(?: of)?|whose (?:area|size|footprint)(?: (?:is|was))?|"
    r"of(?: (?:area|size))?|covering|measuring|sized|"
    r"ranging(?: in (?:area|size))?|in the range(?: of)?)|(?:, |(?<=\())(?:area|size))?"
)
_TAIL = r"(?: in (?:area|size)| each| large| big)?"
_MORE, _LESS = r"(?:larger|bigger|greater|more) th[ae]n", r"(?:smaller|less|fewer) th[ae]n"
_LEAST = (
    rf"{_MORE} or equal to|equal to or {_MORE}|at least|(?:no|not) {_LESS}|"
    r"(?:with )?(?:a )?min(?:imum|\.)?(?: (?:area|size))?(?: of)?"
)
_MOST = (
    rf"{_LESS} or equal to|equal to or {_LESS}|at most|up to|(?:no|not) {_MORE}|"
    r"(?:not|do(?:es)? not|do(?:es)?n't) exceed(?:ing)?|"
    r"(?:with )?(?:a )?max(?:imum|\.)?(?: (?:area|size))?(?: of)?"
)
# Phrase, sign → (which limit, whether the limit itself is kept).
_COMPARED: tuple[tuple[str, str, str, bool], ...] = (
    (_LEAST, "> ?=|= ?>|[≥≧⩾]", "least", True),
    (_MOST, "< ?=|= ?<|[≤≦⩽]", "most", True),
    (rf"over|above|exceed(?:s|ing)?|in excess of|{_MORE}", "(?<!-)>", "least", False),  # "->" is an arrow
    (rf"under|below|{_LESS}", "<", "most", False),
)
_COMPARING, _SIGNS = "|".join(words for words, *_ in _COMPARED), "<>=≥≧⩾≤≦⩽"
_LAST = rf"({UNIT}){_WHOLE}{_TAIL}"
_RANGES = (
    rf"{_LEAD},? ?\b(?:between|from) ({NUMBER})(?: ?({UNIT}))? (?:and|(?:up )?to) ({NUMBER}) ?{_LAST}",
    rf"{_LEAD},? ?(?:\b(?:between|from) )?({DIGITS})(?: ?({UNIT}))?(?: ?[-–—] ?| (?:up )?to )({DIGITS}) ?{_LAST}",
)
# "Grew from 1 to 2 ha": no size is between them.
_TURNED = re.compile(
    r"\b(?:gr[eo]w\w*|expand\w*|increas\w*|enlarg\w*|extend\w*|shr[aiu]nk\w*|reduc\w*|decreas\w*|declin\w*|chang\w*|"
    r"turned|went)(?: in (?:area|size|extent))? from $",
    re.IGNORECASE,
)
# What stands before a number and makes another one of it: "1/2 ha or more", "twenty five ha or more", "over 2-3 ha".
_CUT = re.compile(
    rf"(?:[\w.,'/^+-]|[{_SIGNS}] ?|\b(?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred|{'|'.join(WORDS[1:])}|"
    rf"an?|and|{_COMPARING})[ -])$",
    re.IGNORECASE,
)
# "Over 500 m² and trees": the size is of one thing only. "Over 2 ha of new forest": of all of it together.
_ANOTHER = re.compile(
    r"^ of (?!more|less|at)|"
    rf"^,? (?:and|or|&) (?!(?:{_COMPARING}|in|on|at|that|which|each)\b|[{_SIGNS}\d])",
    re.IGNORECASE,
)
# A measure that is left in a sentence, and one that a reader of another country may mean otherwise.
_COUNTED = rf"(?:\d[\d.,]*|(?:{'|'.join(WORDS[1:])})\b)"
_LEFT = re.compile(
    rf"(?:\b(?:{_COMPARING}|within|(?:tall|long|high|wid|deep|short|narrow|old)er than) |[{_SIGNS}]+ ?){_COUNTED}|"
    rf"\b(?:{NUMBER}|half|thousand|million|\d+\+) ?(?:{UNIT})(?![\w²])|"
    r"\b(?!rather|other|later|earlier)[a-z]+er th[ae]n\b|\d+ ?(?:%|per ?cent\b)",
    re.IGNORECASE,
)
# "Over 2 ha or under 500 m²": nothing is both.
_EITHER = re.compile(rf"(?:{UNIT}) or (?:(?:{_COMPARING}) {NUMBER}\b|[{_SIGNS}])", re.IGNORECASE)

_COMPASS = ("north", "south", "east", "west")
_POINT = r"(?P<ns>north|south)?[- ]?(?P<ew>east|west)?(?P<ern>ern)?"
_PICTURE = r"(?P<tb>upper|lower|top|bottom)?[- ]?(?P<lr>left|right)?(?:[- ]hand(?= side\b))?"
_MIDDLE = r"(?P<mid>cent(?:re|er)|middle|central(?= (?:third|quarter|part|section|portion|area|region)\b))"
_PART = r"(?P<part> (?:half|third|quarter|part|side|corner|section|portion|edge|area|region|quadrant))?"
_SCENE = r"(?: of (?:the )?(?:whole )?(?:image|images|scene|picture|map|area|photo|site|frame))?"
_PLACE = re.compile(
    r",? ?\b(?:(?:located|situated|lying) )?(?:in|on|at|within|across) the "
    rf"(?:{_MIDDLE}|{_POINT}|{_PICTURE}){_PART}{_SCENE}"
    r"(?=$|[,.;:?!)]| (?:that|which|and (?:over|under|at|larger|smaller)|over|under|above|below|larger|bigger|smaller|"
    r"with an area|of (?:more|less|at)|at (?:least|most)|between \d|near|next to|close to|beside|along)\b)"
)
# A second place turns the first into something else: "in the north and in the south", "in the right image that are
# missing in the left". "In the north of the river" is none.
_OTHER_PLACE = re.compile(
    rf"\b(?:in|on|at) the (?:{'|'.join(_COMPASS)}|upper|lower|top|bottom|left|right|cent(?:re|er)|middle)"
    r"(?![- ]?\w*(?: \w+)? of\b)",
)
_OR_HERE = re.compile(r"\b(?:in|on|at) the [\w -]+,? (?:and|or)$")  # "in the city centre and | in the north"
_GOES_ON = re.compile(rf"^,? (?:and |or )?(?:{'|'.join(_COMPASS)}|upper|lower|top|bottom|left|right)\b")
_SHARES = {"half": 1 / 2, "third": 1 / 3, "quarter": 1 / 4}

_OPENER = (
    r"(?:(?:please )?(?:show|find|list|identify|locate|extract|select|mark|map|highlight|segment|outline|detect|give|"
    r"where (?:is|are)|which (?:is|are)|i am looking for)(?: me)? )?"
)
_COUNT = rf"(?:\d{{1,2}}|{'|'.join(WORDS[1:])})"
_SUPERLATIVE = "|".join((*_LARGEST, *_SMALLEST))
_RANK = re.compile(
    rf"^(?P<open>{_OPENER})(?:(?:only|just) )?(?:the )?(?:top )?"
    rf"(?:(?P<ordinal>{'|'.join(_SKIPS)})[- ]|(?P<before>{_COUNT}) )?"
    rf"(?P<rank>{_SUPERLATIVE})(?: (?P<after>{_COUNT}))?(?: (?P<of>of)(?: all)?(?: the)?)? (?P<rest>.+)$"
)
_TRAILING_RANK = re.compile(
    rf",? (?:that|which) (?:is|are|was|were) (?:the )?(?:(?P<before>{_COUNT}) )?(?P<rank>{_SUPERLATIVE})$"
)
_SURELY = re.compile(rf"^(?P<open>{_OPENER})(?:the |any |only )?(?P<count>{_COUNT}) (?P<rest>.+)$")
# Behind a number, what makes a measure of it: "4 lane highways", "the 2 ha fields", "two or three new houses".
_MEASURED = re.compile(
    rf"^(?:(?:{UNIT}|[kcm]?m|kilomet(?:re|er)|met(?:re|er)|miles?|f(?:oo|ee)t|ft|yards?|yd|[km]?w|gw|kv|tons?|tonnes?|"
    r"lane|store?y|floor|star|hole|phase|bedroom|year|percent|or|and|to) |%|- )",
    re.IGNORECASE,
)
# "The two new houses and the new road": a number or a rank is of one thing only.
_SECOND = re.compile(rf"\b(?:and|or) (?:the|an?|all|any|some|new|{'|'.join(WORDS[1:])})\b")
_SHARES_OF_SOMETHING = {"part", "portion", "number", "share", "extent", "amount", "of", "halves", "thirds", "quarters"}
# Ranks and places that are left in a sentence: no model measures a scene, nor knows where north is.
_OF_RANK = re.compile(
    rf"\b(?:{_SUPERLATIVE}|(?:long|wid|broad|tall|high|near|clos|farth|furth|new|old)est|most recent|top {_COUNT}|"
    r"(?:larger|bigger|smaller)(?! (?:th[ae]n|or equal)))\b",
    re.IGNORECASE,
)
_OF_PLACE = re.compile(
    r"\b(?:(?:north|south)[- ]?(?:east|west)?|east|west)(?:ern(?:most)?|wards?)?\b|\b(?-i:[NS][EW])\b|"
    r"\b(?:to|on|at|in) the (?:left|right|top|bottom|upper|lower)\b",
    re.IGNORECASE,
)
_UNREAD = (
    (_LEFT, "of measures only areas are read, as “over 500 m²” or “between 0.5 and 2 ha”"),
    (_OF_RANK, "ranks are read by area and with how many, as “the largest new lake” or “the two smallest new lakes”"),
    (_OF_PLACE, "of places only parts of the scene are read, as “in the north” or “in the upper left corner”"),
)
# What turns the words behind it round: "not in the north", "except those over 500 m²".
_DENIED = re.compile(
    r"(?:\b(?:not|but|except|excluding|without|outside|nowhere|apart from|other than)|n't)"
    r"(?: (?:for|only|all|any|anything|the|those|ones|that|which|are|were|be|have|cover|located|situated|lying))*,?$"
)
# "Everything but buildings | over 500 m²": the size is of what is not wanted.
_OF_DENIED = re.compile(
    r"\b(?:except(?: for)?|excluding|other than|apart from|without|but(?! not (?:before|now|there)\b)) \w[^,]*$"
)
# Where the head of a sentence ends: "the largest new building | near the river".
_HEAD_ENDS = re.compile(
    r"\b(?:that|which|who|in|on|at|near|by|along|beside|between|from|to|into|with|without|of|over|under|built|and|where|"
    r"visible|present|replaced|turned|converted)\b"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """An area in m²; `inclusive` keeps what is exactly as large."""

    area_m2: float
    inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the scene, by its bounds: north or south, east or west, upper or lower, left or right; or the middle.

    vertical, horizontal  "north", "south", "upper", "lower" / "east", "west", "left", "right"; None = all of it
    share                 of the height and width that counts, from that side; the middle is as wide, in the centre
    """

    vertical: str | None = None
    horizontal: str | None = None
    share: float = 0.5

    @property
    def middle(self) -> bool:
        """Neither side is named."""
        return self.vertical is None and self.horizontal is None

    def __str__(self) -> str:
        """As a person would say it."""
        if self.middle:
            return "in the middle" + {1 / 3: " third", 1 / 4: " quarter"}.get(self.share, "")
        both = self.vertical is not None and self.horizontal is not None
        side = ("-" if self.vertical in _COMPASS else " ").join(s for s in (self.vertical, self.horizontal) if s)
        part = {1 / 3: "third", 1 / 4: "quarter"}.get(self.share, "corner" if both else "half")
        return f"in the {side} {part}"


@dataclass(frozen=True, slots=True)
class ScenePart:
    """What to keep of the polygons of a scene, in this order: place and limits, then the rank.

    largest   keep the largest by area (True), the smallest (False), the most probable (None with a count)
    count     how many of them; None = all
    skip      how many come before ("the second largest": 1)
    """

    least: Limit | None = None
    most: Limit | None = None
    place: Place | None = None
    largest: bool | None = None
    count: int | None = None
    skip: int = 0

    def __bool__(self) -> bool:
        """Something is to be left out."""
        return self != ScenePart()

    def __str__(self) -> str:
        """What was understood: `kept area_m2 > 500 · largest 1`."""
        told = [str(self.place)] if self.place else []
        for limit, sign in ((self.least, ">"), (self.most, "<")):
            if limit is not None:
                told.append(f"area_m2 {sign}{'=' if limit.inclusive else ''} {round(limit.area_m2, 2):.12g}")
        if self.count is not None:
            kind = {True: "largest", False: "smallest", None: "surest"}[self.largest]
            told.append(f"{kind} {self.count}" if not self.skip else f"{_ORDINALS[self.skip + 1]} {kind}")
        return f"kept {' · '.join(told)}" if told else ""


def read(sentence: str) -> tuple[str, ScenePart]:
    """What the model is asked, and what is kept of its polygons; nothing understood leaves the sentence as it is."""
    text = _spaced(sentence)
    part = ScenePart()
    several = len(_places(text)) > 1
    text, part = _read_place(text, part)
    text, part = _read_sizes(text, part)
    if not several:
        text, part = _read_place(text, part)  # "over 500 m² in the north": now it ends the sentence
    text, part = _read_rank(text, part)
    text = _spaced(re.sub(r"[(\[]\s*[)\]]", "", text))  # "(> 500 m²)" leaves its brackets
    text = re.sub(r" (?=[.,;:?!)]+(?: |$))", "", text).strip(" ,;:")
    if not part or not re.search(r"\w", re.sub(r"\b(?:the|all|any|and)\b", "", text.lower())):
        return _spaced(sentence), ScenePart()
    return text, part


def doubts(sentence: str) -> tuple[str, ...]:
    """What `read` left of a measure in a sentence, or read in one of two ways, or as nothing; a line each."""
    text, part = read(sentence)
    told = []
    for pattern, known in _UNREAD:
        if left := pattern.search(text):
            told.append(f"“{left[0].strip()}” is left in the sentence: {known}")
    if part.least and part.most and part.least.area_m2 > part.most.area_m2:
        told.append(f"“{sentence}” is answered with nothing: no area is both ({part})")
    return (*told, *told_otherwise(sentence, text))


def write(head: str, part: ScenePart) -> str:
    """A sentence that asks for `head` ("new buildings", without an article) and keeps `part`; `read` gives both back.

    A rank of one asks for a singular head, a count for a plural one: grammar is the caller's.
    """
    words = ["the"]
    if part.count is not None:
        kind = {True: "largest", False: "smallest", None: ""}[part.largest]
        number = _ORDINALS[part.skip + 1] if part.skip else ("" if part.count == 1 else _spelled(part.count))
        words += [word for word in (number, kind) if word]
    text = " ".join([*words, head])
    for limit, (exact, beyond) in ((part.least, ("at least", "over")), (part.most, ("at most", "under"))):
        if limit is not None:
            text += f" {exact if limit.inclusive else beyond} {limit.area_m2:.12g} m²"
    if part.place is not None:
        text += f" {part.place}"
    return text


def _read_place(text: str, part: ScenePart) -> tuple[str, ScenePart]:
    places = _places(text)
    if part.place is not None or len(places) != 1:  # "from the north to the south": each is of something
        return text, part
    ((match, place),) = places
    before, after = text[: match.start()].lower(), text[match.end() :].lower()
    another = (
        _OTHER_PLACE.search(before) or _OTHER_PLACE.search(after) or _OR_HERE.search(before) or _GOES_ON.match(after)
    )
    if another or _DENIED.search(before):
        return text, part
    kept = re.sub(r"(?:,| and| &)+$", "", text[: match.start()])  # what bound it
    return f"{kept} {text[match.end() :]}", replace(part, place=place)


def _places(text: str) -> list[tuple[re.Match[str], Place]]:
    return [(match, place) for match in _PLACE.finditer(text.lower()) if (place := _place_of(match)) is not None]


def _place_of(match: re.Match[str]) -> Place | None:
    """None where the words say no more than "in the"."""
    which = (match["part"] or "").strip()
    share = _SHARES.get(which, 0.5)
    if match["mid"]:
        return Place(share=share)
    vertical, horizontal = match["ns"], match["ew"]
    if vertical or horizontal:
        return Place(vertical, horizontal, share) if which or not match["ern"] else None
    vertical = {"top": "upper", "bottom": "lower"}.get(match["tb"] or "", match["tb"])
    horizontal = match["lr"]
    bare = match["tb"] in ("upper", "lower") and not horizontal and not which
    # A quarter with two sides named is the corner: a half of each.
    corner = vertical and horizontal and which == "quarter"
    return None if bare or not (vertical or horizontal) else Place(vertical, horizontal, 0.5 if corner else share)


def _read_sizes(text: str, part: ScenePart) -> tuple[str, ScenePart]:
    whole = text, part
    if _EITHER.search(text):
        return whole
    for pattern in _RANGES:
        found = re.search(pattern, text, re.IGNORECASE)
        if found and part.least is part.most is None and _stands(found, text) and not _of_one(found, text):
            if _TURNED.search(text[: found.start(1)]):
                return text, part
            low, unit, high, last = found.groups()
            least, most = area_m2(low, unit or last), area_m2(high, last)
            if least <= most:
                part = replace(part, least=Limit(least), most=Limit(most))
                text = f"{text[: found.start()]} {text[found.end() :]}"
    for words, signs, which, inclusive in _COMPARED:
        one = re.compile(
            rf"{_LEAD},? ?(?:\b(?:{words}) |(?:{signs}) ?)({NUMBER}) ?({UNIT}){_WHOLE}{_TAIL}", re.IGNORECASE
        )
        found = one.search(text)
        if found and one.search(text, found.end()):  # "over 1 ha in … and over 2 ha in …": each is of something
            return whole
        if found and getattr(part, which) is None and not (_denied(found, text) or _of_one(found, text)):
            limit = Limit(area_m2(found[1], found[2]), inclusive)
            part = replace(part, least=limit) if which == "least" else replace(part, most=limit)
            text = _without(text, found)
    found = re.search(
        rf"{_LEAD},? ?({NUMBER}) ?({UNIT}){_WHOLE} (?:or|and) "
        r"(more|larger|bigger|greater|above|up|upwards?|less|smaller|below)\b(?! (?:the|an?|\d))",
        text,
        re.IGNORECASE,
    )
    if found and _stands(found, text) and not _of_one(found, text):
        limit = Limit(area_m2(found[1], found[2]))
        less = found[3].lower() in ("less", "smaller", "below")
        part = replace(part, most=limit) if less else replace(part, least=limit)
        text = _without(text, found)
    return text, part


def _stands(found: re.Match[str], text: str) -> bool:
    """The number is whole, and nothing before it turns it round."""
    return not _CUT.search(text[: found.start(1)]) and not _denied(found, text)


def _denied(found: re.Match[str], text: str) -> bool:
    before = text[: found.start()].lower()
    return bool(_DENIED.search(before) or _OF_DENIED.search(before))


def _of_one(found: re.Match[str], text: str) -> bool:
    return bool(_ANOTHER.match(text[found.end() :]))


def _without(text: str, found: re.Match[str]) -> str:
    """The text without what was found, and without the "and", "&" or "but" that bound it."""
    before = re.sub(r"(?:,| and| &| but)+$", "", text[: found.start()])
    after = re.sub(r"^ (?:and\b|but\b|&)", "", text[found.end() :])
    return f"{before} {after}"


def _read_rank(text: str, part: ScenePart) -> tuple[str, ScenePart]:
    trailing = _TRAILING_RANK.search(text.lower())
    if trailing:
        count = _count(trailing["before"]) if trailing["before"] else 1
        return text[: trailing.start()], replace(part, largest=trailing["rank"] in _LARGEST, count=count)
    match = _RANK.match(text.lower())
    if match:
        rest = text[match.start("rest") :]
        # Two ranks: "… and the largest new lake".
        if _SECOND.search(rest.lower()) or re.search(rf"\b(?:{_SUPERLATIVE})\b", rest.lower()):
            return text, part
        named = match["before"] or match["after"]
        head, plural = _head(rest)
        # "The largest of the new buildings" is one, "the largest new buildings" does not say how many.
        if not head or (plural and not named and not match["of"]) or head.lower() in _SHARES_OF_SOMETHING:
            return text, part
        count = _count(named) if named else 1
        skip = _SKIPS[match["ordinal"]] if match["ordinal"] else 0
        opener = text[: match.end("open")]
        return f"{opener}the {rest}", replace(part, largest=match["rank"] in _LARGEST, count=count, skip=skip)
    match = _SURELY.match(text.lower())
    if match and _count(match["count"]) > 1:
        rest = text[match.start("rest") :]
        if _MEASURED.match(rest) or _SECOND.search(rest.lower()) or re.search(rf"\b(?:{_SUPERLATIVE})\b", rest.lower()):
            return text, part
        head, plural = _head(rest)
        if head and plural and head.lower() not in _SHARES_OF_SOMETHING:
            return f"{text[: match.end('open')]}the {rest}", replace(part, count=_count(match["count"]))
    return text, part


def _head(rest: str) -> tuple[str, bool]:
    """The noun phrase that begins here and whether it is a plural; "" where it only belongs to another ("city's")."""
    end = _HEAD_ENDS.search(rest.lower())
    head = rest[: end.start()] if end else rest
    head = head.strip(" ,.;:?!")
    if re.search(r"['’]s\b|s['’]", head):
        return "", False
    last = head.split()[-1].lower() if head else ""
    if last.endswith("ed") and len(head.split()) > 1:
        last = head.split()[-2].lower()
    return head, last.endswith("s") and not last.endswith(("ss", "us"))


def _count(text: str) -> int:
    return int(text) if text.isdigit() else WORDS.index(text.lower())


def _spelled(count: int) -> str:
    return WORDS[count] if count < len(WORDS) else str(count)


def _spaced(text: str) -> str:
    return " ".join(text.replace("’", "’").split())
