// Both dates on canvases: side by side, one wiped over the other, or one at a time; near or far; with the mask or not.

import { COLOUR } from "./mask.js";

const NEAREST = 4; // canvas pixels a picture's pixel from which no pixel is smoothed away

export class View {
  constructor(stage) {
    this.stage = stage;
    this.panes = [...stage.querySelectorAll("figure")].map((figure) => ({
      canvas: figure.querySelector("canvas"), caption: figure.querySelector("figcaption"),
    }));
    this.split = stage.querySelector("#split");
    Object.assign(this, { mode: "side", date: 1, overlay: true, pictures: null, mask: null, points: [], open: [], cursor: null });
    this.edge = new OffscreenCanvas(1, 1);
    this.split.addEventListener("input", () => this.draw());
    new ResizeObserver(() => this.fit()).observe(stage);
  }

  show(pictures, mask, points) {
    Object.assign(this, { pictures, mask, points, open: [], cursor: null });
    if (this.pair === pictures[0]) this.draw(); // the next sentence about this pair: stay where one looked
    else this.fit();
    this.pair = pictures[0];
  }

  blank() {
    for (const { canvas } of this.panes) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }

  as(mode) {
    this.mode = mode;
    this.stage.className = mode;
    this.fit();
  }

  flip() {
    if (this.mode !== "blink") this.as("blink");
    this.date = 1 - this.date;
    this.draw();
  }

  fit() {
    if (!this.pictures) return;
    for (const { canvas } of this.panes) {
      const box = canvas.parentElement.getBoundingClientRect();
      const size = [box.width, box.height].map((side) => Math.max(1, Math.round(side * devicePixelRatio)));
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    }
    const [{ canvas }] = this.panes, [{ width, height }] = this.pictures;
    this.scale = Math.min(canvas.width / width, canvas.height / height);
    this.least = this.scale;
    this.left = (canvas.width - width * this.scale) / 2;
    this.top = (canvas.height - height * this.scale) / 2;
    this.draw();
  }

  zoom(by, canvas, event) {
    const [x, y] = this.#pixel(canvas, event);
    const scale = Math.min(Math.max(this.scale * by, this.least), this.least * 16);
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    if (scale === this.least) this.fit();
    else this.draw();
  }

  move(across, down) {
    if (this.scale === this.least) return;
    this.left += across * devicePixelRatio;
    this.top += down * devicePixelRatio;
    this.draw();
  }

  wipe(canvas, event) {
    this.split.value = 100 * this.#pixel(canvas, event)[0] / canvas.width;
    this.draw();
  }

  // Where the pointer is in the picture.
  at(canvas, event) {
    const [x, y] = this.#pixel(canvas, event);
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  #pixel(canvas, event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * devicePixelRatio, (event.clientY - box.top) * devicePixelRatio];
  }

  // Once for all that happens before the screen shows it.
  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.#draw();
    });
  }

  #draw() {
    if (!this.pictures) return;
    const shown = { side: [0, 1], swipe: [0], blink: [this.date] }[this.mode];
    shown.forEach((date, i) => this.#pane(this.panes[i], date));
  }

  #pane({ canvas, caption }, date) {
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    caption.textContent = this.mode === "swipe" ? "before | after" : ["before", "after"][date];
    this.#picture(pen, date);
    if (this.mode === "swipe") this.#swipe(pen, canvas);
    if (this.overlay && this.mask) this.#mask(pen, canvas);
    this.#points(pen);
    this.#open(pen);
    if (this.cursor) this.#cursor(pen);
  }

  #picture(pen, date) {
    pen.imageSmoothingEnabled = this.scale < NEAREST;
    pen.imageSmoothingQuality = "high";
    const { width, height } = this.pictures[date];
    pen.drawImage(this.pictures[date], this.left, this.top, width * this.scale, height * this.scale);
  }

  #swipe(pen, canvas) {
    const x = canvas.width * this.split.value / 100;
    pen.save();
    pen.beginPath();
    pen.rect(x, 0, canvas.width - x, canvas.height);
    pen.clip();
    pen.clearRect(x, 0, canvas.width - x, canvas.height);
    this.#picture(pen, 1);
    pen.restore();
    pen.fillStyle = "#fff";
    pen.fillRect(x - 1, 0, 2, canvas.height);
  }

  // A light tint, and an outline that lies outside the mask, dark without and bright within.
  #mask(pen, canvas) {
    const edge = this.edge, line = edge.getContext("2d");
    if (edge.width !== canvas.width || edge.height !== canvas.height) Object.assign(edge, { width: canvas.width, height: canvas.height });
    const { width, height } = this.mask.canvas;
    const lay = (to, dx, dy) =>
      to.drawImage(this.mask.canvas, this.left + dx, this.top + dy, width * this.scale, height * this.scale);
    for (const [wide, colour] of [[3.2, "rgba(0,0,0,.75)"], [1.8, COLOUR]]) {
      line.globalCompositeOperation = "source-over";
      line.clearRect(0, 0, edge.width, edge.height);
      line.imageSmoothingEnabled = false;
      const px = wide * devicePixelRatio;
      for (let i = 0; i < 8; i++) lay(line, px * Math.cos(i * Math.PI / 4), px * Math.sin(i * Math.PI / 4));
      line.globalCompositeOperation = "destination-out";
      lay(line, 0, 0);
      line.globalCompositeOperation = "source-in";
      line.fillStyle = colour;
      line.fillRect(0, 0, edge.width, edge.height);
      pen.drawImage(edge, 0, 0);
    }
    pen.save();
    pen.globalAlpha = 0.16;
    pen.imageSmoothingEnabled = false;
    lay(pen, 0, 0);
    pen.restore();
  }

  #points(pen) {
    for (const [row, column] of this.points) {
      const x = this.left + (column + 0.5) * this.scale, y = this.top + (row + 0.5) * this.scale;
      for (const [colour, wide] of [["rgba(0,0,0,.8)", 4], ["#4fd1ff", 2]]) {
        Object.assign(pen, { strokeStyle: colour, lineWidth: wide * devicePixelRatio });
        pen.beginPath();
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          pen.moveTo(x + dx * 6 * devicePixelRatio, y + dy * 6 * devicePixelRatio);
          pen.lineTo(x + dx * 16 * devicePixelRatio, y + dy * 16 * devicePixelRatio);
        }
        pen.stroke();
      }
    }
  }

  // The polygon that is being set.
  #open(pen) {
    if (!this.open.length) return;
    const corners = this.open.map(([x, y]) => [this.left + x * this.scale, this.top + y * this.scale]);
    pen.beginPath();
    for (const corner of corners) pen.lineTo(...corner);
    for (const [colour, wide] of [["#000", 4], ["#fff", 2]]) {
      Object.assign(pen, { strokeStyle: colour, lineWidth: wide * devicePixelRatio });
      pen.stroke();
    }
    pen.fillStyle = "#fff";
    for (const [x, y] of corners) pen.fillRect(x - 3, y - 3, 6, 6);
  }

  #cursor(pen) {
    const { at: [x, y], size } = this.cursor;
    pen.beginPath();
    pen.arc(this.left + x * this.scale, this.top + y * this.scale, Math.max(1, size * this.scale / 2), 0, 2 * Math.PI);
    for (const [colour, wide] of [["#000", 3], ["#fff", 1.5]]) {
      Object.assign(pen, { strokeStyle: colour, lineWidth: wide * devicePixelRatio });
      pen.stroke();
    }
  }
}
