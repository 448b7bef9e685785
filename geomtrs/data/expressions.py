"""Sentences for what the labels tell: a thing, a direction and, for replacements, what was there before.

Hundreds of surface forms: every template of a direction with every name of a thing, and the verbs that belong to one
thing alone (woods are felled, rivers dry up). Some say more than a label tells, why or how, because people ask so;
they are not `told`. A tenth of the forms is held out for the paraphrase test, by a hash of the words, so that no run
trains on them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from geomtrs.data.labels import ANYTHING, THINGS, UNLABELLED

Direction = Literal["appeared", "disappeared", "changed", "replaced"]

# Names of each thing in the plural; "~" marks a mass noun ("the water that appeared", "water was removed").
NAMES: Mapping[str, tuple[str, ...]] = {
    "building": ("buildings", "houses", "homes", "dwellings", "structures", "warehouses", "factories", "sheds",
                 "apartment blocks", "industrial buildings", "residential buildings", "roofs", "school buildings",
                 "villas", "barns", "halls", "rows of houses", "constructions", "schools", "offices", "greenhouses", "hangars", "building footprints",
                 "apartments", "office blocks", "cottages", "workshops", "shops", "housing estates"),
    "road": ("roads", "streets", "paved roads", "highways", "lanes", "tracks", "motorways", "access roads", "bridges",
             "roundabouts", "junctions", "forest roads", "bypasses"),
    "water": ("~water", "~open water", "lakes", "ponds", "~flood water", "water bodies", "rivers", "~standing water",
              "reservoirs", "~surface water", "wet areas", "canals", "fish ponds", "lagoons", "streams"),
    "tree": ("trees", "~forest", "woods", "~woodland", "~tree cover", "forests", "groves", "tall trees",
             "orchards", "saplings", "hedges", "thickets"),
    "field": ("fields", "~cropland", "~farmland", "crops", "~arable land", "agricultural fields", "farm fields",
              "vineyards", "rice paddies"),
    "grass": ("~grass", "lawns", "meadows", "~grassland", "pastures", "~low vegetation"),
    "bare": ("~bare ground", "~bare soil", "~bare land", "~cleared ground", "~sand", "dirt lots", "construction sites",
             "~unpaved land", "~graded earth", "building sites", "quarries"),
    "car": ("cars", "vehicles", "parked cars", "trucks", "vans", "lorries", "buses"),
    "boat": ("boats", "ships", "vessels", "yachts", "barges", "sailing boats", "ferries", "cargo ships"),
    "aircraft": ("aircraft", "planes", "airplanes", "aeroplanes", "jets", "airliners", "fighter jets"),
    "solar": ("solar panels", "solar farms", "photovoltaic panels", "solar fields", "PV arrays", "solar power plants", "rooftop solar panels"),
    "pool": ("swimming pools", "pools", "backyard pools"),
    "landslide": ("landslides", "~landslide debris", "slope failures", "mudslides", "debris flows", "rockfalls"),
    "burnt": ("burnt areas", "burned areas", "~burnt ground", "fire scars", "~scorched land",
              "~burnt vegetation", "~burnt woodland", "burned fields"),
    "ice": ("~glacier ice", "~ice", "~snow", "glaciers", "~ice cover", "~sea ice"),
    "palm": ("palm trees", "oil palms", "palms"),
    "town": ("built-up areas", "~built-up land", "urban areas", "settlements", "towns", "residential quarters",
             "~urban land", "villages", "neighbourhoods", "neighborhoods", "residential areas", "industrial areas", "suburbs", "informal settlements", "hamlets"),
}  # fmt: skip
SINGULARS: Mapping[str, tuple[str, ...]] = {
    "building": ("building", "house", "home", "structure", "warehouse", "factory", "shed", "roof", "apartment block",
                 "school building", "school", "greenhouse", "hangar"),
    "road": ("road", "street", "highway", "track", "access road", "ring road", "bridge"),
    "water": ("lake", "pond", "river", "water body", "reservoir"), "tree": ("tree", "forest", "grove"),
    "field": ("field", "farm field"), "grass": ("lawn", "meadow", "pasture"),
    "bare": ("dirt lot", "construction site", "building site"), "car": ("car", "vehicle", "truck", "van"),
    "boat": ("boat", "ship", "vessel", "yacht", "barge"), "aircraft": ("plane", "airplane", "aeroplane", "jet"),
    "solar": ("solar panel", "solar farm", "solar field"), "pool": ("pool", "swimming pool", "backyard pool"),
    "landslide": ("landslide", "slope failure", "mudslide"), "burnt": ("burnt area", "burned area", "fire scar"),
    "ice": ("glacier",), "palm": ("palm tree", "oil palm"),
    "town": ("built-up area", "settlement", "town", "village", "neighbourhood"),
}  # fmt: skip
# Names that are true of all that has the label: a shed is no house, a canal no lake.
TRUE_NAMES: Mapping[str, tuple[str, ...]] = {
    "building": ("buildings", "structures", "constructions"), "road": ("roads",),
    "water": ("~water", "~open water", "~surface water"), "tree": ("trees", "~tree cover"),
    "field": ("fields", "~farmland", "~cropland", "farm fields"), "grass": ("~grass", "~low vegetation"),
    "bare": ("~bare ground", "~bare soil", "~bare land"), "car": ("cars", "vehicles"), "boat": ("boats", "vessels"),
    "aircraft": ("planes", "airplanes", "aeroplanes"), "solar": ("solar panels", "photovoltaic panels"),
    "pool": ("swimming pools", "pools"), "landslide": ("landslides", "slope failures"),
    "burnt": ("burnt areas", "burned areas", "~burnt ground", "~scorched land"), "ice": ("~ice", "~ice cover"),
    "palm": ("palm trees", "palms"), "town": ("built-up areas", "~built-up land", "~urban land"),
}  # fmt: skip
NATURE = ("water", "field", "grass", "bare", "landslide", "burnt", "ice")  # nobody adds them or takes them away

# In a template {n} is a plural or a mass noun, {many} a plural, {one} a singular; verbs follow {n} and {many}.
_APPEARED = (
    "the {n} that appeared", "{n} that appeared", "new {n}", "the new {n}", "all new {n}", "newly appeared {n}",
    "{n} that {was} not there before", "{n} visible only in the later image", "{n} present only in the second image",
    "find the new {n}", "show me all new {n}", "where did {n} appear", "{n} that came into being", "{n} that {is} new",
    "the appearance of {n}", "which {many} appeared?", "{n} gained between the dates", "areas where {n} appeared",
    "{n} that {exist} now but not before", "highlight newly visible {n}", "every new {one}",
)  # fmt: skip
_DISAPPEARED = (
    "the {n} that disappeared", "{n} that disappeared", "lost {n}", "vanished {n}", "the {n} that vanished",
    "{n} that {is} gone", "{n} that {is} no longer there", "{n} that no longer {exist}",
    "{n} visible only in the earlier image", "{n} present only in the first image", "where did {n} disappear",
    "{n} that {was} there before but not now", "the disappearance of {n}", "the loss of {n}",
    "find the {n} that {was} lost", "show me all {n} that {is} gone", "which {many} disappeared?", "former {n}",
    "areas that lost {n}", "every vanished {one}",
)  # fmt: skip
_CHANGED = (
    "the {n} that changed", "changed {n}", "changes in {n}", "changes to the {n}", "{n} that appeared or disappeared",
    "{n} that {is} different", "any change in {n}", "altered {n}", "differences in {n} between the dates",
    "modified {n}", "every changed {one}",
)  # fmt: skip
_REPLACED = (
    "{s} replaced by {n}", "{s} that became {n}", "{s} turned into {n}", "{s} converted to {n}", "{n} where there {sw} {s} before",
    "from {s} to {n}", "{n} that took the place of {s}", "{n} on former {s}", "new {n} on {s}", "{s} that gave way to {n}", "the change from {s} to {n}",
    "{n} that replaced {s}", "{s} transformed into {n}",
)  # fmt: skip
# Other ways to say it, of which no label tells more.
_REPLACED_ASKED = (
    "{s} that {sw} replaced by {n}", "{s} that {sw} turned into {n}", "{s} that {sw} converted into {n}", "{n} where there {sw} {s}",
    "{s} that made way for {n}", "{n} instead of {s}", "{s} changed to {n}", "{s} lost to {n}", "{n} in place of {s}",
    "{s} converted into {n}", "{s} that gave way to the {n}", "{s} swallowed by {n}",
)  # fmt: skip
_GENERIC: Mapping[Direction, tuple[str, ...]] = {
    "appeared": _APPEARED,
    "disappeared": _DISAPPEARED,
    "changed": _CHANGED,
}
# Of what is not of nature.
_MADE: Mapping[Direction, tuple[str, ...]] = {
    "appeared": ("the {n} that {was} added", "added {n}", "additional {n}", "{n} that {was} absent in the first image"),
    "disappeared": ("removed {n}", "the {n} that {was} removed", "missing {n}", "{n} removed between the dates",
                    "{n} missing in the second image"),
    "changed": ("{n} added or removed",),
}  # fmt: skip
# As people ask, though no label tells that it is one, or how long ago it was.
_ASKED_OF_ALL: Mapping[Direction, tuple[str, ...]] = {
    "appeared": ("the new {one}", "a new {one}", "any new {one}", "the {one} that appeared", "which {one} is new?",
                 "the {one} that was not there before", "find the new {one}", "recent {n}"),
    "disappeared": ("the {one} that disappeared", "the former {one}", "the {one} that is gone", "which {one} disappeared?",
                    "the {one} that is no longer there", "any {one} that vanished", "{n} that {has} vanished"),
    "changed": ("the {one} that changed", "any changed {one}", "{n}"),
}  # fmt: skip

_BUILT = ("{n} that {was} built", "newly built {n}", "newly constructed {n}", "{n} built between the two dates",
          "{n} constructed since the first image", "the construction of {n}", "{n} that {has} been built")  # fmt: skip
_RAISED = ("{n} that {was} erected", "{n} put up since then")
_BUILT_ASKED = (
    "recently built {n}",
    "completed {n}",
    "every newly built {one}",
    "the {one} that was built",
    "finished {n}",
)
_DESTROYED = ("demolished {n}", "the {n} that {was} demolished", "destroyed {n}", "{n} torn down", "{n} that {was} destroyed",
              "{n} that {was} knocked down", "razed {n}", "the demolition of {n}")  # fmt: skip
_ARRIVED = ("{n} that arrived", "newly arrived {n}", "{n} that came")
_LEFT = ("{n} that left", "departed {n}")

# Verbs and whole sentences that belong to one thing and one direction, and are true of every label of it.
_OWN: Mapping[tuple[str, Direction], tuple[str, ...]] = {
    ("building", "appeared"): _BUILT + _RAISED,
    ("building", "disappeared"): _DESTROYED,
    ("road", "appeared"): _BUILT + ("road construction", "new asphalt"),
    ("road", "disappeared"): ("{n} that {was} torn up", "demolished {n}"),
    ("water", "appeared"): ("flooded areas", "flooding", "areas under water now", "land that was flooded", "flooded land",
                            "inundated areas", "the flood"),
    ("water", "disappeared"): ("{n} that dried up", "areas that fell dry", "land that emerged from the water"),
    ("tree", "disappeared"): ("felled {n}", "{n} that {was} felled", "{n} cut down", "cleared {n}", "{n} that {was} cleared",
                              "{n} that {was} cut"),
    ("field", "appeared"): ("new farm land",),
    ("field", "disappeared"): ("farmland loss",),
    ("car", "appeared"): _ARRIVED, ("car", "disappeared"): _LEFT + ("{n} that drove away", "{n} that moved away"),
    ("boat", "appeared"): _ARRIVED, ("boat", "disappeared"): _LEFT + ("{n} that sailed away",),
    ("aircraft", "appeared"): _ARRIVED, ("aircraft", "disappeared"): _LEFT + ("{n} that flew away",),
    ("solar", "appeared"): _BUILT + ("installed {n}", "newly installed {n}"),
    ("solar", "disappeared"): ("dismantled {n}",),
    ("pool", "appeared"): _BUILT, ("pool", "disappeared"): ("filled in {n}",),
    ("landslide", "appeared"): ("slopes that slid", "fresh {n}"),
    ("burnt", "appeared"): ("land that burned", "the fire scar", "areas burned by fire"),
    ("burnt", "disappeared"): ("recovery after the fire",),
    ("ice", "disappeared"): ("melted {n}", "{n} that melted", "ice loss"),
    ("palm", "disappeared"): ("felled {n}", "{n} cut down"),
}  # fmt: skip
# Those that say why or how, or that something grew: people ask so, but no label tells it.
_ASKED: Mapping[tuple[str, Direction], tuple[str, ...]] = {
    ("building", "appeared"): _BUILT_ASKED + ("housing development", "urban development", "new construction", "extended {n}",
                                              "{n} that {was} extended", "the extension of {n}", "{n} that went up",
                                              "{n} that sprang up", "{n} that popped up", "residential development"),
    ("building", "disappeared"): ("collapsed {n}", "{n} destroyed by the tornado", "{n} destroyed by the earthquake",
                                  "{n} destroyed by the disaster", "every demolished {one}", "the {one} that was demolished", "burned {n}", "{n} that burned down", "{n} that {was} flattened",
                                   "{n} in ruins now", "what was demolished"),
    ("road", "appeared"): _BUILT_ASKED + ("widened {n}", "{n} that {was} widened", "the widening of {n}", "{n} cut through the forest", "{n} laid across the fields", "logging roads", "{n} that {was} paved"),
    ("road", "disappeared"): ("abandoned {n}", "overgrown {n}"),
    ("water", "appeared"): ("lakes that have grown", "the lake that has grown", "rising water", "land covered by {n} now",
                            "expanding {n}", "{n} that grew", "the expansion of the lake", "flooded fields", "inundation",
                            "where the water has risen", "{many} that filled up", "hollows that filled with water", "the river that burst its banks", "areas flooded by the river", "flooded streets",
                            "flooded farmland", "the valley filled by the dam", "ponds that were dug", "canals that were built",
                            "water where there was land", "land that became water", "land turned into water", "land lost to the sea",
                            "coastal erosion", "shoreline retreat"),
    ("water", "disappeared"): ("dried up {many}", "drained {many}", "receding {n}", "{n} that shrank", "shrinking {many}",
                               "the flood that receded", "the {one} that dried up", "drying {n}", "the exposed lake bed",
                                "land gained from the sea", "new land in the sea", "land reclamation", "water loss",
                               "land where there was water", "water that became land"),
    ("water", "changed"): ("the river that moved", "the shifted river", "meanders that moved", "changes of the shoreline"),
    ("tree", "appeared"): ("planted {n}", "{n} that {was} planted", "{n} that grew", "reforestation", "afforestation", "regrown {n}",
                           "reforested areas", "reforestation of the slopes", "{n} that grew back"),
    ("tree", "disappeared"): ("deforestation", "logged {n}", "forest clearing", "logging", "forest loss", "every felled {one}", "deforested land",
                              "deforested areas", "clear-cut areas", "new clear-cuts", "loss of trees", "{n} cleared for construction",
                              "storm damage in the forest", "{n} blown down by the storm", "{n} that died", "{n} removed for the road"),
    ("field", "appeared"): ("{n} that {was} cultivated", "newly cultivated land", "{n} that {was} ploughed", "ploughed {n}", "plowed {n}",
                            "the expansion of agriculture"),
    ("field", "disappeared"): ("abandoned {n}", "{n} lost to other use", "{n} that {was} built over", "{n} under houses now"),
    ("grass", "appeared"): ("ground that turned green", "{n} that {was} sown"),
    ("grass", "disappeared"): ("{n} that {was} dug up", "{n} that turned brown", "greenery that is gone"),
    ("bare", "appeared"): ("ground that was cleared", "freshly graded earth", "land stripped of vegetation", "excavated ground",
                           "land cleared for construction", "cleared land", "earthworks", "mining expansion", "ground laid bare",
                           "mining", "open pit mining", "the open pit mine that grew", "new mines", "mines that expanded", "quarrying",
                           "quarries that expanded", "new quarries",
                           "excavations", "excavation pits", "land cleared for new houses", "exposed sand", "{n} that {was} exposed"),
    ("bare", "disappeared"): ("{n} that {was} overgrown", "{n} that {was} covered"),
    ("car", "appeared"): ("newly parked cars", "newly parked trucks"), ("car", "disappeared"): ("the {one} that left",),
    ("boat", "appeared"): ("newly moored {n}",), ("boat", "disappeared"): ("the {one} that left",),
    ("solar", "appeared"): _BUILT_ASKED, ("pool", "appeared"): _BUILT_ASKED + ("{n} built behind houses",),
    ("landslide", "appeared"): ("the slope that collapsed", "slope failures after the rain", "the landslide after the storm"),
    ("landslide", "disappeared"): ("overgrown {n}", "revegetated {n}"),
    ("burnt", "appeared"): ("the area burnt by the wildfire", "forest that burned", "wildfire damage", "burned forest",
                            "burnt forest", "the burn scar", "burn scars", "fire damage", "the area destroyed by fire", "land destroyed by the fire",
                            "charred ground", "charred vegetation", "fields that burned", "woods that burned", "where the fire burned", "the wildfire"),
    ("burnt", "disappeared"): ("burnt land that recovered",),
    ("ice", "appeared"): ("ground that froze over", "the glacier that advanced"),
    ("ice", "disappeared"): ("glacier retreat", "retreating {n}", "melting {n}", "{n} that retreated", "shrinking {n}", "{n} that thawed",
                             "frozen lakes that thawed"),
    ("palm", "appeared"): ("planted {n}", "new plantation"),
    ("town", "appeared"): ("urban growth", "urban expansion", "city expansion", "where the city has grown", "urban sprawl",
                           "where the town grew", "settlement growth", "towns that spread over the fields", "the part of the city that is new",
                           "newly built residential quarters", "newly built settlements", "towns that were built",
                           "villages that were built", "neighbourhoods built between the two dates"),
    ("town", "disappeared"): ("destroyed settlements", "destroyed towns", "villages that were destroyed",
                              "demolished neighbourhoods", "demolished neighborhoods", "the part of the city that is gone"),
}  # fmt: skip

# Two things that went the same way.
_TOGETHER: Mapping[Direction, tuple[str, ...]] = {
    "appeared": ("new {a} and {b}", "the new {a} and {b}", "{a} and {b} that appeared", "{a} or {b} that {were} not there before",
                 "all new {a} and new {b}", "the {a} and {b} visible only in the later image", "where did {a} or {b} appear"),
    "disappeared": ("lost {a} and {b}", "the {a} and {b} that disappeared", "{a} and {b} that {are} gone", "vanished {a} or {b}",
                    "the {a} and {b} that {are} no longer there", "the loss of {a} and {b}", "where did {a} or {b} disappear"),
}  # fmt: skip

_WHATEVER = (
    "what changed", "anything that changed", "all changes", "everything that changed", "any change", "the changes",
    "what is different", "the changed area between the two images", "differences between the two images", "show all changes",
    "find every difference", "areas of change", "changed areas", "where is something different?", "change",
)  # fmt: skip

# A model that knows only the things above takes anything else for the nearest of them: an elephant for a house.
UNLABELLED_NAMES = (
    "elephants", "cows", "sheep", "horses", "dogs", "birds", "whales", "penguins", "people", "crowds", "soldiers", "tanks",
    "helicopters", "balloons", "satellites", "rockets", "trains", "bicycles", "clouds", "~fog", "~smoke", "rainbows", "icebergs",
    "coral reefs", "sand dunes", "craters", "caves", "waterfalls", "wind turbines", "windmills", "power lines", "radio masts",
    "oil rigs", "statues", "pyramids", "fountains", "tents", "umbrellas", "flags", "letters", "numbers", "arrows", "chairs",
    "tables", "shoes", "books", "bottles", "tennis courts", "golf courses", "running tracks", "playgrounds", "~rubbish",
    "~seaweed", "flowers", "mushrooms", "robots", "dragons", "clocks", "pianos", "trophies", "stadiums", "railway lines",
    "runways", "sports fields", "football pitches", "refugee camps",
)  # fmt: skip

_OPENERS = ("", "", "", "", "show ", "find ", "highlight ", "please mark ", "segment ", "I am looking for ", "map ")
_OPENED = re.compile(r"(?:find|show|where|which|highlight|from)\b")  # these begin as they are


@dataclass(frozen=True, slots=True)
class Expression:
    """One sentence and what it means; `source` is the thing before, for replacements, or the other one of two things.

    told  whatever has the label bears the sentence out: it names no kind, no cause and no growth
    """

    text: str
    thing: int  # index into THINGS, ANYTHING or UNLABELLED
    direction: Direction
    source: int | None = None
    told: bool = True

    @property
    def held_out(self) -> bool:
        """One in ten, by a hash of the words: for the paraphrase test, never for training."""
        return hashlib.blake2b(self.text.encode(), digest_size=2).digest()[0] < 26


def in_number(clause: str, *, one: bool) -> str:
    """The clause with its verbs in the singular or plural; other fields stay."""
    for singular, plural in (("was", "were"), ("is", "are"), ("has", "have"), ("exists", "exist")):
        field = "exist" if singular == "exists" else singular
        clause = clause.replace(f"{{{field}}}", singular if one else plural)
    return clause


def all_expressions() -> Iterator[Expression]:
    """Every sentence the grammar writes without an opener, each once a meaning."""
    for index, thing in enumerate(THINGS):
        for direction in _GENERIC:
            seen: set[str] = set()
            for text, told in _written(thing, direction):
                if text not in seen:
                    seen.add(text)
                    yield Expression(text, index, direction, None, told)
    for index, source_index in permutations(range(len(THINGS)), 2):
        yield from _replacements(index, source_index)
    for text in _WHATEVER:
        yield Expression(text, ANYTHING, "changed")


def _replacements(thing: int, source: int) -> Iterator[Expression]:
    """One thing where another was: each way to say it with two nouns for either."""
    names, sources = NAMES[THINGS[thing]], NAMES[THINGS[source]]
    seen: set[str] = set()
    for i, template in enumerate(_REPLACED + _REPLACED_ASKED):
        for more, of in ((0, 4), (2, 6)):
            n, s = names[(i + more) % min(of, len(names))], sources[(i // 3 + more) % min(of, len(sources))]
            text = template.format(n=n.lstrip("~"), s=s.lstrip("~"), sw="was" if s[0] == "~" else "were")
            labelled = n in TRUE_NAMES[THINGS[thing]] and s in TRUE_NAMES[THINGS[source]]
            if text not in seen:
                seen.add(text)
                yield Expression(text, thing, "replaced", source, labelled and not more and i < len(_REPLACED))


def paired_expressions() -> Iterator[Expression]:
    """Sentences about two things that came or that went; each order of the two is a meaning."""
    for direction, templates in _TOGETHER.items():
        for (i, a), (j, b) in permutations(enumerate(NAMES.values()), 2):
            for number, template in enumerate(templates):
                first, second = a[number % min(4, len(a))], b[number // 2 % min(4, len(b))]
                one = second[0] == "~" and " or " in template  # the verb follows the nearer of two
                text = template.format(
                    a=first.lstrip("~"), b=second.lstrip("~"), were="was" if one else "were", are="is" if one else "are"
                )
                yield Expression(text, i, direction, j)


def unlabelled_expressions() -> Iterator[Expression]:
    """Sentences about things that are in none of the pictures: what is not known must not become what is."""
    for direction, templates in _GENERIC.items():
        for template in templates:
            for name in UNLABELLED_NAMES if "{one}" not in template else ():
                text = in_number(template, one=name[0] == "~").format(n=name.lstrip("~"), many=name.lstrip("~"))
                yield Expression(text, UNLABELLED, direction)


def _written(thing: str, direction: Direction) -> Iterator[tuple[str, bool]]:
    """Texts about a thing and whether they are told."""
    plain = _GENERIC[direction] + _OWN.get((thing, direction), ())
    plain += () if thing in NATURE else _MADE[direction]
    asked = _ASKED_OF_ALL[direction] + _ASKED.get((thing, direction), ())
    for template in plain + asked:
        if "{one}" in template:
            for name in SINGULARS[thing]:
                yield template.format(one=name), template in plain and f"{name}s" in TRUE_NAMES[thing]
        elif "{n}" in template or "{many}" in template:
            for name in NAMES[thing]:
                mass = name[0] == "~"
                if not (mass and "{many}" in template):
                    text = in_number(template, one=mass).format(n=name.lstrip("~"), many=name)
                    yield text, template in plain and name in TRUE_NAMES[thing]
        else:
            yield template, template in plain


def spoken(text: str, opener: int) -> str:
    """The sentence as somebody would ask it: `opener` picks one of the openings, many of them empty."""
    return text if _OPENED.match(text) else _OPENERS[opener % len(_OPENERS)] + text


def unopened(text: str) -> str:
    """The sentence without an opening, as `spoken` writes them."""
    return next((text[len(one) :] for one in _OPENERS if one and text.startswith(one)), text)
