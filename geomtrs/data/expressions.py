"""Sentences for what the labels tell: a thing, a direction and, for replacements, what was there before.

Hundreds of surface forms: every template of a direction with every name of a thing, and the verbs that belong to one
thing alone (woods are felled, rivers dry up). A tenth of the forms is held out for the paraphrase test, by a hash of
the words, so that no run trains on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from geomtrs.data.labels import ANYTHING, THINGS, UNLABELLED

Direction = Literal["appeared", "disappeared", "changed", "replaced"]

# Names of each thing; "~" marks a mass noun (no plural verb: "the water that appeared", "water was removed").
NAMES: Mapping[str, tuple[str, ...]] = {
    "building": ("buildings", "houses", "homes", "dwellings", "structures", "warehouses", "factories", "sheds",
                 "apartment blocks", "industrial buildings", "residential buildings", "roofs", "building", "house",
                 "school buildings", "villas", "barns", "halls", "rows of houses", "constructions", "schools", "offices",
                 "greenhouses", "hangars"),
    "road": ("roads", "streets", "paved roads", "highways", "lanes", "tracks", "motorways", "road", "street",
             "access roads", "ring road", "bridges"),
    "water": ("~water", "~open water", "lakes", "ponds", "~flood water", "water bodies", "rivers", "~standing water",
              "reservoirs", "lake", "pond", "~surface water", "wet areas"),
    "tree": ("trees", "~forest", "woods", "~woodland", "~tree cover", "~vegetation of trees", "forests", "tree",
             "groves", "tall trees"),
    "field": ("fields", "~cropland", "~farmland", "crops", "~arable land", "agricultural fields", "farm fields"),
    "grass": ("~grass", "lawns", "meadows", "~grassland", "pastures", "~low vegetation"),
    "bare": ("~bare ground", "~bare soil", "~bare land", "~cleared ground", "~sand", "dirt lots", "construction sites",
             "~unpaved land", "~graded earth", "building sites", "quarries"),
    "car": ("cars", "vehicles", "parked cars", "trucks", "car", "vans"),
    "boat": ("boats", "ships", "vessels", "yachts", "ship", "barges"),
    "aircraft": ("aircraft", "planes", "airplanes", "aeroplanes", "jets"),
    "solar": ("solar panels", "solar farms", "photovoltaic panels", "solar fields", "PV arrays", "solar power plants"),
    "pool": ("swimming pools", "pools", "backyard pools", "pool"),
    "landslide": ("landslides", "~landslide debris", "slope failures", "mudslides", "debris flows"),
    "burnt": ("burnt areas", "burned areas", "~burnt ground", "fire scars", "~scorched land",
              "~burnt vegetation"),
    "ice": ("~glacier ice", "~ice", "~snow", "glaciers", "~ice cover"),
    "palm": ("palm trees", "oil palms", "palms"),
    "town": ("built-up areas", "~built-up land", "~urban area", "settlements", "towns", "~the city", "residential quarters",
             "~urban land", "villages", "neighbourhoods", "neighborhoods", "residential areas", "industrial areas", "suburbs"),
}  # fmt: skip

_APPEARED = (
    "the {n} that appeared", "{n} that appeared", "new {n}", "the new {n}", "all new {n}", "newly appeared {n}",
    "{n} that {was} not there before", "the {n} that {was} added", "added {n}", "{n} visible only in the later image",
    "{n} present only in the second image", "find the new {n}", "show me all new {n}", "where did {n} appear",
    "{n} that came into being", "recent {n}", "{n} that {is} new", "the appearance of {n}", "which {n} appeared?",
    "{n} gained between the dates", "areas where {n} appeared", "additional {n}", "{n} that exist now but not before",
    "{n} that {was} absent in the first image", "highlight newly visible {n}", "every new {n}",
)  # fmt: skip
_DISAPPEARED = (
    "the {n} that disappeared", "{n} that disappeared", "removed {n}", "the {n} that {was} removed", "lost {n}",
    "vanished {n}", "the {n} that vanished", "{n} that {is} gone", "{n} that {is} no longer there", "missing {n}",
    "{n} that no longer exist", "{n} visible only in the earlier image", "{n} present only in the first image",
    "where did {n} disappear", "{n} that {was} there before but not now", "the disappearance of {n}", "the loss of {n}",
    "find the {n} that {was} lost", "show me all {n} that {is} gone", "which {n} disappeared?", "former {n}",
    "areas that lost {n}", "eliminated {n}", "{n} that {was} taken away", "{n} missing in the second image",
)  # fmt: skip
_CHANGED = (
    "the {n} that changed", "changed {n}", "changes in {n}", "changes of the {n}", "{n} that appeared or disappeared",
    "{n} that {is} different", "any change of {n}", "altered {n}", "{n}", "differences in {n} between the dates",
    "{n} added or removed", "modified {n}",
)  # fmt: skip
_REPLACED = (
    "{s} replaced by {n}", "{s} that became {n}", "{s} turned into {n}", "{s} converted to {n}", "{n} where there {sw} {s} before",
    "from {s} to {n}", "{n} that took the place of {s}", "{n} on former {s}", "new {n} on {s}", "{s} that gave way to {n}", "the change from {s} to {n}",
    "{n} that replaced {s}", "{s} transformed into {n}",
)  # fmt: skip
_GENERIC: Mapping[Direction, tuple[str, ...]] = {
    "appeared": _APPEARED,
    "disappeared": _DISAPPEARED,
    "changed": _CHANGED,
}

_BUILT = ("{n} that {was} built", "newly built {n}", "newly constructed {n}", "{n} built between the two dates",
          "{n} constructed since the first image", "recently built {n}", "the construction of {n}", "{n} under construction or finished",
          "{n} that {was} erected", "{n} built since last year", "completed {n}", "{n} that have been built", "{n} put up since then")  # fmt: skip
_DESTROYED = ("demolished {n}", "the {n} that {was} demolished", "destroyed {n}", "{n} torn down", "{n} that {was} destroyed",
              "{n} that {was} knocked down", "razed {n}", "{n} destroyed by the disaster", "the demolition of {n}")  # fmt: skip
_ARRIVED = ("{n} that arrived", "newly arrived {n}", "newly parked {n}", "{n} that came")
_LEFT = ("{n} that left", "departed {n}", "{n} that drove away", "{n} that moved away")

# Verbs and whole sentences that belong to one thing and one direction.
_OWN: Mapping[tuple[str, Direction], tuple[str, ...]] = {
    ("building", "appeared"): _BUILT + ("housing development", "urban development", "new construction", "extended {n}", "enlarged {n}", "{n} that {was} extended",
                                        "the extension of {n}", "where {n} {was} built", "{n} that went up"),
    ("building", "disappeared"): _DESTROYED + ("collapsed {n}", "{n} that collapsed", "{n} that {was} flattened", "{n} in ruins now", "what was demolished", "{n} destroyed by the tornado", "{n} destroyed by the earthquake"),
    ("road", "appeared"): _BUILT + ("road construction", "new asphalt", "widened {n}", "{n} that {was} widened", "{n} that {was} paved"),
    ("road", "disappeared"): ("{n} that {was} torn up", "abandoned {n}", "overgrown {n}", "demolished {n}"),
    ("water", "appeared"): ("flooded areas", "flooding", "areas under water now", "land that {was} flooded", "flooded land",
                            "inundated areas", "lakes that have grown", "the lake that has grown", "rising {n}", "the flood",
                            "land covered by {n} now", "expanding {n}", "{n} that grew", "lake expansion", "flooded fields", "flood extent",
                            "inundation", "where the water has risen", "the river that burst its banks", "areas flooded by the river"),
    ("water", "disappeared"): ("dried up {n}", "{n} that dried up", "drained {n}", "receding {n}", "areas that fell dry",
                               "{n} that shrank", "shrinking {n}", "the flood that receded", "land that emerged from the water", "drying {n}",
                               "exposed lake bed", "land gained from the sea", "new land in the sea", "land reclamation", "water loss"),
    ("tree", "appeared"): ("planted {n}", "{n} that {was} planted", "{n} that grew", "reforestation", "afforestation", "regrown {n}"),
    ("tree", "disappeared"): ("felled {n}", "{n} that {was} felled", "{n} cut down", "deforestation", "logged {n}", "cleared {n}",
                              "{n} that {was} cleared", "forest clearing", "{n} that {was} cut", "logging", "forest loss", "deforested land", "deforested areas",
                              "clear-cut areas", "new clear-cuts", "tree loss", "where {n} {was} cut down", "{n} cleared for construction"),
    ("field", "appeared"): ("{n} that {was} cultivated", "newly cultivated land", "new farm land"),
    ("field", "disappeared"): ("abandoned {n}", "farmland loss", "{n} lost to other use"),
    ("grass", "appeared"): ("ground that turned green", "{n} that {was} sown"),
    ("grass", "disappeared"): ("{n} that {was} dug up", "greenery that is gone"),
    ("bare", "appeared"): ("ground that {was} cleared", "freshly graded earth", "land stripped of vegetation", "excavated ground", "land cleared for construction", "cleared land", "earthworks",
                           "new construction sites", "mining expansion", "ground laid bare"),
    ("bare", "disappeared"): ("{n} that {was} overgrown", "{n} that {was} covered"),
    ("car", "appeared"): _ARRIVED, ("car", "disappeared"): _LEFT,
    ("boat", "appeared"): _ARRIVED, ("boat", "disappeared"): ("{n} that left", "{n} that sailed away", "departed {n}"),
    ("aircraft", "appeared"): _ARRIVED, ("aircraft", "disappeared"): ("{n} that left", "{n} that flew away", "departed {n}"),
    ("solar", "appeared"): _BUILT + ("installed {n}", "newly installed {n}"),
    ("solar", "disappeared"): ("dismantled {n}",),
    ("pool", "appeared"): _BUILT, ("pool", "disappeared"): ("filled in {n}",),
    ("landslide", "appeared"): ("slopes that slid", "fresh {n}", "the slope that collapsed"),
    ("landslide", "disappeared"): ("overgrown {n}", "revegetated {n}"),
    ("burnt", "appeared"): ("the area burnt by the wildfire", "forest that burned", "land that burned", "wildfire damage",
                            "the fire scar", "burned forest", "areas burned by fire", "burnt forest", "burn scar", "burn scars", "fire damage",
                            "area destroyed by fire", "land destroyed by the fire", "charred ground", "where the fire burned", "the wildfire"),
    ("burnt", "disappeared"): ("burnt land that recovered", "recovery after the fire"),
    ("ice", "appeared"): ("ground that froze over", "the glacier that advanced"),
    ("ice", "disappeared"): ("melted {n}", "{n} that melted", "glacier retreat", "ice loss", "retreating {n}", "melting {n}", "{n} that retreated", "shrinking {n}"),
    ("palm", "appeared"): ("planted {n}", "new plantation"), ("palm", "disappeared"): ("felled {n}", "{n} cut down"),
    ("town", "appeared"): _BUILT + ("urban growth", "urban expansion", "city expansion", "where the city has grown", "urban sprawl",
                                    "where the town grew", "settlement growth", "newly built residential quarters"),
    ("town", "disappeared"): _DESTROYED,
}  # fmt: skip

_WHATEVER = (
    "what changed", "anything that changed", "all changes", "everything that changed", "any change", "the changes",
    "what is different", "the changed area between the two images", "differences between the two images", "show all changes",
    "find every difference", "areas of change", "changed areas", "where is something different?", "change",
)  # fmt: skip

# A model that knows only the things above takes anything else for the nearest of them: an elephant for a house.
_ELSE = (
    "elephants", "cows", "sheep", "horses", "dogs", "birds", "whales", "penguins", "people", "crowds", "soldiers", "tanks",
    "helicopters", "balloons", "satellites", "rockets", "trains", "bicycles", "clouds", "~fog", "~smoke", "rainbows", "icebergs",
    "coral reefs", "sand dunes", "craters", "caves", "waterfalls", "wind turbines", "windmills", "power lines", "radio masts",
    "oil rigs", "statues", "pyramids", "fountains", "tents", "umbrellas", "flags", "letters", "numbers", "arrows", "chairs",
    "tables", "shoes", "books", "bottles", "tennis courts", "golf courses", "running tracks", "playgrounds", "~rubbish",
    "~seaweed", "flowers", "mushrooms", "robots", "dragons", "clocks", "pianos", "trophies",
)  # fmt: skip

_OPENERS = ("", "", "", "", "show ", "find ", "highlight ", "please mark ", "segment ", "I am looking for ", "map ")


@dataclass(frozen=True, slots=True)
class Expression:
    """One sentence and what it means; `source` is the thing before, for replacements only."""

    text: str
    thing: int  # index into THINGS, ANYTHING or UNLABELLED
    direction: Direction
    source: int | None = None

    @property
    def held_out(self) -> bool:
        """One in ten, by a hash of the words: for the paraphrase test, never for training."""
        return hashlib.blake2b(self.text.encode(), digest_size=2).digest()[0] < 26


def _fill(template: str, name: str, source: str = "") -> str:
    mass = name.startswith("~") or not name.endswith("s")
    source_mass = source.startswith("~") or not source.endswith("s")
    return template.format(
        n=name.lstrip("~"), was="was" if mass else "were", is_="is", s=source.lstrip("~"),
        sw="was" if source_mass else "were", **{"is": "is" if mass else "are"},
    )  # fmt: skip


def all_expressions() -> Iterator[Expression]:
    """Every sentence the grammar writes without an opener, each once a meaning."""
    seen: set[tuple[str, int, Direction]] = set()
    for index, thing in enumerate(THINGS):
        for direction, templates in _GENERIC.items():
            for template in templates + _OWN.get((thing, direction), ()):
                for name in NAMES[thing]:
                    text = _fill(template, name)
                    if (text, index, direction) not in seen:
                        seen.add((text, index, direction))
                        yield Expression(text, index, direction)
    for index, thing in enumerate(THINGS):
        for source_index, source in enumerate(THINGS):
            if source_index != index:
                for i, template in enumerate(_REPLACED):
                    names, sources = NAMES[thing], NAMES[source]
                    text = _fill(template, names[i % min(4, len(names))], sources[i // 3 % min(4, len(sources))])
                    yield Expression(text, index, "replaced", source_index)
    for text in _WHATEVER:
        yield Expression(text, ANYTHING, "changed")


def unlabelled_expressions() -> Iterator[Expression]:
    """Sentences about things that are in none of the pictures: what is not known must not become what is."""
    for direction, templates in _GENERIC.items():
        for template in templates:
            for name in _ELSE:
                yield Expression(_fill(template, name), UNLABELLED, direction)


def spoken(text: str, opener: int) -> str:
    """The sentence as somebody would ask it: `opener` picks one of the openings, many of them empty."""
    return _OPENERS[opener % len(_OPENERS)] + text
