// The scene as points that can be turned, drawn by hand into a canvas: no graphics card needed, nothing to load.

const MOST_POINTS = 150_000;
const FARTHEST = 5; // median depths; the sky would lie far beyond everything else
const STEEPEST = 5; // a point covers the gap to its neighbours, but no jump in depth: times its own width
const LARGEST_SPLAT = 14; // pixels
const NEAREST = 0.02; // median depths in front of the eye
const START = { yaw: -0.16, pitch: 0.1, zoom: 1.15 };
const LIMITS = { yaw: Math.PI, pitch: 1.5, zoom: [0.2, 6] };

export class Cloud {
  /** @param {HTMLCanvasElement} canvas listens to drags, arrow keys, + and -, 0, and the wheel once it has the focus. */
  constructor(canvas) {
    this.canvas = canvas;
    this.view = { ...START };
    this.count = 0;
    this.pending = false;
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const turn = 3 / canvas.clientWidth;
      this.turn(event.movementX * turn, event.movementY * turn);
    });
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return; // the page scrolls
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 800));
    }, { passive: false });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /**
   * Takes a new scene; the view stays.
   * @param {Float32Array} depth [height, width], of any unit.
   * @param {Uint8ClampedArray} rgba the picture, of the same size.
   * @param {number} focal focal length as a fraction of the width.
   */
  show(depth, width, height, rgba, focal) {
    const step = Math.max(1, Math.ceil(Math.sqrt((width * height) / MOST_POINTS)));
    const columns = Math.floor((width - 1) / step) + 1;
    const rows = Math.floor((height - 1) / step) + 1;
    const colors = new Uint32Array(rgba.buffer, rgba.byteOffset, width * height);
    const sampled = new Float32Array(columns * rows);
    for (let y = 0, i = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++, i++) sampled[i] = depth[y * step * width + x * step];
    }
    const median = sampled.slice().sort()[sampled.length >> 1];
    this.points = new Float32Array(sampled.length * 3); // in median depths
    this.colors = new Uint32Array(sampled.length);
    this.sizes = new Float32Array(sampled.length);
    this.focal = focal;
    this.aspect = width / height;
    this.count = 0;
    for (let y = 0, i = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++, i++) {
        const z = sampled[i] / median;
        if (!(z < FARTHEST)) continue;
        const at = 3 * this.count;
        this.points[at] = ((x * step - (width - 1) / 2) / width / focal) * z;
        this.points[at + 1] = ((y * step - (height - 1) / 2) / width / focal) * z;
        this.points[at + 2] = z;
        const across = (step / width / focal) * z;
        const right = x + 1 < columns ? sampled[i + 1] / median - z : 0;
        const below = y + 1 < rows ? sampled[i + columns] / median - z : 0;
        const gap = Math.hypot(across, Math.max(Math.abs(right), Math.abs(below)));
        this.sizes[this.count] = Math.min(gap, STEEPEST * across);
        this.colors[this.count++] = colors[y * step * width + x * step];
      }
    }
    this.draw();
  }

  turn(yaw, pitch) {
    const wrapped = this.view.yaw + yaw;
    this.view.yaw = wrapped - 2 * LIMITS.yaw * Math.round(wrapped / (2 * LIMITS.yaw));
    this.view.pitch = Math.min(Math.max(this.view.pitch + pitch, -LIMITS.pitch), LIMITS.pitch);
    this.draw();
  }

  zoom(factor) {
    this.view.zoom = Math.min(Math.max(this.view.zoom * factor, LIMITS.zoom[0]), LIMITS.zoom[1]);
    this.draw();
  }

  reset() {
    this.view = { ...START };
    this.draw();
  }

  /** Draws before the next frame, once however often it was asked. */
  draw() {
    if (this.pending || this.count === 0) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.#paint();
    });
  }

  #onKey(event) {
    const actions = {
      ArrowLeft: () => this.turn(-0.1, 0),
      ArrowRight: () => this.turn(0.1, 0),
      ArrowUp: () => this.turn(0, -0.1),
      ArrowDown: () => this.turn(0, 0.1),
      "+": () => this.zoom(1 / 1.15),
      "-": () => this.zoom(1.15),
      0: () => this.reset(),
    };
    if (event.ctrlKey || event.metaKey || !(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }

  #paint() {
    const { canvas, points, sizes, colors, view } = this;
    const width = Math.round(canvas.clientWidth * Math.min(devicePixelRatio, 2));
    const height = Math.round(canvas.clientHeight * Math.min(devicePixelRatio, 2));
    if (width === 0 || height === 0) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    const frame = context.createImageData(width, height);
    const pixels = new Uint32Array(frame.data.buffer);
    const nearest = new Float32Array(pixels.length).fill(Infinity);
    const [sinYaw, cosYaw] = [Math.sin(view.yaw), Math.cos(view.yaw)];
    const [sinPitch, cosPitch] = [Math.sin(view.pitch), Math.cos(view.pitch)];
    const focal = this.focal * Math.min(width, height * this.aspect); // the whole picture fits
    for (let i = 0, at = 0; i < this.count; i++, at += 3) {
      // Around the point straight ahead at median depth, which lies `zoom` in front of the eye.
      const [x, y, z] = [points[at], points[at + 1], points[at + 2] - 1];
      const side = x * cosYaw + z * sinYaw;
      const ahead = z * cosYaw - x * sinYaw;
      const down = y * cosPitch - ahead * sinPitch;
      const depth = ahead * cosPitch + y * sinPitch + view.zoom;
      if (depth < NEAREST) continue;
      const splat = Math.min(Math.ceil((focal * sizes[i]) / depth + 0.5), LARGEST_SPLAT);
      const left = Math.round(width / 2 + (focal * side) / depth - splat / 2);
      const top = Math.round(height / 2 + (focal * down) / depth - splat / 2);
      if (left < 0 || top < 0 || left + splat > width || top + splat > height) continue;
      for (let row = top; row < top + splat; row++) {
        for (let place = row * width + left; place < row * width + left + splat; place++) {
          if (depth < nearest[place]) {
            nearest[place] = depth;
            pixels[place] = colors[i];
          }
        }
      }
    }
    context.putImageData(frame, 0, 0);
  }
}
