"""How outputs look when QGIS opens them: a default style inside the GeoPackage, `.qml` beside the rasters."""

from __future__ import annotations

import sqlite3
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
    """Outlined, lightly filled polygons, dashed where they touch unobserved ground; the sentence is the legend."""
    fill = ",".join(map(str, (*ANSWER_COLOUR, FILL_ALPHA)))
    line = ",".join(map(str, (*ANSWER_COLOUR, 255)))

    def symbol(number: int, dash: str) -> str:
        return f"""<symbol type="fill" name="{number}" alpha="1" clip_to_extent="1" force_rhr="0">
   <layer class="SimpleFill" enabled="1" locked="0" pass="0">
    <prop k="color" v="{fill}"/><prop k="style" v="solid"/><prop k="outline_color" v="{line}"/>
    <prop k="outline_style" v="{dash}"/><prop k="outline_width" v="0.5"/><prop k="outline_width_unit" v="MM"/>
    <prop k="joinstyle" v="miter"/>
   </layer></symbol>"""

    label = quoteattr(sentence)
    return f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22" styleCategories="Symbology">
 <renderer-v2 type="categorizedSymbol" attr="edge" symbollevels="0" enableorderby="0" forceraster="0">
  <categories>
   <category symbol="0" value="0" label={label} render="true"/>
   <category symbol="1" value="1" label={quoteattr(sentence + " (touches unobserved ground)")} render="true"/>
  </categories>
  <symbols>{symbol(0, "solid")}{symbol(1, "dash")}</symbols>
 </renderer-v2>
</qgis>
"""


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
    """0 is clear, 1 the answer's colour, named by the sentence."""
    return _raster_qml(
        '<rasterrenderer type="paletted" band="1" opacity="0.7"><colorPalette>'
        '<paletteEntry value="0" alpha="0" color="#000000" label="unchanged"/>'
        f'<paletteEntry value="1" alpha="255" color="{_hex(ANSWER_COLOUR)}" label={quoteattr(sentence)}/>'
        "</colorPalette></rasterrenderer>"
    )


def probability_qml(sentence: str) -> str:
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
    return _raster_qml(
        '<rasterrenderer type="singlebandpseudocolor" band="1" opacity="0.8" '
        'classificationMin="0" classificationMax="1">'
        f'<rastershader><colorrampshader colorRampType="INTERPOLATED" minimumValue="0" maximumValue="1">{items}'
        f"</colorrampshader></rastershader></rasterrenderer><!-- {escape(sentence).replace('--', '- -')} -->"
    )


def _raster_qml(renderer: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        f'<qgis version="3.22" styleCategories="Symbology"><pipe>{renderer}</pipe></qgis>\n'
    )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
