/** An app with a GPU device, shaders and a render loop of its own. BERT is a guest on its device. */

import { deviceDescriptor, Engine, loadPretrained, NoWebGpuError } from "bert-webgpu";
import { movieBert } from "../model.ts";
import { countFrom, makeSentences } from "../sentences.ts";
import { embedInto } from "./embed.ts";
import { explore } from "./explore.ts";
import { coloursBy } from "./legend.ts";
import { projectToPlane } from "./pca.ts";
import { createPoints } from "./points.ts";

const canvas = document.querySelector("canvas")!;
const colouring = document.querySelector<HTMLSelectElement>("#colouring")!;
const legend = document.querySelector<HTMLElement>("#legend")!;
const status = document.querySelector<HTMLElement>("#status")!;
const problem = document.querySelector<HTMLElement>("#problem")!;

try {
  await run();
} catch (error) {
  show(error as Error);
}

async function run(): Promise<void> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new NoWebGpuError("this page needs WebGPU: use a browser that has it, on https or localhost");
  const device = await adapter.requestDevice(deviceDescriptor(adapter));
  device.addEventListener("uncapturederror", ({ error }) => show(error));
  device.lost.then(({ message }) => show({ message: `the GPU device was lost: ${message}` }));

  const sentences = makeSentences(countFrom(location.search, 4000));
  const texts = sentences.map(({ text }) => text);
  const positions = await mapOf(device, texts);
  const readable = await readBack(device, positions); // eight bytes a point: for the pointer, not for drawing

  const points = createPoints(device, canvas, positions, texts.length);
  const redraw = explore(canvas, readable, texts, points.draw);
  const colour = (): void => {
    points.colour(coloursBy(colouring.value as "sentiment" | "topic", sentences, legend));
    redraw();
  };
  colouring.addEventListener("change", colour);
  colour();
  canvas.dataset.points = String(texts.length);
}

/** From texts to points of the plane, f32 [texts, 2], without leaving the GPU. */
async function mapOf(device: GPUDevice, texts: readonly string[]): Promise<GPUBuffer> {
  const engine = await Engine.create({ device });
  const bert = await loadPretrained(engine, movieBert());
  const { hiddenSize } = bert.model.config;
  const embeddings = device.createBuffer({
    label: "embeddings",
    size: 4 * texts.length * hiddenSize,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  });
  const begin = performance.now();
  await embedInto(embeddings, device, bert, texts, (done) => {
    status.textContent = `${done.toLocaleString()} of ${texts.length.toLocaleString()} sentences`;
  });
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  status.textContent = `${texts.length.toLocaleString()} sentences, embedded in ${seconds} s on ${engine.adapter.name}`;
  engine.dispose(); // its buffers go, the device is ours
  const positions = projectToPlane(device, embeddings, texts.length, hiddenSize);
  embeddings.destroy(); // once the projection is done
  return positions;
}

async function readBack(device: GPUDevice, buffer: GPUBuffer): Promise<Float32Array> {
  const { MAP_READ, COPY_DST } = GPUBufferUsage;
  const staging = device.createBuffer({ label: "read back", size: buffer.size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder({ label: "read back" });
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(staging.getMappedRange()).slice();
  staging.destroy();
  return values;
}

function show({ message }: { readonly message: string }): void {
  problem.textContent = `This went wrong: ${message}`;
}
