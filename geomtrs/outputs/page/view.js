"use strict";
// Three spaces: pixels of the raster (where outlines and pictures lie), CSS pixels of the canvas, and the ground.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const grid = data.grid, canvas = at("ground"), pen = canvas.getContext("2d");
const field = Object.fromEntries(data.fields.map((name, index) => [name, index + 1]));  // 0 is the outline's number
const colour = (alpha) => `rgba(${data.colour.join(",")},${alpha})`;
const paths = data.outlines.map(outline);
const pictures = data.pictures.map((source) => { const made = new Image(); made.onload = later; made.src = source; return made; });
// zoom: CSS pixels a row; x, y: where the raster's corner lies; cut: the divider, as a share of the width.
const view = { zoom: 1, x: 0, y: 0, cut: 0.5 };
let answer = null, near = null, chosen = null, waiting = false;

function outline(rings) {
  const path = new Path2D(), box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      const x = ring[i] * data.step, y = ring[i + 1] * data.step;
      if (i) path.lineTo(x, y); else path.moveTo(x, y);
      box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x); box[3] = Math.max(box[3], y);
    }
    path.closePath();
  }
  return { path, box };
}

const matrix = () => new DOMMatrix([view.zoom * grid.aspect, 0, 0, view.zoom, view.x, view.y]);
const toRaster = (x, y) => [(x - view.x) / (view.zoom * grid.aspect), (y - view.y) / view.zoom];

function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function draw() {
  const width = canvas.clientWidth, height = canvas.clientHeight, sharp = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * sharp); canvas.height = Math.round(height * sharp);
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  const [before, after] = data.pairs[answer.pair], cut = view.cut * width;
  drawPicture(pictures[before], 0, cut, height);
  drawPicture(pictures[after], cut, width - cut, height);
  if (at("shown").checked) drawAnswer();
  at("divider").style.left = `${cut}px`;
  at("divider").setAttribute("aria-valuenow", Math.round(view.cut * 100));
  drawScale();
}

function drawPicture(picture, left, width, height) {
  if (!picture || !picture.complete || width <= 0) return;
  pen.save();
  pen.beginPath(); pen.rect(left, 0, width, height); pen.clip();
  pen.imageSmoothingEnabled = view.zoom * grid.height < 3 * picture.naturalHeight;  // closer: pixels as they are
  pen.drawImage(picture, view.x, view.y, grid.width * grid.aspect * view.zoom, grid.height * view.zoom);
  pen.restore();
}

function drawAnswer() {
  const strength = at("strength").value / 100, all = new Path2D(), place = matrix();
  for (const row of answer.rows) all.addPath(paths[row[0]].path, place);
  pen.lineJoin = "round";
  pen.fillStyle = colour(strength); pen.fill(all, "evenodd");
  pen.strokeStyle = "rgba(255,255,255,.6)"; pen.lineWidth = 3; pen.stroke(all);
  pen.strokeStyle = colour(1); pen.lineWidth = 1.5; pen.stroke(all);
  for (const row of [chosen, near]) {
    if (!row) continue;
    const one = new Path2D(); one.addPath(paths[row[0]].path, place);
    pen.strokeStyle = "#fff"; pen.lineWidth = 7; pen.stroke(one);
    pen.strokeStyle = colour(1); pen.lineWidth = 3.5; pen.stroke(one);
  }
}

function drawScale() {
  at("scale").hidden = !grid.metres;
  if (!grid.metres) return;
  const metre = view.zoom / grid.metres, most = 140 / metre, power = 10 ** Math.floor(Math.log10(most));
  const length = Math.max(...[1, 2, 5].map((step) => step * power).filter((step) => step <= most * 1.000001));
  const said = length >= 1000 ? [length / 1000, "km"] : length >= 1 ? [length, "m"] : [length * 100, "cm"];
  at("scale").firstElementChild.style.width = `${length * metre}px`;
  at("scale").firstElementChild.textContent = `${Number(said[0].toPrecision(2))} ${said[1]}`;
}

// --- where ---

function degrees(x, y) {
  const { n, lon, lat } = grid.lattice, u = x / grid.width * n, v = y / grid.height * n;
  const i = Math.min(n - 1, Math.max(0, Math.floor(u))), j = Math.min(n - 1, Math.max(0, Math.floor(v)));
  const corners = [j * (n + 1) + i, j * (n + 1) + i + 1, (j + 1) * (n + 1) + i, (j + 1) * (n + 1) + i + 1];
  const mix = (values) => {
    const [a, b, c, d] = corners.map((corner) => values[corner]);
    return [a, b, c, d].includes(null) ? NaN : (a * (1 - u + i) + b * (u - i)) * (1 - v + j) + (c * (1 - u + i) + d * (u - i)) * (v - j);
  };
  return [((mix(lon) + 540) % 360 + 360) % 360 - 180, mix(lat)];
}

function placeText(x, y) {
  if (x < 0 || y < 0 || x > grid.width || y > grid.height) return "";
  if (!grid.lattice) return `column ${Math.floor(x)}, row ${Math.floor(y)}`;
  const [lon, lat] = degrees(x, y), [a, b, c, d, e, f] = grid.transform;
  const digits = Math.abs(a) + Math.abs(b) < 0.01 ? 6 : 1;
  const ground = [a * x + b * y + c, d * x + e * y + f].map((value) => value.toFixed(digits)).join(", ");
  const sphere = Number.isFinite(lon + lat) ? `lon ${lon.toFixed(5)}, lat ${lat.toFixed(5)} · ` : "";
  return `${sphere}${grid.crs} ${ground}`;
}

// --- what ---

function area(row) {
  const size = row[field.area_m2];
  const told = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (size === null) return `${told(row[field.area_px], 0)} px`;
  return size < 1e4 ? `${told(size, 0)} m²` : size < 1e6 ? `${told(size / 1e4, 1)} ha` : `${told(size / 1e6, 1)} km²`;
}

function found(x, y) {
  if (!at("shown").checked) return null;
  const [px, py] = toRaster(x, y), loose = 4 / view.zoom;  // a thing of a few pixels is met beside it, too
  pen.setTransform(1, 0, 0, 1, 0, 0);
  const near = answer.rows.filter((row) => {
    const [left, top, right, bottom] = paths[row[0]].box;
    return px >= left - loose && px <= right + loose && py >= top - loose && py <= bottom + loose;
  });
  return near.find((row) => pen.isPointInPath(paths[row[0]].path, px, py, "evenodd"))
    || near.find((row) => (paths[row[0]].box[3] - paths[row[0]].box[1]) * view.zoom < 8) || null;
}

function choose(row, { go = false } = {}) {
  chosen = row;
  mark();
  const facts = at("facts");
  facts.replaceChildren();
  facts.hidden = !row;
  if (row) {
    const [before, after] = data.pairs[answer.pair].map((index) => data.dates[index] ?? "unknown");
    const told = { ...Object.fromEntries(data.fields.map((name) => [name, row[field[name]]])), date_from: before, date_to: after };
    for (const [name, value] of Object.entries(told)) {
      facts.append(Object.assign(document.createElement("dt"), { textContent: name }),
        Object.assign(document.createElement("dd"), { textContent: value === null ? "none" : typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 3 }) : value }));
    }
    if (go) show(paths[row[0]].box, 0.35);
    else rowOf(row)?.scrollIntoView({ block: "nearest" });
  }
  later();
}

const rowOf = (row) => document.querySelector(`tbody tr[data-outline="${row[0]}"]`);

function mark() {
  for (const [row, name] of [[near, "near"], [chosen, "chosen"]]) {
    document.querySelectorAll(`tbody .${name}`).forEach((line) => line.classList.remove(name));
    if (row) rowOf(row)?.classList.add(name);
  }
}

function point(row) {
  if (near === row) return;
  near = row;
  mark();
  later();
}

function ask() {
  const text = data.answers[at("sentence").value].text, pair = Number(at("pair").value);
  answer = data.answers.find((one) => one.text === text && one.pair === pair);
  near = null;
  choose(null);
  const [before, after] = data.pairs[pair].map((index) => data.dates[index]);
  at("before").textContent = before ? `before · ${before}` : "before";
  at("after").textContent = after ? `after · ${after}` : "after";
  at("title").textContent = `“${text}”`;
  const total = answer.rows.reduce((sum, row) => sum.map((part, i) => part + row[[0, field.area_m2, field.area_px][i]]), [0, 0, 0]);
  const sum = []; sum[field.area_m2] = grid.metres ? total[1] : null; sum[field.area_px] = total[2];
  const count = answer.rows.length;
  at("total").textContent = count ? `${count.toLocaleString("en")} polygon${count > 1 ? "s" : ""} · ${area(sum)}` : "nothing found";
  document.querySelector("tbody").replaceChildren(...answer.rows.map(line));
  document.querySelector("thead").hidden = !count;
  later();
}

function line(row) {
  const made = document.createElement("tr");
  made.dataset.outline = row[0];
  made.tabIndex = 0;
  for (const text of [row[field.id], area(row), row[field.prob_mean].toFixed(2)]) {
    made.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  made.onpointerenter = () => point(row);
  made.onpointerleave = () => point(null);
  made.onclick = () => choose(row, { go: true });
  made.onkeydown = (event) => { if (event.key === "Enter") choose(row, { go: true }); };
  return made;
}

// --- moving ---

function show([left, top, right, bottom], share) {
  const width = Math.max(right - left, 1) * grid.aspect, height = Math.max(bottom - top, 1);
  const zoom = Math.min(canvas.clientWidth / width, canvas.clientHeight / height) * share;
  view.zoom = share < 1 ? Math.min(zoom, 24) : zoom;
  const middle = (length, begin, end, all) => {  // no empty ground beside a scene that fills the map
    const wanted = length / 2 - (begin + end) / 2 * view.zoom, least = length - all * view.zoom;
    return least < 0 ? Math.min(0, Math.max(least, wanted)) : least / 2;
  };
  view.x = middle(canvas.clientWidth, left * grid.aspect, right * grid.aspect, grid.width * grid.aspect);
  view.y = middle(canvas.clientHeight, top, bottom, grid.height);
  later();
}

const whole = () => show([0, 0, grid.width, grid.height], 1);

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const least = 0.5 * Math.min(canvas.clientWidth / (grid.width * grid.aspect), canvas.clientHeight / grid.height);
  const wanted = Math.min(64, Math.max(least, view.zoom * factor)), by = wanted / view.zoom;
  view.zoom = wanted;
  view.x = x - (x - view.x) * by;
  view.y = y - (y - view.y) * by;
  later();
}

let hold = null;
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  hold = { x: event.offsetX, y: event.offsetY, moved: false };
};
canvas.onpointermove = (event) => {
  const { offsetX: x, offsetY: y } = event;
  at("pointer").textContent = placeText(...toRaster(x, y));
  if (!hold) {
    point(found(x, y));
    canvas.classList.toggle("over", near !== null);
    return;
  }
  hold.moved ||= Math.hypot(x - hold.x, y - hold.y) > 3;
  if (!hold.moved) return;
  canvas.classList.add("moving");
  view.x += x - hold.x; view.y += y - hold.y;
  hold.x = x; hold.y = y;
  later();
};
canvas.onpointerup = (event) => {
  if (hold && !hold.moved) choose(found(event.offsetX, event.offsetY));
  hold = null;
  canvas.classList.remove("moving");
};
canvas.onpointercancel = () => { hold = null; };
canvas.onpointerleave = () => { point(null); at("pointer").textContent = ""; };
canvas.addEventListener("wheel", (event) => {
  if (!document.hasFocus() && !event.ctrlKey) return;  // a page around this one scrolls past, until the map is clicked
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
}, { passive: false });
canvas.onkeydown = (event) => {
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  if (step) { view.x += step[0]; view.y += step[1]; later(); }
  else if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else return;
  event.preventDefault();
};

const divider = at("divider");
const swipe = (share) => { view.cut = Math.min(1, Math.max(0, share)); later(); };
divider.onpointerdown = (event) => divider.setPointerCapture(event.pointerId);
divider.onpointermove = (event) => {
  if (divider.hasPointerCapture(event.pointerId)) swipe((event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth);
};
divider.onkeydown = (event) => {
  const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
  if (step) { swipe(view.cut + step); event.preventDefault(); }
};

// --- begin ---

function options(select, texts) {
  select.replaceChildren(...texts.map(([value, text]) => new Option(text, value)));
  select.parentElement.hidden = texts.length < 2;
}
const sentences = [...new Set(data.answers.map((one) => one.text))];
options(at("sentence"), sentences.map((text) => [data.answers.findIndex((one) => one.text === text), text]));
options(at("pair"), data.pairs.map((pair, number) =>
  [number, pair.map((index) => data.dates[index] ?? `date ${index + 1}`).join(" → ")]));
at("sentence").onchange = at("pair").onchange = ask;
at("shown").onchange = at("strength").oninput = later;
at("closer").onclick = () => zoom(1.5);
at("farther").onclick = () => zoom(1 / 1.5);
at("whole").onclick = whole;
at("notes").textContent = data.notes.join("\n");
if (grid.north) {
  const angle = Math.atan2(grid.north[0] * grid.aspect, -grid.north[1]) * 180 / Math.PI;
  at("north").style.transform = `rotate(${angle}deg)`;
} else at("north").remove();
let size = null;  // what the canvas had; a page that is resized keeps its middle
new ResizeObserver(() => {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (size) { view.x += (width - size[0]) / 2; view.y += (height - size[1]) / 2; } else whole();
  size = [width, height];
  later();
}).observe(canvas);
ask();
