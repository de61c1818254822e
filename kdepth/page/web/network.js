// The worker that computes: picture in, the network's quantity at the picture's size out. The network runs
// here, with ONNX Runtime's WebAssembly, or on the local server where it cannot run here; what is
// before and after it is this code either way.
import { atPictureSize } from "./prediction.js";
import { resizeImage } from "./resize.js";

const MOST_THREADS = 4; // small networks gain nothing from more

let facts;
let run; // Float32Array [height, width, 3] -> promise of Float32Array [height, width]

onmessage = async ({ data }) => {
  try {
    if (data.facts) {
      facts = data.facts;
      postMessage({ opened: await open() });
    } else {
      const { values, milliseconds } = await predict(data);
      postMessage({ values, milliseconds }, [values.buffer]);
    }
  } catch (error) {
    postMessage({ error: error.message || String(error) });
  }
};

// Says where the network runs and, if that is not here, why.
async function open() {
  let reason = facts.server_reason;
  if (!reason) {
    try {
      run = await openHere();
      return { here: true };
    } catch (error) {
      reason = `this browser cannot run the file: ${error.message || error}`;
    }
  }
  run = runOnServer;
  return { here: false, reason };
}

async function predict({ rgba, width, height }) {
  const image = resizeImage(
    rgba, width, height, facts.width, facts.height, facts.resize, facts.rows_may_go_first);
  const begun = performance.now();
  const output = await run(image);
  const milliseconds = performance.now() - begun;
  if (output.length !== facts.width * facts.height) {
    throw new Error(`the network gave ${output.length} values, not ${facts.height} x ${facts.width}`);
  }
  if (!output.every(Number.isFinite)) {
    throw new Error("the model predicts NaN or inf for this picture: train it again");
  }
  return { values: atPictureSize(output, facts, width, height), milliseconds };
}

async function openHere() {
  const ort = await import("./runtime/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
  // Threads share memory, which browsers allow to isolated pages only.
  const threads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  ort.env.wasm.numThreads = Math.min(threads, MOST_THREADS);
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  const [input] = session.inputMetadata;
  const [, height, width, channels] = input.shape ?? [];
  if (input.type !== "float32" || height !== facts.height || width !== facts.width || channels !== 3) {
    throw new Error(`its input is ${input.type} [${input.shape}]`);
  }
  return async (image) => {
    const tensor = new ort.Tensor("float32", image, [1, facts.height, facts.width, 3]);
    const outputs = await session.run({ [input.name]: tensor });
    return outputs[session.outputNames[0]].data;
  };
}

async function runOnServer(image) {
  const response = await fetch("run", {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: image,
  });
  if (!response.ok) throw new Error(await response.text());
  return new Float32Array(await response.arrayBuffer());
}
