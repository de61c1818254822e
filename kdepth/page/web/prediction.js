// From a network's output to a depth map of the picture's size: kdepth.runtime.predict_image and
// kdepth.prediction in the browser, in float32 like them.
import { resizeMap } from "./resize.js";

const SMALLEST_INVERSE = Math.fround(1e-6); // kdepth.prediction.SMALLEST_INVERSE

/**
 * The network's output at the picture's size, still its own quantity.
 * @param {Float32Array} output [facts.height, facts.width].
 * @returns {Float32Array} [height, width].
 */
export function atPictureSize(output, facts, width, height) {
  if (facts.width === width && facts.height === height) return output;
  // What is interpolated is inverse: depth would smear the far side over an edge.
  const inverse = facts.output === "depth" ? output.map(invert) : output;
  const resized =
    resizeMap(inverse, facts.width, facts.height, width, height, facts.rows_may_go_first);
  return facts.output === "depth" ? resized.map(invert) : resized;
}

/**
 * What is shown and saved.
 * @param {Float32Array} values the network's quantity.
 * @param {number | null} focal focal length as a fraction of the picture's width; turns the disparity
 *     of a network that learned from stereo into metres.
 * @returns {{values: Float32Array, quantity: string, unit: string}} as `kdepth.predict` writes it.
 */
export function toPrediction(values, facts, focal) {
  if (facts.output === "disparity" && focal !== null && facts.rig) {
    const product = Math.fround(focal * facts.rig.baseline);
    return { values: values.map((value) => product / floor(value)), quantity: "depth", unit: "m" };
  }
  if (facts.output === "disparity") {
    return { values, quantity: "disparity", unit: facts.unit };
  }
  const depth = facts.output === "inverse_depth" ? values.map(invert) : values;
  const metric = facts.kind === "metric";
  return { values: depth, quantity: metric ? "depth" : "relative_depth", unit: metric ? "m" : "relative" };
}

/** Depth up to a factor for a point cloud, whatever the prediction holds. */
export function depthForCloud(prediction) {
  return prediction.quantity === "disparity" ? prediction.values.map(invert) : prediction.values;
}

/** A value for people: "12.4 m", "0.0312 of the width", "3.21 (relative)"; without a unit if `short` and not metres. */
export function describe(value, prediction, short = false) {
  const digits = value >= 100 ? value.toFixed(0) : value.toPrecision(3);
  if (prediction.unit === "m") return `${digits} m`;
  if (short) return digits;
  return prediction.quantity === "disparity" ? `${digits} of the width` : `${digits} (relative)`;
}

function floor(value) {
  return Math.max(value, SMALLEST_INVERSE);
}

function invert(value) {
  return 1 / floor(value);
}
