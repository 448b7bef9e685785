"""An area as people write it: a number in figures, words or fractions, and its unit; how many m² that is."""

from __future__ import annotations

import re

ACRE_M2, SQUARE_FOOT_M2 = 4046.8564224, 0.09290304  # international acre and foot
_HECTARE_M2 = 1e4

_UNITS: tuple[tuple[str, float], ...] = (
    (r"km\^?[²2]|sq\.? ?km|(?:square|sq\.?) (?:km|kilomet(?:re|er)s?)", 1e6),
    (r"m\^?[²2]|sq\.? ?m\.?|(?:square|sq\.?) met(?:re|er)s?|met(?:re|er)s squared", 1.0),
    (r"ha|hectares?", _HECTARE_M2),
    (r"acres?|ac(?! units?\b)", ACRE_M2),
    (r"ft\^?[²2]|sq\.? ?ft\.?|(?:square|sq\.?) (?:foot|feet)", SQUARE_FOOT_M2),
)
WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
# A comma, space or apostrophe before three digits parts thousands. A comma before one or two digits, or behind 0, is
# decimal ("1,5 ha"), a point too, unless there are two of it or a comma follows. One point before three digits may be
# either: nobody means thousandths of a m² or of a square foot, so there it parts thousands; "1.250 ha" stays decimal.
_GROUPED = r"[1-9]\d{0,2}(?:[ ,']\d{3})+(?:\.\d+)?"
_CONTINENTAL = r"(?:\d+,\d{1,2}|0,\d+|[1-9]\d{0,2}(?:(?:\.\d{3}){2,}|(?:\.\d{3})+,\d+))"
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75}
DIGITS = rf"(?:(?:\d+ ?)?[½¼¾]|{_GROUPED}|{_CONTINENTAL}|\d*\.?\d+)"
NUMBER = rf"(?:{DIGITS}|half(?: an?)?|a quarter(?: of an?)?|an?|{'|'.join(WORDS[1:])})"
UNIT = "|".join(pattern for pattern, _ in _UNITS)
_POINTED = re.compile(rf"(?<![\d.,])([1-9]\d{{0,2}}[.,]\d{{3}}) ?({UNIT})(?![\w²])", re.IGNORECASE)


def area_m2(number: str, unit: str) -> float:
    """What a number (NUMBER) and a unit (UNIT) say, in m²."""
    size = _unit_m2(unit)
    if size <= 1 and re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", number):
        number = number.replace(".", "")
    return _value(number) * size


def told_otherwise(sentence: str, left: str) -> list[str]:
    """A line for each area of a sentence that somebody may mean a thousand times as large or small.

    left  what is left of the sentence: an area in it was not read
    """
    told = []
    for found in _POINTED.finditer(sentence):
        number, unit = found.groups()
        kept, thousands = found[0] not in left, float(re.sub("[.,]", "", number))
        if kept and ("." in number or _unit_m2(unit) >= _HECTARE_M2):  # "1,000 m²" is plain
            meant = area_m2(number, unit) / _unit_m2(unit)
            other = thousands / 1000 if meant == thousands else thousands
            told.append(f"“{found[0]}” is read as {meant:g} {unit}; if {other:g} {unit} is meant, write it so")
    return told


def _unit_m2(unit: str) -> float:
    return next(size for pattern, size in _UNITS if re.fullmatch(pattern, unit.lower()))


def _value(number: str) -> float:
    text = re.sub("[ ']", "", number.lower())
    if text[-1] in _FRACTIONS:
        return float(text[:-1] or 0) + _FRACTIONS[text[-1]]
    if text[-1].isdigit():
        decimal = re.fullmatch(_CONTINENTAL, text)
        return float(text.replace(".", "").replace(",", ".") if decimal else text.replace(",", ""))
    if text in ("a", "an") or text in WORDS:
        return 1.0 if text in ("a", "an") else float(WORDS.index(text))
    return 0.5 if text.startswith("half") else 0.25  # "half a", "a quarter of an"
