// Depth as colours: kdepth.visualize in the browser. The 256 colours come from there.

const LOW = 0.02; // kdepth.visualize.PERCENTILES
const HIGH = 0.98;
const MOST_SORTED = 1 << 20; // a larger map's percentiles are those of every n-th pixel

/** The quantity that colours follow: near is bright, so depth is coloured by its inverse. */
export function brightness(prediction, value) {
  return prediction.quantity === "disparity" ? value : 1 / value;
}

/** The values of the darkest and of the brightest colour, as `brightness`. */
export function colorRange(prediction) {
  const { values } = prediction;
  const step = Math.ceil(values.length / MOST_SORTED);
  const sorted = new Float64Array(Math.ceil(values.length / step));
  for (let i = 0; i < sorted.length; i++) sorted[i] = brightness(prediction, values[i * step]);
  sorted.sort();
  return [percentile(sorted, LOW), percentile(sorted, HIGH)];
}

/** The prediction as RGBA. */
export function colorize(prediction, [low, high], table) {
  const { values } = prediction;
  const span = high > low ? high - low : 1;
  const rgba = new Uint8ClampedArray(values.length * 4);
  for (let i = 0, to = 0; i < values.length; i++) {
    const level = (brightness(prediction, values[i]) - low) / span;
    const color = table[Math.round(Math.min(Math.max(level, 0), 1) * 255)];
    rgba[to++] = color[0];
    rgba[to++] = color[1];
    rgba[to++] = color[2];
    rgba[to++] = 255;
  }
  return rgba;
}

function percentile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}
