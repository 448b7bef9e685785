// The list at the side: what passes the filters, of which only the rows in sight are built.

const ROW = 66; // px, as in desk.css

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const stateOf = ({ said }) =>
  !said ? "undecided" : said.verdict === "reject" ? "rejected" : said.sentence || said.mask ? "mended" : "accepted";

const failed = (item) => item.checks.filter((check) => !check.passed).map((check) => check.rule);

const NOBODY = "nobody";

function filters(me) {
  return {
    kind: (item) => [item.kind],
    class: (item) => [item.thing],
    "failed check": (item) => { const rules = failed(item); return rules.length ? ["any", ...rules] : ["none"]; },
    decision: (item) => [stateOf(item)],
    "decided by": (item) => { const by = [...(item.said ? [me] : []), ...item.by]; return by.length ? by : [NOBODY]; },
  };
}

export class List {
  constructor({ items, auditor, words }, chosen) {
    this.items = items;
    this.of = filters(auditor);
    this.words = words; // sentences tell items apart; of a run they are all the same
    this.chosen = chosen;
    this.box = document.querySelector("#list");
    this.rows = document.querySelector("#rows");
    this.form = document.querySelector("#filters");
    const varies = ([name, values]) => name.startsWith("deci") || new Set(items.flatMap(values)).size > 1;
    this.of = Object.fromEntries(Object.entries(this.of).filter(varies)); // what all share filters nothing
    this.form.append(...Object.keys(this.of).map((name) =>
      make("label", {}, make("span", { textContent: name }), make("select", { name }))));
    this.form.addEventListener("change", (event) => {
      this.filter();
      event.target.blur(); // the keys are the desk's again
      if (this.shown.length) this.chosen(this.shown[0]);
    });
    this.box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest("[data-at]");
      if (row) this.chosen(this.shown[row.dataset.at]);
    });
    this.filter();
  }

  // What is shown stays as it is until a filter is changed: nothing jumps away under the hand that decides it.
  filter() {
    const wanted = Object.fromEntries(new FormData(this.form));
    const passes = (item, but) =>
      Object.entries(this.of).every(([name, values]) => name === but || !wanted[name] || values(item).includes(wanted[name]));
    this.shown = this.items.filter((item) => passes(item));
    for (const [name, values] of Object.entries(this.of)) {
      const counts = new Map();
      for (const item of this.items) if (passes(item, name)) for (const value of values(item)) counts.set(value, (counts.get(value) ?? 0) + 1);
      if (wanted[name] && !counts.has(wanted[name])) counts.set(wanted[name], 0);
      const options = [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([value, count]) =>
        make("option", { value, textContent: `${value} (${count})`, selected: value === wanted[name] }));
      this.form.elements[name].replaceChildren(make("option", { value: "", textContent: "all" }), ...options);
    }
    const all = this.shown.length === this.items.length;
    document.querySelector("#listed").textContent = all ? `${this.items.length.toLocaleString("en")} items`
      : `${this.shown.length.toLocaleString("en")} of ${this.items.length.toLocaleString("en")} items`;
    this.rows.style.height = `${this.shown.length * ROW}px`;
    this.draw();
  }

  select(item) {
    this.current = item;
    const at = this.shown.indexOf(item);
    if (at >= 0) {
      const top = at * ROW, { scrollTop, clientHeight } = this.box;
      if (top < scrollTop || top + 2 * ROW > scrollTop + clientHeight) this.box.scrollTop = top - clientHeight / 3;
    }
    this.draw();
  }

  // The items after and before one, in what is shown.
  around(item, after = 3, before = 1) {
    const at = this.shown.indexOf(item);
    return [...this.shown.slice(at + 1, at + 1 + after), ...this.shown.slice(Math.max(0, at - before), Math.max(0, at))];
  }

  step(item, by) { return this.shown[this.shown.indexOf(item) + by]; }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 4);
    const last = Math.min(this.shown.length, first + Math.ceil(this.box.clientHeight / ROW) + 8);
    this.rows.replaceChildren(...this.shown.slice(first, last).map((item, i) => this.#row(item, first + i)));
  }

  #row(item, at) {
    const rules = failed(item);
    const row = make("div", { className: `row ${stateOf(item)}` + (item === this.current ? " current" : "") },
      make("b", { textContent: this.words ? item.said?.sentence ?? item.sentence : item.note }),
      make("small", {}, `${item.kind} · ${item.thing}`,
        ...(rules.length ? [make("em", { textContent: ` · fails ${rules.join(", ")}` })] : [])));
    row.dataset.at = at;
    row.style.top = `${at * ROW}px`;
    return row;
  }
}
