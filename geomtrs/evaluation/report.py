"""An evaluation for readers: report.json for programs, table.md for text, report.html and contact.png for eyes."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geomtrs.evaluation.gallery import ANSWER, SHEET, TRUTH, Gallery, Picture, sheet
from geomtrs.evaluation.measures import FEW_PLACES, Calibration, Group, Mean, Measures
from geomtrs.evaluation.metrics import PRECISION_AT, Score
from geomtrs.outputs.encoding import data_uri, jpeg

PICTURES_BYTES = 3_000_000  # of all pictures in the page together, as they stand in it
QUALITIES = (80, 65, 50, 35, 20)

_STYLE = """
:root { --line: #d0d5dd; --faint: #667085; }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2939; background: #fff; max-width: 1160px;
  margin: 1.5rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .3rem }
p { margin: .3rem 0 .7rem; max-width: 75ch } .faint { color: var(--faint) }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left; white-space: normal; min-width: 8.5rem }
th { font-weight: 600; vertical-align: bottom }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem } svg { width: 300px; max-width: 100%; height: auto }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 1.1rem .9rem }
figure { margin: 0 } figure div { display: flex; gap: 2px } figure img { width: calc(50% - 1px); height: auto }
figcaption { font-size: .85rem; line-height: 1.35; margin-top: .2rem; overflow-wrap: anywhere }
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a heading and a line on what its figures mean."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def write_report(
    folder: Path, measures: Measures, gallery: Gallery, facts: Mapping[str, object], *, title: str
) -> tuple[Path, ...]:
    """The four files in `folder`, which is made; `facts` say what was evaluated on what, and stand in all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = tables(measures)
    contact = folder / "contact.png"
    sheet(gallery.drawn).save(contact)
    document = {**facts, "measures": measures.to_dict()}
    return (
        *write_tables(folder, document, shown, facts, title=title),
        _write(folder / "report.html", page(measures, gallery, shown, facts, title=title)),
        contact,
    )


def write_tables(
    folder: Path, document: Mapping[str, object], shown: Sequence[Table], facts: Mapping[str, object], *, title: str
) -> tuple[Path, ...]:
    """report.json and table.md."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    lines = [f"# {title}", "", _said(facts), ""]
    return (
        _write(folder / "report.json", text),
        _write(folder / "table.md", "\n".join(lines + [markdown(table) for table in shown])),
    )


def tables(measures: Measures) -> tuple[Table, ...]:
    """All tables of an evaluation, the shortest account first."""
    scores = [measures.all, *([measures.with_target] if measures.with_target else [])]
    return (
        Table(
            "Masks",
            "The published figures, in per cent, of pixels whose labels are known. An absent thing that is answered "
            f"empty counts as 100. Intervals of 95 % over places; with fewer than {FEW_PLACES} places there is none.",
            _SCORES,
            tuple(_scores(group) for group in scores),
        ),
        Table("What an analyst asks", "", ("", "value", "95 %", "cases"), _questions(measures)),
        Table("By kind of sentence", "", _SCORES, tuple(_scores(group) for group in measures.kinds)),
        Table("By set", "", _SCORES, tuple(_scores(group) for group in measures.sets)),
        *(
            [
                Table(
                    "Area",
                    "Predicted over true area of all cases of a thing; interval over places.",
                    ("thing", "predicted / true", "95 %", "cases"),
                    tuple(
                        (area.thing, _number(area.ratio), _between(area.low, area.high), str(area.cases))
                        for area in measures.areas
                    ),
                )
            ]
            if measures.areas
            else []
        ),
    )


def bench_table(rows: Mapping[str, Measures]) -> Table:
    """A row a model, the same cases for all."""
    lines = []
    for name, measures in rows.items():
        target = measures.with_target
        lines.append(
            (
                name,
                _percent(measures.all.miou.value),
                _interval(measures.all.miou),
                _percent(target.score.miou if target else None),
                _percent(target.score.oiou if target else None),
                _percent(target.score.precision[0] if target else None),
                *(_percent(mean.value) for mean in (measures.swap, measures.sentence, measures.absence)),
                _percent(measures.swapped_empty.value),
                _percent(measures.paraphrase_gap.value),
                _number(measures.pixels.ece, 3),
                f"{measures.seconds_per_pair:.2f}",
            )
        )
    head = (
        "model", "mIoU", "95 %", "mIoU, target", "oIoU, target", "Pr@50, target", "swap", "sentence", "absence",
        "swapped empty", "paraphrase gap", "ECE", "s per pair",
    )  # fmt: skip
    note = "Per cent, but for the last two columns. Target: without absent things. The other columns as in each report."
    return Table("Models on the same cases", note, head, tuple(lines))


def published_table(name: str, score: Score) -> Table:
    """The published figures with two decimals, as they are printed."""
    values = (score.miou, score.oiou, *score.precision, score.miou_of_nonempty)
    counts = (score.samples, score.empty_targets, score.empty_both)
    return Table(
        "Published protocol",
        "Scored in the 1024 letterbox, padding included; each sentence is a sample; empty for empty counts as 100.",
        ("", "mIoU", "oIoU", *(f"Pr@{at * 100:.0f}" for at in PRECISION_AT), "mIoU, target", "sentences", "absent",
         "absent answered empty"),
        ((name, *(f"{value * 100:.2f}" for value in values), *(str(count) for count in counts)),),
    )  # fmt: skip


def markdown(table: Table) -> str:
    """As GitHub and others read it."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (table.head, *table.rows)]
    rule = ["---", *["---:"] * (len(table.head) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
    note = [table.note, ""] if table.note else []
    return "\n".join([f"## {table.title}", "", *note, *lines, ""])


def page(
    measures: Measures, gallery: Gallery, shown: Sequence[Table], facts: Mapping[str, object], *, title: str
) -> str:
    """The whole page; nothing in it comes from elsewhere."""
    sections = [("The worst", gallery.worst), ("The best", gallery.best), (f"A draw of {SHEET}", gallery.drawn)]
    quality = _quality([picture for _, pictures in sections for picture in pictures])
    marks = " ".join(
        f'<span style="color:rgb{colour}">■</span> {name}' for name, colour in (("truth", TRUTH), ("answer", ANSWER))
    )
    legend = (
        f"<h2>Cases</h2><p>{marks} · left before, right after · faded: not known · shown around what is marked, else "
        "the whole</p>"
    )
    cases = legend + "".join(
        f"<h2>{heading}</h2><div class='cases'>{''.join(_figure(one, quality) for one in pictures)}</div>"
        for heading, pictures in sections
        if pictures
    )
    plots = "".join(
        f"<div><b>{name}</b><br>{reliability_svg(found)}</div>"
        for name, found in (("Pixels", measures.pixels), ("Existence", measures.existence))
        if found.ece is not None
    )
    calibrated = (
        "<h2>Calibration</h2><p>Of what was said with a probability, how much held. On the line what is said is what "
        f"holds; the bars show how often each was said.</p><div class='plots'>{plots}</div>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
        f"<p class='faint'>{html.escape(_said(facts))}</p>{''.join(_html(table) for table in shown)}"
        f"{calibrated if plots else ''}{cases}</body></html>\n"
    )


def reliability_svg(found: Calibration) -> str:
    """Said against held, 0 to 1, with a bar for how many lie in each bin (by the root, so that few are seen)."""
    side, pad = 240, 34
    most = max(found.count) or 1
    width = side / len(found.count)
    bars = "".join(
        f'<rect x="{pad + i * width + 1:.1f}" y="{pad + side - (height := side * 0.25 * (n / most) ** 0.5):.1f}" '
        f'width="{width - 2:.1f}" height="{height:.1f}" fill="#d0d5dd"/>'
        for i, n in enumerate(found.count)
    )
    points = [
        (pad + side * said, pad + side * (1 - held))
        for said, held in zip(found.said, found.held, strict=True)
        if said is not None and held is not None
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="#175cd3"/>' for x, y in points)
    ticks = "".join(
        f'<text x="{pad + side * v:.0f}" y="{pad + side + 14}" text-anchor="middle">{v:g}</text>'
        f'<text x="{pad - 5}" y="{pad + side * (1 - v) + 4:.0f}" text-anchor="end">{v:g}</text>'
        for v in (0, 0.5, 1)
    )
    return (
        f'<svg viewBox="0 0 {side + 2 * pad} {side + 2 * pad}" font-size="11" fill="#1d2939" role="img" '
        f'aria-label="reliability diagram"><rect x="{pad}" y="{pad}" width="{side}" height="{side}" fill="none" '
        f'stroke="#98a2b3"/>{bars}<line x1="{pad}" y1="{pad + side}" x2="{pad + side}" y2="{pad}" stroke="#98a2b3" '
        f'stroke-dasharray="4 3"/><polyline points="{line}" fill="none" stroke="#175cd3" stroke-width="1.5"/>{dots}'
        f'{ticks}<text x="{pad + side / 2:.0f}" y="{pad + side + 29}" text-anchor="middle">said</text>'
        f'<text x="{pad}" y="{pad - 8}">held · ECE {found.ece or 0:.3f}</text></svg>'
    )


_SCORES = ("", "mIoU", "95 %", "oIoU", *(f"Pr@{at * 100:.0f}" for at in PRECISION_AT), "cases", "absent", "places")


def _scores(group: Group) -> tuple[str, ...]:
    score = group.score
    shares = (_percent(value) for value in (score.oiou, *score.precision))
    counts = (score.samples, score.empty_targets, group.miou.places)
    return group.name, _percent(score.miou), _interval(group.miou), *shares, *(str(count) for count in counts)


def _questions(measures: Measures) -> tuple[tuple[str, ...], ...]:
    polygons = measures.false_polygons
    best = "" if measures.sentence_of_perfect is None else f"; perfect {_percent(measures.sentence_of_perfect)}"
    means = (
        ("swap score: IoU where the swapped order is answered empty, else 0", measures.swap),
        ("swapped order answered empty", measures.swapped_empty),
        (f"sentence score: mIoU less that with another true sentence{best}", measures.sentence),
        ("absent things answered empty", measures.absence),
        ("mIoU of words that training has seen, where the pair was asked the same in others too", measures.seen),
        ("mIoU of those others, kept out of training: same pairs, same meaning", measures.held_out),
        ("paraphrase gap: the latter less the former, case by case", measures.paraphrase_gap),
        *(
            (
                ("mIoU of whole pictures that were cut into tiles too", measures.whole),
                ("tiled less whole, case by case", measures.tiling_gap),
            )
            if measures.tiled.cases
            else ()
        ),
    )
    rows = [(name, _percent(mean.value), _interval(mean), str(mean.cases)) for name, mean in means]
    rows.append(("false area where nothing is, m² per km²", _number(measures.false_m2_per_km2, 0), "", ""))
    between = "" if polygons.low is None else _between(polygons.low, polygons.high)
    name = "false polygons where nothing is, per 512 × 512 px"
    rows.append((name, _number(polygons.value), between, str(measures.absence.cases)))
    for name, found in (("pixels", measures.pixels), ("existence", measures.existence)):
        rows.append((f"calibration error (ECE), {name}", _number(found.ece, 3), "", ""))
    rows.append(("model time, s per pair", _number(measures.seconds_per_pair), "", ""))
    return tuple(rows)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:z.1f}"


def _number(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{value:z,.{places}f}"


def _between(low: float | None, high: float | None) -> str:
    return "too few" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _interval(mean: Mean) -> str:
    if mean.value is None:
        return ""
    if mean.low is None or mean.high is None:
        return "too few"
    return f"{mean.low * 100:.1f} to {mean.high * 100:.1f}"


def _said(facts: Mapping[str, object]) -> str:
    return " · ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items() if value is not None)


def _html(table: Table) -> str:
    head, *rows = (
        "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
        for tag, row in (("th", table.head), *(("td", row) for row in table.rows))
    )
    note = f"<p class='faint'>{html.escape(table.note)}</p>" if table.note else ""
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    title = html.escape(table.title)
    return f"<h2>{title}</h2>{note}<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _quality(pictures: Sequence[Picture]) -> int:
    """The best at which all pictures fit into PICTURES_BYTES."""
    for quality in QUALITIES:
        size = sum(
            len(jpeg(date, quality=quality, sharp=True))
            for picture in pictures
            for date in (picture.before, picture.after)
        )
        if size * 4 / 3 <= PICTURES_BYTES:  # base64 writes three bytes as four letters
            return quality
    return QUALITIES[-1]


def _figure(picture: Picture, quality: int) -> str:
    dates = "".join(
        f'<img alt="{name}" src="{data_uri(jpeg(date, quality=quality, sharp=True), "jpeg")}">'
        for name, date in (("before", picture.before), ("after", picture.after))
    )
    caption = f"{html.escape(picture.sentence)}<br><span class='faint'>{html.escape(picture.caption)}</span>"
    return f"<figure><div>{dates}</div><figcaption>{caption}</figcaption></figure>"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
