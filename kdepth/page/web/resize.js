// The resizes of kdepth.data.image and kdepth.prediction, number for number. A canvas resizes in its own
// way, which differs from browser to browser, and a network would see another picture than in Python.

const CHANNELS = 3;
// Pillow's 8-bit resize works in fixed point: weights in steps of 2^-22, a pixel rounded after each pass.
const WEIGHT_STEPS = 2 ** 22;

const FILTERS = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at: (x) => {
      const a = -0.5;
      const d = Math.abs(x);
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
    },
  },
};

/**
 * A picture at another size, as `kdepth.data.image.resize_image` gives it for uint8.
 * @param {Uint8Array | Uint8ClampedArray} rgba [height, width, 4]; alpha is left out.
 * @param {string} method "area", "bilinear", "bicubic" or "nearest".
 * @param {boolean} rowsMayGoFirst see `filtered`.
 * @returns {Float32Array} [newHeight, newWidth, 3] in [0, 1].
 */
export function resizeImage(rgba, width, height, newWidth, newHeight, method, rowsMayGoFirst) {
  const image = rgbOf(rgba);
  let resized;
  if (width === newWidth && height === newHeight) resized = image;
  else if (method === "nearest") resized = nearest(image, width, height, newWidth, newHeight);
  else if (method === "area") resized = boxMean(image, width, height, newWidth, newHeight);
  else if (method in FILTERS) {
    const pass = { channels: CHANNELS, filter: FILTERS[method], inBytes: true };
    resized = filtered(image, width, height, newWidth, newHeight, pass, rowsMayGoFirst);
  } else throw new Error(`this page does not know the resize method "${method}"`);
  const toUnit = Math.fround(1 / 255);
  return Float32Array.from(resized, (value) => value * toUnit);
}

/**
 * A map of floats at another size, bilinear, as Pillow resizes its mode F.
 * @param {Float32Array} values [height, width].
 * @param {boolean} rowsMayGoFirst see `filtered`.
 * @returns {Float32Array} [newHeight, newWidth].
 */
export function resizeMap(values, width, height, newWidth, newHeight, rowsMayGoFirst) {
  const pass = { channels: 1, filter: FILTERS.bilinear, inBytes: false };
  return filtered(values, width, height, newWidth, newHeight, pass, rowsMayGoFirst);
}

function rgbOf(rgba) {
  const image = new Uint8Array((rgba.length / 4) * CHANNELS);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    image[to++] = rgba[from];
    image[to++] = rgba[from + 1];
    image[to++] = rgba[from + 2];
  }
  return image;
}

function nearest(image, width, height, newWidth, newHeight) {
  const index = (size, newSize) =>
    Array.from({ length: newSize }, (_, i) =>
      Math.min(Math.floor((i + 0.5) * (size / newSize)), size - 1));
  const columns = index(width, newWidth);
  const resized = new Uint8Array(newWidth * newHeight * CHANNELS);
  let to = 0;
  for (const row of index(height, newHeight)) {
    for (const column of columns) {
      const from = (row * width + column) * CHANNELS;
      for (let c = 0; c < CHANNELS; c++) resized[to++] = image[from + c];
    }
  }
  return resized;
}

// -- exact mean over boxes, in float32 as NumPy does it: rows first, then columns ------------------------

function boxMean(image, width, height, newWidth, newHeight) {
  const rows = boxes(height, newHeight);
  const length = width * CHANNELS;
  const narrow = new Float32Array(newHeight * length);
  for (let y = 0; y < newHeight; y++) {
    const mean = narrow.subarray(y * length, (y + 1) * length);
    for (const [row, weight] of rows[y]) {
      for (let x = 0, from = row * length; x < length; x++, from++) {
        mean[x] += Math.fround(weight * image[from]);
      }
    }
  }
  const columns = boxes(width, newWidth);
  const resized = new Float32Array(newHeight * newWidth * CHANNELS);
  for (let y = 0, to = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++, to += CHANNELS) {
      for (const [column, weight] of columns[x]) {
        const from = (y * width + column) * CHANNELS;
        for (let c = 0; c < CHANNELS; c++) resized[to + c] += Math.fround(weight * narrow[from + c]);
      }
    }
  }
  return resized;
}

// Of every new pixel, the pixels that it covers and their shares, float32.
function boxes(size, newSize) {
  return Array.from({ length: newSize }, (_, i) => {
    const begin = i * (size / newSize);
    const end = (i + 1) * (size / newSize);
    const covered = [];
    for (let index = Math.floor(begin); index < Math.min(end, size); index++) {
      const share = Math.min(end, index + 1) - Math.max(begin, index);
      covered.push([index, Math.fround(Math.max(share, 0) * (newSize / size))]);
    }
    return covered;
  });
}

// -- Pillow's separable filters ------------------------------------------------------------------------------

// Columns first, then rows; a Pillow that lets rows go first does so where more than twice as many rows are lost
// as columns.
function filtered(image, width, height, newWidth, newHeight, pass, rowsMayGoFirst) {
  const lostRows = height - newHeight;
  if (rowsMayGoFirst && lostRows > 0 && lostRows > 2 * (width - newWidth)) {
    const short = alongRows(image, width, height, newHeight, pass);
    return alongColumns(short, width, newHeight, newWidth, pass);
  }
  const narrow = alongColumns(image, width, height, newWidth, pass);
  return alongRows(narrow, newWidth, height, newHeight, pass);
}

function alongColumns(image, width, height, newWidth, pass) {
  return filterMiddle(image, height, width, newWidth, pass.channels, pass);
}

function alongRows(image, width, height, newHeight, pass) {
  return filterMiddle(image, 1, height, newHeight, width * pass.channels, pass);
}

// Filters the middle axis of [outer, size, inner].
function filterMiddle(source, outer, size, newSize, inner, { filter, inBytes }) {
  if (newSize === size) return source;
  const taps = tapsOf(size, newSize, filter, inBytes);
  const result = new source.constructor(outer * newSize * inner);
  const sums = new Float64Array(inner);
  for (let o = 0, to = 0; o < outer; o++) {
    for (const { first, weights } of taps) {
      sums.fill(inBytes ? WEIGHT_STEPS / 2 : 0);
      let from = (o * size + first) * inner;
      for (const weight of weights) {
        for (let i = 0; i < inner; i++, from++) sums[i] += source[from] * weight;
      }
      for (let i = 0; i < inner; i++) {
        result[to++] = inBytes ? clipped(Math.floor(sums[i] / WEIGHT_STEPS)) : sums[i];
      }
    }
  }
  return result;
}

function clipped(value) {
  return Math.min(Math.max(value, 0), 255);
}

// Of every new pixel, the first pixel that it is made of and the weights from there on.
function tapsOf(size, newSize, filter, inBytes) {
  const scale = size / newSize;
  const stretch = Math.max(scale, 1); // a filter grows with the reduction, which is what smooths
  return Array.from({ length: newSize }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - filter.support * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(centre + filter.support * stretch + 0.5), size);
    const weights = [];
    for (let x = first; x < end; x++) weights.push(filter.at((x - centre + 0.5) * (1 / stretch)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => step(weight / total, inBytes)) };
  });
}

function step(weight, inBytes) {
  if (!inBytes) return weight;
  return Math.trunc(weight * WEIGHT_STEPS + (weight < 0 ? -0.5 : 0.5));
}
