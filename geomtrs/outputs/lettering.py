"""Words on a picture: the font, letters that it lacks, lines that fit."""

from __future__ import annotations

import re
import unicodedata

from PIL import ImageDraw, ImageFont

Colour = int | tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# Letters that decomposing does not make plain, and signs that the font lacks.
LETTERS = {
    "ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
    "ð": "d", "þ": "th", "ı": "i", "–": "-", "—": "-", "’": "'", "‘": "'", "≥": ">=", "≤": "<=",
}  # fmt: skip


def font_of(size: int) -> Font:
    """The font that comes with Pillow, so that a picture looks the same on any machine."""
    return ImageFont.load_default(size=size)


def wrap(text: str, font: Font, width: float, *, most: int) -> list[str]:
    """Lines no wider than `width`; the last of `most` ends in … when words are left over."""
    lines: list[str] = []
    rest = writable(" ".join(text.split()), font)
    while rest:
        if font.getlength(rest) <= width:
            return [*lines, rest]
        last = len(lines) + 1 == most
        room = width - (font.getlength("…") if last else 0)
        cut = len(rest)
        while cut > 1 and font.getlength(rest[:cut]) > room:
            cut -= 1
        # At a word's end if there is one not too far back; a language without spaces is cut between letters.
        space = rest.rfind(" ", 0, cut + 1)
        cut = space if space > cut * 0.6 else cut
        if last:
            return [*lines, rest[:cut].rstrip() + "…"]
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def draw_words(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, fill: Colour) -> None:
    """Words from a corner on, the 2 of m2 and km2 raised: the font has no ²."""
    left, top = place
    for n, part in enumerate(re.split(r"(?<=m)2\b", text)):
        for words, font in (("2" if n else "", font_of(round(0.62 * size))), (part, font_of(size))):
            pen.text((left, top), words, font=font, fill=fill)
            left += font.getlength(words)


def writable(text: str, font: Font) -> str:
    """The text in letters that the font has: ü as u, ß as ss, □ for what has no such form; run.json has it whole."""
    missing = font.getmask("\uffff")

    def has(letter: str) -> bool:
        mask = font.getmask(letter)
        return letter.isspace() or mask.size != missing.size or bytes(mask) != bytes(missing)

    def form(letter: str) -> str:
        if has(letter):
            return letter
        plain = LETTERS.get(letter) or unicodedata.normalize("NFKD", letter)
        return "".join(part for part in plain if has(part) and not unicodedata.combining(part)) or "□"

    return "".join(form(letter) for letter in unicodedata.normalize("NFC", text))
