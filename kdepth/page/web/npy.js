// NumPy's file format, version 1.0, for one float32 array.

/**
 * @param {Float32Array} values [height, width].
 * @returns {Blob} what `numpy.load` reads.
 */
export function npy(values, height, width) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${height}, ${width}), }`;
  const magic = [0x93, ...bytesOf("NUMPY"), 1, 0];
  // Magic, length and text together are a multiple of 64 bytes and end with a line feed.
  const padding = 64 - ((magic.length + 2 + text.length + 1) % 64);
  const header = bytesOf(`${text}${" ".repeat(padding)}\n`);
  const length = [header.length & 255, header.length >> 8];
  const data = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, i) => data.setFloat32(i * 4, value, true));
  return new Blob([new Uint8Array([...magic, ...length, ...header]), data]);
}

function bytesOf(text) {
  return [...text].map((letter) => letter.charCodeAt(0));
}
