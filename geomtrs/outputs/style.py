"""How outputs look when QGIS opens them: a default style inside the GeoPackage, `.qml` beside the rasters."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

ANSWER_COLOUR = (230, 0, 110)  # strong on aerial imagery, told apart from green and blue by all common colour blindness
FILL_ALPHA = 89  # 35 %: what lies below stays legible

_LAYER_STYLES = """CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))"""


def polygon_qml(sentence: str) -> str:
    """`polygon_renderer` as the style of a layer."""
    return _qml(polygon_renderer(sentence))


def polygon_renderer(sentence: str) -> str:
    """Outlined, lightly filled polygons, dashed where they touch unobserved ground; the sentence is the legend."""
    fill = ",".join(map(str, (*ANSWER_COLOUR, FILL_ALPHA)))
    line = ",".join(map(str, (*ANSWER_COLOUR, 255)))
    label = quoteattr(sentence)
    return f"""<renderer-v2 type="categorizedSymbol" attr="edge" symbollevels="0" enableorderby="0" forceraster="0">
  <categories>
   <category symbol="0" value="0" label={label} render="true"/>
   <category symbol="1" value="1" label={quoteattr(sentence + " (touches unobserved ground)")} render="true"/>
  </categories>
  <symbols>{_fill(0, fill, line, "solid")}{_fill(1, fill, line, "dash")}</symbols>
 </renderer-v2>"""


def status_renderer(colours: Mapping[str, str]) -> str:
    """Scenes of a batch in the colour of their status, as an outline lightly filled."""
    categories, symbols = [], []
    for number, (status, colour) in enumerate(colours.items()):
        rgb = ",".join(str(int(colour[start : start + 2], 16)) for start in (1, 3, 5))
        categories.append(
            f'<category symbol="{number}" value={quoteattr(status)} label={quoteattr(status)} render="true"/>'
        )
        symbols.append(_fill(number, f"{rgb},40", f"{rgb},255", "solid"))
    return (
        '<renderer-v2 type="categorizedSymbol" attr="status" symbollevels="0" enableorderby="0" forceraster="0">'
        f"<categories>{''.join(categories)}</categories><symbols>{''.join(symbols)}</symbols></renderer-v2>"
    )


def write_layer_styles(gpkg: Path, sentences: dict[str, str]) -> None:
    """Default styles in an existing GeoPackage: `sentences` has the sentence of each layer.

    QGIS takes the row with `useAsDefault` on load. The geometry column is `geom`, as pyogrio names it.
    """
    with closing(sqlite3.connect(gpkg)) as database, database:
        database.execute(_LAYER_STYLES)
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', 0)"
        )
        for layer, sentence in sentences.items():
            database.execute("DELETE FROM layer_styles WHERE f_table_name = ?", (layer,))
            database.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, "
                "styleName, styleQML, styleSLD, useAsDefault, description, owner) "
                "VALUES ('', '', ?, 'geom', ?, ?, '', 1, ?, '')",
                (layer, layer[:30], polygon_qml(sentence), sentence),
            )


def mask_qml(sentence: str) -> str:
    """`mask_pipe` as the style of a layer."""
    return _qml(mask_pipe(sentence))


def mask_pipe(sentence: str) -> str:
    """0 is clear, 1 the answer's colour, named by the sentence."""
    return (
        '<pipe><rasterrenderer type="paletted" band="1" opacity="0.7"><colorPalette>'
        '<paletteEntry value="0" alpha="0" color="#000000" label="unchanged"/>'
        f'<paletteEntry value="1" alpha="255" color="{_hex(ANSWER_COLOUR)}" label={quoteattr(sentence)}/>'
        "</colorPalette></rasterrenderer></pipe>"
    )


def probability_qml(sentence: str) -> str:
    """`probability_pipe` as the style of a layer; the sentence is a remark in it."""
    return _qml(f"{probability_pipe()}<!-- {escape(sentence).replace('--', '- -')} -->")


def probability_pipe() -> str:
    """Clear below 0.1, then growing into the answer's colour; values as QGIS sees them, scaled to 0..1."""
    items = "".join(
        f'<item value="{value}" alpha="{alpha}" color="{colour}" label="{value}"/>'
        for value, alpha, colour in (
            (0, 0, "#ffffff"),
            (0.1, 0, "#fff7bc"),
            (0.5, 180, "#fe9929"),
            (1, 255, _hex(ANSWER_COLOUR)),
        )
    )
    return (
        '<pipe><rasterrenderer type="singlebandpseudocolor" band="1" opacity="0.8" '
        'classificationMin="0" classificationMax="1">'
        f'<rastershader><colorrampshader colorRampType="INTERPOLATED" minimumValue="0" maximumValue="1">{items}'
        "</colorrampshader></rastershader></rasterrenderer></pipe>"
    )


def image_pipe(bands: Sequence[int], low: Sequence[float], high: Sequence[float]) -> str:
    """Three bands as red, green and blue, or one in grey; the lowest value of each is black, the highest full."""
    kind, names = ("multibandcolor", ("red", "green", "blue")) if len(bands) == 3 else ("singlebandgray", ("gray",))
    numbers = " ".join(f'{name}Band="{band}"' for name, band in zip(names, bands, strict=True))
    tags = [f"{name}ContrastEnhancement" for name in names] if len(bands) == 3 else ["contrastEnhancement"]
    ranges = "".join(
        f"<{tag}><minValue>{least!r}</minValue><maxValue>{most!r}</maxValue>"
        f"<algorithm>StretchToMinimumMaximum</algorithm></{tag}>"
        for tag, least, most in zip(tags, low, high, strict=True)
    )
    return f'<pipe><rasterrenderer type="{kind}" opacity="1" alphaBand="-1" {numbers}>{ranges}</rasterrenderer></pipe>'


def _fill(number: int, fill: str, line: str, dash: str) -> str:
    return f"""<symbol type="fill" name="{number}" alpha="1" clip_to_extent="1" force_rhr="0">
   <layer class="SimpleFill" enabled="1" locked="0" pass="0">
    <prop k="color" v="{fill}"/><prop k="style" v="solid"/><prop k="outline_color" v="{line}"/>
    <prop k="outline_style" v="{dash}"/><prop k="outline_width" v="0.5"/><prop k="outline_width_unit" v="MM"/>
    <prop k="joinstyle" v="miter"/>
   </layer></symbol>"""


def _qml(look: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        f'<qgis version="3.22" styleCategories="Symbology">{look}</qgis>\n'
    )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
