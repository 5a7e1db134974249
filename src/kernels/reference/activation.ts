/** CPU twins of the activations, accurate to a few units in the last place of float64. */
import type { Activation, ActivationShape } from "../rows/activation.ts";
import { type Inputs, type Outputs, valuesOf } from "./values.ts";

export function activation(shape: ActivationShape, inputs: Inputs): Outputs {
  const x = valuesOf(inputs, "x");
  const bias = shape.bias ? valuesOf(inputs, "bias") : undefined;
  const out = Float64Array.from({ length: shape.rows * shape.cols }, (_, i) =>
    activate(shape.activation, x[i]! + (bias?.[i % shape.cols] ?? 0)),
  );
  return { out };
}

export function activate(name: Activation, x: number): number {
  switch (name) {
    case "none":
      return x;
    case "gelu":
      return (x * erfc(-x / Math.SQRT2)) / 2;
    case "gelu_tanh":
      return x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case "relu":
      return x < 0 ? 0 : x;
    case "tanh":
      return Math.tanh(x);
    case "silu":
      return x / (1 + Math.exp(-x));
    case "erf":
      return erf(x);
  }
}

export function erf(x: number): number {
  return Math.abs(x) < 2 ? erfSeries(x) : Math.sign(x) * (1 - erfcFraction(Math.abs(x)));
}

/** 1 - erf(x), without the cancellation. */
export function erfc(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x < 2) return x > -2 ? 1 - erfSeries(x) : 2 - erfcFraction(-x);
  return erfcFraction(x);
}

/** Abramowitz and Stegun 7.1.6, all terms of one sign. */
function erfSeries(x: number): number {
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

/** Abramowitz and Stegun 7.1.14, from the tail; x >= 2. */
function erfcFraction(x: number): number {
  let fraction = x;
  for (let n = 60; n > 0; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}
