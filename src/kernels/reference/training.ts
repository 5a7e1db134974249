/** CPU twins of the losses and of the optimizer. */

import {
  type CrossEntropyShape,
  type ElementLossShape,
  IGNORED,
  NO_NUMBER,
  type SpanLossShape,
} from "../losses/losses.ts";
import type { AdamWShape, SumSquaresShape } from "../optimizer/optimizer.ts";
import { type Inputs, type Outputs, slice, sum, valuesOf } from "./values.ts";

/** In the binding `state`. */
export function lossScaleOf(inputs: Inputs): number {
  return valuesOf(inputs, "state")[4]!;
}

/** -log softmax at the label, and its gradient; zeros where the label is ignored. */
function crossEntropyOf(logits: Float64Array, label: number): { loss: number; gradient: Float64Array } {
  if (label === IGNORED) return { loss: 0, gradient: new Float64Array(logits.length) };
  const greatest = logits.reduce((a, b) => Math.max(a, b));
  const exps = logits.map((value) => Math.exp(value - greatest));
  const total = sum(exps);
  const gradient = exps.map((value, i) => value / total - (i === label ? 1 : 0));
  return { loss: Math.log(total) + greatest - logits[label]!, gradient };
}

export function crossEntropy(
  { rows, cols, scale, factor: by = 1, counted = cols }: CrossEntropyShape,
  inputs: Inputs,
): Outputs {
  const logits = Float64Array.from(valuesOf(inputs, "logits"));
  const labels = valuesOf(inputs, "labels");
  const factor = by * scale * lossScaleOf(inputs);
  const losses = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const { loss, gradient } = crossEntropyOf(
      slice(logits, row * cols, counted).map((value) => value * by),
      labels[row]!,
    );
    losses[row] = loss * scale;
    logits.fill(0, row * cols, (row + 1) * cols);
    logits.set(
      gradient.map((value) => value * factor),
      row * cols,
    );
  }
  return { logits, losses };
}

export function spanLoss({ sequences, startScale, endScale }: SpanLossShape, inputs: Inputs): Outputs {
  const logits = Float64Array.from(valuesOf(inputs, "logits"));
  const starts = valuesOf(inputs, "cu_seqlens");
  const labels = valuesOf(inputs, "labels");
  const losses = new Float64Array(2 * sequences);
  for (let item = 0; item < 2 * sequences; item++) {
    const [first, end] = [starts[item >> 1]!, starts[(item >> 1) + 1]!];
    const places = Array.from({ length: end - first }, (_, i) => 2 * (first + i) + (item % 2));
    const column = Float64Array.from(places, (at) => logits[at]!);
    const { loss, gradient } = crossEntropyOf(column, labels[item]!);
    const scale = item % 2 ? endScale : startScale;
    losses[item] = loss * scale;
    for (const [i, at] of places.entries()) logits[at] = gradient[i]! * scale * lossScaleOf(inputs);
  }
  return { logits, losses };
}

export function binaryCrossEntropy(shape: ElementLossShape, inputs: Inputs): Outputs {
  return elementLoss(shape, inputs, (x, label) => ({
    loss: Math.max(x, 0) - x * label + Math.log1p(Math.exp(-Math.abs(x))),
    gradient: 1 / (1 + Math.exp(-x)) - label,
  }));
}

export function squaredError(shape: ElementLossShape, inputs: Inputs): Outputs {
  return elementLoss(shape, inputs, (x, label) => ({ loss: (x - label) ** 2, gradient: 2 * (x - label) }));
}

function elementLoss(
  { count, scale }: ElementLossShape,
  inputs: Inputs,
  of: (logit: number, label: number) => { readonly loss: number; readonly gradient: number },
): Outputs {
  const labels = valuesOf(inputs, "labels");
  const elements = Array.from(slice(valuesOf(inputs, "logits"), 0, count), (x, i) =>
    labels[i] === NO_NUMBER ? { loss: 0, gradient: 0 } : of(x, labels[i]!),
  );
  const factor = scale * lossScaleOf(inputs);
  return {
    logits: Float64Array.from(elements, ({ gradient }) => gradient * factor),
    losses: Float64Array.from(elements, ({ loss }) => loss * scale),
  };
}

/** All partial sums together: how they are shared out is the kernel's. */
export function sumOfSquares({ count }: SumSquaresShape, inputs: Inputs): number {
  return sum(slice(valuesOf(inputs, "x"), 0, count).map((value) => value * value));
}

/** What `State` says of a step, as far as updates read it. */
export interface StepNumbers {
  readonly finite: boolean;
  readonly factor: number;
  readonly learningRate: number;
  readonly correction1: number;
  readonly correction2: number;
}

/** @param step in place of the binding `state` */
export function adamw({ count, betas, eps, decay }: AdamWShape, inputs: Inputs, step: StepNumbers): Outputs {
  const [p, g, m, v] = ["weights", "gradients", "m", "v"].map((name) => slice(valuesOf(inputs, name), 0, count)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let i = 0; i < count && step.finite; i++) {
    const gradient = g[i]! * step.factor;
    m[i] = betas[0] * m[i]! + (1 - betas[0]) * gradient;
    v[i] = betas[1] * v[i]! + (1 - betas[1]) * gradient ** 2;
    const root = Math.sqrt(v[i]! / step.correction2) + eps;
    p[i] = p[i]! * (1 - step.learningRate * decay) - ((step.learningRate / step.correction1) * m[i]!) / root;
  }
  return { weights: p, gradients: new Float64Array(count), m, v };
}
