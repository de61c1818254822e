// The bar of colours under the depth map, with values at even places of it.
import { describe } from "./prediction.js";

const TICKS = 5;

/** Paints the bar and writes its values; colours are even in inverse depth, so metres are not. */
export function drawScale(canvas, ticks, prediction, [low, high], table) {
  canvas.width = table.length;
  const row = new ImageData(table.length, 1);
  table.forEach((color, i) => row.data.set([...color, 255], 4 * i));
  canvas.getContext("2d").putImageData(row, 0, 0);
  const labels = Array.from({ length: TICKS }, (_, i) => {
    const brightness = low + ((high - low) * i) / (TICKS - 1);
    const value = prediction.quantity === "disparity" ? brightness : 1 / brightness;
    const label = document.createElement("span");
    label.textContent = describe(value, prediction, true);
    return label;
  });
  ticks.replaceChildren(...labels);
}
