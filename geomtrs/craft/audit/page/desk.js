// The desk: an item at a time, a key for each thing one does with it. A decision is on disk before the next is shown.

import { List, make, stateOf } from "./items.js";
import { Mask } from "./mask.js";
import * as server from "./server.js";
import { View } from "./view.js";

const KEYS = [
  ["a", "accept, then the next"], ["r", "reject: 1 … 6 says why, t your own words, Enter without a reason"],
  ["e", "edit the sentence; Enter keeps it, Esc does not"], ["n p", "next, previous"],
  ["u", "undo the last stroke, else the last decision"],
  ["1 2 3", "side by side, swipe, blink"], ["space", "flip between the dates"], ["o", "mask on and off"],
  ["wheel f", "nearer, all of it; drag moves it"],
  ["b x g", "brush, eraser, polygon (Enter closes it, Alt+Enter cuts it out, Backspace takes a corner back)"],
  ["[ ]", "smaller, larger brush"], ["s", "save the mask; what was mended counts as accepted"], ["Esc", "put the tool down"],
];
const REASONS = {
  words: ["the words do not fit", "another kind of change", "the mask holds too much", "the mask holds too little",
    "fits several things", "cannot be told from the pictures"],
  found: ["nothing changed here", "another thing changed", "season, light or shadow", "the dates are shifted",
    "cloud or bad data", "cannot be told from the pictures"],
};
const NOTHING = "nothing here", MISSED = "missed";
const SIZES = [1, 2, 3, 5, 8, 12, 18, 26, 40, 60, 90];

const $ = (id) => document.querySelector(id);
const view = new View($("#stage"));
const drafts = new Map(); // masks that were painted and not saved, by item
let items, list, item, loaded, about, tool = null, size = 4;

about = await server.items();
items = about.items;
document.title = `${about.title} · ${about.auditor}`;
$("#title").textContent = about.title;
$("#who").textContent = about.auditor;
$("#mend").hidden = !about.words;
list = new List(about, (one) => queue(() => show(one)));
counted();
show(items.find((one) => !one.said) ?? items[0]);
await load();
document.documentElement.dataset.ready = Math.round(performance.now()); // ms since its address was asked for

// Its words at once; its pictures when no further key waits, so that whoever leafs through loads none on the way.
function show(one) {
  if (!one) return say("that was the last of these");
  shut();
  [item, loaded] = [one, null]; // shown again, it is loaded again
  Object.assign(view, { pictures: null, mask: null });
  list.select(item);
  told();
}

async function load() {
  const one = item;
  try {
    const [before, after, mask] = await Promise.all([
      server.picture(one, "before"), server.picture(one, "after"), drafts.get(one) ?? server.mask(one)]);
    view.show([before, after], mask instanceof Mask ? mask : new Mask(mask), one.points);
  } catch (error) {
    view.blank();
    say(error.message, true);
  }
  loaded = one;
  painted();
  server.prefetch(list.around(one));
}

function told() {
  const state = stateOf(item);
  const tag = (text, of = "") => make("span", { textContent: text, className: `tag ${of}` });
  $("#tags").replaceChildren(tag(item.kind), ...(item.thing === item.sentence ? [] : [tag(item.thing)]), tag(state, state),
    ...(item.said?.reason ? [tag(item.said.reason, "reason")] : []));
  $("#sentence").textContent = item.said?.sentence ?? item.sentence;
  $("#sentence").classList.toggle("long", $("#sentence").textContent.length > 90);
  $("#note").textContent = item.note + (item.said?.sentence ? ` · was “${item.sentence}”` : "");
  $("#checks").replaceChildren(...item.checks.map((check) =>
    // What a content rule saw is there for who asks: nine of them in full would take the room of the pictures.
    make("li", { className: check.passed ? "" : "failed", title: check.saw },
      make("b", { textContent: check.rule }), check.passed ? "" : ` ${check.saw}`)));
  const nothing = item.kind === NOTHING;
  $("#accept").textContent = nothing ? "nothing here" : "accept";
  $("#reject").textContent = nothing ? "missed" : "reject";
}

function counted() {
  const state = items.map(stateOf), of = (name) => state.filter((one) => one === name).length;
  const rejected = of("rejected"), accepted = of("accepted") + of("mended");
  const number = (n) => n.toLocaleString("en");
  $("#count").textContent = `${number(rejected + accepted)} of ${number(items.length)} decided · `
    + `${number(accepted)} accepted (${number(of("mended"))} mended) · ${number(rejected)} rejected`;
  $("#bar .accept").style.width = `${100 * accepted / items.length}%`;
  $("#bar .reject").style.width = `${100 * rejected / items.length}%`;
}

function say(text, wrong = false) {
  $("#said").textContent = text;
  $("#said").className = wrong ? "wrong" : "";
  $("#said").hidden = !text;
}

// The word on an item as it will stand: what was mended stays mended until it is taken back.
async function decide(verdict, { reason = "", sentence = item.said?.sentence, mask = item.said?.mask } = {}) {
  const given = { item: item.id, verdict, reason, sentence: sentence ?? null, mask: mask ?? null };
  item.said = (await server.decide(given)).said;
  list.draw();
  counted();
  told();
}

async function keepMask() {
  const mask = await server.keepMask(item, await view.mask.png());
  view.mask.before = [];
  drafts.delete(item);
  return mask;
}

async function accept() {
  const nothing = item.kind === NOTHING;
  if (nothing) drafts.delete(item); // "nothing here" contradicts whatever was painted
  else if (view.mask?.changed) await save();
  if (nothing || item.said?.verdict !== "accept") await decide("accept", nothing ? { mask: null } : {});
  show(list.step(item, 1));
}

async function reject(reason) {
  drafts.delete(item);
  await decide("reject", { reason });
  show(list.step(item, 1));
}

async function save() {
  if (!view.mask?.changed) return say("the mask is as it was");
  const mask = await keepMask();
  if (item.kind === NOTHING) await decide("reject", { reason: MISSED, mask });
  else await decide("accept", { mask });
  painted();
}

async function undo() {
  if (view.mask?.changed) {
    view.mask.undo();
    if (!view.mask.changed) drafts.delete(item);
    view.draw();
    return painted();
  }
  const back = await server.undo();
  if (!back.item) return say("nothing to take back");
  const one = items.find(({ id }) => id === back.item);
  one.said = back.said;
  counted();
  show(one);
  say(`taken back: ${stateOf(one)} again`);
}

function ask() {
  if (item.kind === NOTHING) return view.mask?.changed ? save().then(() => show(list.step(item, 1))) : reject(MISSED);
  const reasons = REASONS[item.kind] ?? REASONS.words;
  $("#why ol").replaceChildren(...reasons.map((reason, i) => {
    const button = make("button", { type: "button", textContent: reason });
    button.addEventListener("click", () => queue(() => reject(reason)));
    return make("li", {}, make("kbd", { textContent: i + 1 }), button);
  }));
  $("#why").hidden = false;
}

function shut() {
  say("");
  for (const id of ["#why", "#edit"]) $(id).hidden = true;
  $("#sentence").hidden = false;
  $("#why input").value = "";
  document.activeElement?.blur();
  pick(null);
}

function edit() {
  if (!about.words) return say("the sentence of a run is what was asked");
  $("#edit").value = item.said?.sentence ?? item.sentence;
  $("#edit").hidden = false;
  $("#sentence").hidden = true;
  $("#edit").focus();
}

async function mend() {
  const text = $("#edit").value.trim().replace(/\s+/g, " ");
  if (!text) return say("a sentence has words; reject the item instead", true);
  await decide("accept", { sentence: text === item.sentence ? null : text });
  shut();
}

function pick(wanted) {
  tool = tool === wanted ? null : wanted;
  if (tool) view.overlay = true;
  view.open = [];
  view.cursor = null;
  for (const key of "bxg") $(`[data-key=${key}]`).classList.toggle("on", tool === key);
  view.stage.classList.toggle("painting", Boolean(tool));
  painted();
  view.draw();
}

function painted() {
  $("#save").disabled = !view.mask?.changed;
  $("#save").classList.toggle("on", Boolean(view.mask?.changed));
  $("#size").textContent = `${SIZES[size]} px`;
  $("#overlay").classList.toggle("on", view.overlay);
  for (const [key, mode] of [["1", "side"], ["2", "swipe"], ["3", "blink"]])
    $(`#views [data-key="${key}"]`).classList.toggle("on", view.mode === mode);
}

function close(erasing) {
  if (view.open.length > 2) {
    view.mask.polygon(view.open, erasing);
    drafts.set(item, view.mask);
  }
  view.open = [];
  view.draw();
  painted();
}

const resize = (by) => { size = Math.min(Math.max(size + by, 0), SIZES.length - 1); painted(); };
const as = (mode) => () => { view.as(mode); painted(); };

const DOES = {
  a: accept, r: ask, e: edit, n: () => show(list.step(item, 1)), p: () => show(list.step(item, -1)), u: undo,
  1: as("side"), 2: as("swipe"), 3: as("blink"), " ": () => { view.flip(); painted(); },
  o: () => { view.overlay = !view.overlay; view.draw(); painted(); }, f: () => view.fit(),
  b: () => pick("b"), x: () => pick("x"), g: () => pick("g"), "[": () => resize(-1), "]": () => resize(1), s: save,
  "?": () => $("#keys").showModal(), Escape: shut,
};

function press(key, alt) {
  if ($("#keys").open) return $("#keys").close();
  if (!$("#why").hidden) {
    const button = $(`#why li:nth-child(${/^[1-9]$/.test(key) ? key : 99}) button`);
    if (button) return reject(button.textContent);
    if (key === "t") return $("#why input").focus();
    if (key === "Enter") return reject("");
    return shut();
  }
  if (view.open.length && key === "Enter") return close(alt);
  if (view.open.length && key === "Backspace") { view.open.pop(); return view.draw(); }
  return DOES[key]?.();
}

// Keys wait for their turn: one that is pressed while a decision is written is about what comes after it.
let last = Promise.resolve(), waiting = 0, typing = 0;
function queue(work) {
  waiting += 1;
  last = last.then(work).catch((error) => say(error.message, true)).then(() => {
    waiting -= 1;
    if (!waiting && loaded !== item) return load();
  });
  return last;
}

document.addEventListener("keydown", (event) => {
  const within = event.target.closest?.("textarea, input:not([type=range]), select");
  if (event.ctrlKey || event.metaKey || within || typing) return;
  if (!(event.key in DOES) && !["Enter", "Backspace", "t"].includes(event.key) && !/^\d$/.test(event.key)) return;
  event.preventDefault();
  if (event.repeat && !"np[]".includes(event.key)) return;
  const words = event.key === "e" && $("#why").hidden;
  typing += words; // what follows is meant for the sentence, not for the desk
  queue(() => press(event.key, event.altKey)).finally(() => { typing -= words; });
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-key]");
  if (!button) return;
  button.blur();
  queue(() => press(button.dataset.key));
});

$("#edit").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); queue(mend); }
  if (event.key === "Escape") shut();
});
$("#why").addEventListener("submit", (event) => { event.preventDefault(); const why = $("#why input").value.trim(); queue(() => reject(why)); });
$("#why input").addEventListener("keydown", (event) => { if (event.key === "Escape") shut(); });
$("#split").addEventListener("change", () => $("#split").blur());
$("#keys").append(make("h3", { textContent: "Keys" }), make("dl", {}, ...KEYS.flatMap(([keys, what]) =>
  [make("dt", {}, ...keys.split(" ").map((key) => make("kbd", { textContent: key }))), make("dd", { textContent: what })])));
$("#keys").addEventListener("click", () => $("#keys").close());
addEventListener("beforeunload", (event) => { if (drafts.size) event.preventDefault(); });

for (const { canvas } of view.panes) {
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (!view.pictures || event.button > 1) return;
    canvas.setPointerCapture(event.pointerId);
    const at = view.at(canvas, event);
    if (tool === "g") { view.open.push(at); view.draw(); return; }
    from = tool && event.button === 0 ? at : "moving";
    if (from === "moving") return;
    view.mask.begin();
    view.mask.line(at, at, SIZES[size], tool === "x");
    drafts.set(item, view.mask);
    view.draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!view.pictures) return;
    const at = view.at(canvas, event);
    view.cursor = tool === "b" || tool === "x" ? { at, size: SIZES[size] } : null;
    if (from === "moving" && view.mode === "swipe" && view.scale === view.least) view.wipe(canvas, event);
    else if (from === "moving") view.move(event.movementX, event.movementY);
    else if (from) {
      view.mask.line(from, at, SIZES[size], tool === "x");
      from = at;
    }
    if (tool) view.draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (from && from !== "moving") { view.mask.end(); view.draw(); painted(); }
    from = null;
  });
  canvas.addEventListener("pointerleave", () => { view.cursor = null; if (tool) view.draw(); });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); view.zoom(event.deltaY < 0 ? 1.25 : 0.8, canvas, event); }, { passive: false });
}
