// A mask that can be painted: opaque where it is, with every stroke to be taken back.

export const COLOUR = "#ffd23f";
const STEPS = 30; // strokes that can be taken back

export class Mask {
  constructor(bitmap) {
    this.canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.pen.drawImage(bitmap, 0, 0);
    this.#sharpen((data, i) => data[i]);
    this.before = [];
  }

  get changed() { return this.before.length > 0; }

  // Every pixel is in or out: no stroke leaves soft edges behind.
  #sharpen(value) {
    const image = this.pen.getImageData(0, 0, this.canvas.width, this.canvas.height);
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(COLOUR.slice(at, at + 2), 16));
    for (let i = 0; i < image.data.length; i += 4) {
      const inside = value(image.data, i) > 127;
      image.data.set(inside ? [red, green, blue, 255] : [0, 0, 0, 0], i);
    }
    this.pen.putImageData(image, 0, 0);
  }

  begin() {
    this.before.push(this.pen.getImageData(0, 0, this.canvas.width, this.canvas.height));
    if (this.before.length > STEPS) this.before.splice(1, 1); // the first is what it was before any stroke
  }

  end() { this.#sharpen((data, i) => data[i + 3]); }

  line(from, to, size, erasing) {
    this.#as(erasing);
    this.pen.lineWidth = size;
    this.pen.beginPath();
    this.pen.moveTo(...from);
    this.pen.lineTo(...to);
    this.pen.stroke();
  }

  polygon(points, erasing) {
    this.begin();
    this.#as(erasing);
    this.pen.beginPath();
    for (const point of points) this.pen.lineTo(...point);
    this.pen.fill();
    this.end();
  }

  #as(erasing) {
    Object.assign(this.pen, { lineCap: "round", lineJoin: "round", strokeStyle: COLOUR, fillStyle: COLOUR });
    this.pen.globalCompositeOperation = erasing ? "destination-out" : "source-over";
  }

  undo() {
    const last = this.before.pop();
    if (last) this.pen.putImageData(last, 0, 0);
    return Boolean(last);
  }

  png() { return this.canvas.convertToBlob({ type: "image/png" }); }
}
