// What the page does: takes pictures, asks the worker for depth, shows it. See network.js for the computing.
import { Cloud } from "./cloud.js";
import { colorize, colorRange } from "./colors.js";
import { npy } from "./npy.js";
import { depthForCloud, toPrediction } from "./prediction.js";
import { Reader } from "./reader.js";
import { drawScale } from "./scale.js";

const MOST_PIXELS = 50e6;
const TALLEST = 70; // percent of the window's height that a picture takes
const GUESSED_FOCAL = 0.8; // of the width: a field of view of 64 degrees, an ordinary camera's
const SETTLING = 0.2; // how fast the webcam's colours follow a new range, so that they do not flicker

const element = (id) => document.getElementById(id);
const worker = new Worker("network.js", { type: "module" });
const cloud = new Cloud(element("cloud"));
const reader = new Reader(element("picture"), element("map"), element("reading"));

let facts;
let shown = null; // {name, width, height, rgba, values, prediction, range}
let camera = null; // the webcam's stream
let latest = 0; // counts requests; an older one's result is not shown

// -- the worker ---------------------------------------------------------------------------------------------

let answer; // settles with the worker's next message
let broken; // why the worker cannot answer any more
let queue = Promise.resolve();

worker.onmessage = ({ data }) => (data.error ? answer.reject(new Error(data.error)) : answer.resolve(data));
worker.onerror = (event) => {
  broken = new Error(event.message || "the page's worker could not start");
  answer?.reject(broken);
};

// One question at a time, in order.
function ask(message, transfer = []) {
  const asked = queue.then(() => new Promise((resolve, reject) => {
    if (broken) throw broken;
    answer = { resolve, reject };
    worker.postMessage(message, transfer);
  }));
  queue = asked.catch(() => {});
  return asked;
}

async function start() {
  const response = await fetch("facts.json");
  if (!response.ok) throw new Error(await response.text());
  facts = await response.json();
  element("model").textContent = `${facts.name} · ${facts.paper} · ${facts.height} × ${facts.width}`;
  element("camera-tools").hidden = facts.output !== "disparity" || !facts.rig;
  say("Opening the network …");
  const { opened } = await ask({ facts });
  const place = element("place");
  place.dataset.place = opened.here ? "browser" : "server";
  place.textContent = opened.here
    ? "Runs in this browser: pictures stay on this page"
    : `Runs on this computer's kdepth server: ${opened.reason}`;
  say("");
}

// -- pictures -------------------------------------------------------------------------------------------------

async function openPicture(file) {
  stopWebcam();
  await guarded(async () => {
    let bitmap;
    try {
      // As kdepth.data.image reads it: turned as EXIF says, colours as they are stored.
      bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    } catch {
      throw new Error(`${file.name} is no picture that this browser can read`);
    }
    if (bitmap.width * bitmap.height > MOST_PIXELS) {
      throw new Error(`${file.name} has ${bitmap.width} × ${bitmap.height} pixels: more than this page takes`);
    }
    const pixels = pixelsOf(bitmap, bitmap.width, bitmap.height);
    bitmap.close();
    say(`Computing ${file.name} …`);
    await predict(pixels, file.name.replace(/\.[^.]*$/, "") || "picture");
  });
}

function pixelsOf(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { colorSpace: "srgb", willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, width, height);
}

async function predict(pixels, name, live = false) {
  const request = ++latest;
  const { width, height } = pixels;
  const { values, milliseconds } = await ask({ rgba: pixels.data, width, height });
  if (request !== latest) return;
  const before = live && shown?.live ? shown.range : null;
  shown = { name, width, height, pixels, values, live };
  show(before);
  say(`${width} × ${height}, network ${milliseconds.toFixed(0)} ms`);
}

function show(rangeBefore = null) {
  const { width, height, pixels, values } = shown;
  const focal = chosenFocal(width);
  const prediction = toPrediction(values, facts, focal);
  let range = colorRange(prediction);
  if (rangeBefore) range = range.map((now, i) => rangeBefore[i] + SETTLING * (now - rangeBefore[i]));
  Object.assign(shown, { prediction, range });
  element("drop").hidden = true;
  element("result").hidden = false;
  paint(element("picture"), pixels);
  paint(element("map"), new ImageData(colorize(prediction, range, facts.colors), width, height));
  element("quantity").textContent = {
    depth: "Depth in metres",
    relative_depth: "Relative depth: right up to one factor",
    disparity: `Disparity, ${facts.unit}`,
  }[prediction.quantity];
  drawScale(element("scale"), element("ticks"), prediction, range, facts.colors);
  reader.show(prediction, width, height);
  const known = focal ?? facts.rig?.focal ?? null;
  const degrees = (2 * Math.atan(0.5 / (known ?? GUESSED_FOCAL)) * 180) / Math.PI;
  const source = focal ? "" : known ? ", the training camera's" : ", a guess";
  element("cloud-note").textContent = `field of view ${degrees.toFixed(0)}°${source}`;
  cloud.show(depthForCloud(prediction), width, height, pixels.data, known ?? GUESSED_FOCAL);
}

function paint(canvas, pixels) {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  // As wide as there is room, but all of it in sight.
  canvas.parentElement.style.maxWidth = `${(TALLEST * pixels.width) / pixels.height}vh`;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// The focal length as a fraction of the width, where metres were asked for.
function chosenFocal(width) {
  const choice = element("camera").value;
  if (choice === "training") return facts.rig.focal;
  const fx = element("focal").valueAsNumber;
  return choice === "focal" && fx > 0 ? fx / width : null;
}

// -- the webcam -------------------------------------------------------------------------------------------------

async function startWebcam() {
  let stream = null;
  await guarded(async () => {
    if (!navigator.mediaDevices?.getUserMedia) throw new Error("this browser offers no webcam to this page");
    const video = element("video");
    element("webcam").disabled = true; // while the user is asked
    try {
      const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" };
      stream = camera = await navigator.mediaDevices.getUserMedia({ video: wanted });
    } catch (error) {
      throw new Error(error.name === "NotAllowedError"
        ? "the browser was told not to let this page use the webcam"
        : "no webcam was found, or another program uses it");
    } finally {
      element("webcam").disabled = false;
    }
    element("webcam").textContent = "Stop the webcam";
    element("webcam").setAttribute("aria-pressed", "true");
    video.srcObject = stream;
    await video.play();
    while (camera === stream) {
      await predict(pixelsOf(video, video.videoWidth, video.videoHeight), "webcam", true);
      await new Promise(requestAnimationFrame); // hidden pages wait here
    }
  });
  if (camera === stream) stopWebcam(); // another one may run by now
}

function stopWebcam() {
  if (!camera) return;
  camera.getTracks().forEach((track) => track.stop());
  camera = null;
  element("video").srcObject = null;
  element("webcam").textContent = "Use the webcam";
  element("webcam").setAttribute("aria-pressed", "false");
}

// -- the rest ---------------------------------------------------------------------------------------------------

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

async function guarded(action) {
  try {
    await ready;
    await action();
  } catch (error) {
    say(error.message, true);
  }
}

element("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) openPicture(file);
  target.value = ""; // the same file may be chosen again
});
element("webcam").addEventListener("click", () => (camera ? stopWebcam() : startWebcam()));
element("camera").addEventListener("change", ({ target }) => {
  element("focal-label").hidden = target.value !== "focal";
  if (shown) show();
});
element("focal").addEventListener("input", () => shown && show());
element("closer").addEventListener("click", () => cloud.zoom(1 / 1.15));
element("farther").addEventListener("click", () => cloud.zoom(1.15));
element("reset").addEventListener("click", () => cloud.reset());
element("save-npy").addEventListener("click", () => {
  const { prediction, width, height, name } = shown;
  save(npy(prediction.values, height, width), `${name}_${prediction.quantity}.npy`);
});
element("save-png").addEventListener("click", () => {
  element("map").toBlob((blob) => save(blob, `${shown.name}_color.png`), "image/png");
});

for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", kind === "dragenter" || kind === "dragover");
    if (kind !== "drop") return;
    const [file] = event.dataTransfer.files;
    if (file) openPicture(file);
    else say("that was no file; save the picture first and drop the file", true);
  });
}

const ready = start();
ready.catch((error) => say(error.message, true));
