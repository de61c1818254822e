// The cross hair on both pictures and the value under it.
import { describe } from "./prediction.js";

export class Reader {
  /**
   * @param {HTMLCanvasElement} picture
   * @param {HTMLCanvasElement} map takes arrow keys; with Shift they move ten pixels.
   * @param {HTMLElement} output where the reading is told.
   */
  constructor(picture, map, output) {
    this.canvases = [picture, map];
    this.output = output;
    this.place = null; // [column, row] in pixels of the picture
    for (const canvas of this.canvases) {
      canvas.addEventListener("pointermove", (event) => this.#point(canvas, event));
      canvas.addEventListener("pointerdown", (event) => this.#point(canvas, event));
    }
    map.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Takes a new prediction; the cross hair stays where it is if it still can. */
  show(prediction, width, height) {
    const resized = width !== this.width || height !== this.height;
    Object.assign(this, { prediction, width, height });
    if (this.place && !resized) this.#tell();
    else this.#hide();
  }

  #point(canvas, event) {
    const box = canvas.getBoundingClientRect();
    this.#move(
      ((event.clientX - box.left) / box.width) * this.width,
      ((event.clientY - box.top) / box.height) * this.height,
    );
  }

  #onKey(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.metaKey || !this.prediction) return;
    event.preventDefault();
    const [x, y] = this.place ?? [this.width >> 1, this.height >> 1];
    const size = event.shiftKey ? 10 : 1;
    this.#move(x + size * step[0], y + size * step[1]);
  }

  #move(x, y) {
    const within = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
    this.place = [within(x, this.width), within(y, this.height)];
    this.#tell();
  }

  #tell() {
    const [x, y] = this.place;
    const value = describe(this.prediction.values[y * this.width + x], this.prediction);
    this.output.textContent = `${value} at column ${x}, row ${y}`;
    for (const canvas of this.canvases) {
      const cross = canvas.nextElementSibling;
      cross.hidden = false;
      cross.style.left = `${((x + 0.5) / this.width) * 100}%`;
      cross.style.top = `${((y + 0.5) / this.height) * 100}%`;
      cross.dataset.value = value;
      cross.classList.toggle("right", x > this.width / 2); // its label stands towards the middle
    }
  }

  #hide() {
    this.place = null;
    this.output.textContent = "Point at either picture to read a value.";
    for (const canvas of this.canvases) canvas.nextElementSibling.hidden = true;
  }
}
