/** torch's activation functions, by the paths of their classes: what sentence-transformers stores of them. In float64. */

/** Of a vector one as long. */
export type Activation = (values: ArrayLike<number>) => Float64Array;

const elu = (x: number): number => (x > 0 ? x : Math.expm1(x));
const relu6 = (x: number): number => Math.min(6, Math.max(0, x));
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const softplus = (x: number): number => (x > 20 ? x : Math.log1p(Math.exp(x)));

/** x times the normal distribution, whose series has terms of one sign; beyond 9 it is 0 or 1 to the last digit. */
function gelu(x: number): number {
  if (Math.abs(x) > 9) return Math.max(0, x);
  let term = x;
  let total = x;
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(total); n += 2) {
    term *= (x * x) / n;
    total += term;
  }
  return x * (0.5 + (total * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI));
}

/** As their classes are made without arguments, which are not stored; RReLU as it is outside training. */
const ELEMENTWISE: Readonly<Record<string, (x: number) => number>> = {
  CELU: elu,
  ELU: elu,
  GELU: gelu,
  Hardshrink: (x) => (Math.abs(x) > 0.5 ? x : 0),
  Hardsigmoid: (x) => relu6(x + 3) / 6,
  Hardswish: (x) => (x * relu6(x + 3)) / 6,
  Hardtanh: (x) => Math.max(-1, Math.min(1, x)),
  Identity: (x) => x,
  LeakyReLU: (x) => (x > 0 ? x : x / 100),
  LogSigmoid: (x) => -softplus(-x),
  Mish: (x) => x * Math.tanh(softplus(x)),
  PReLU: (x) => (x > 0 ? x : x / 4),
  ReLU: (x) => Math.max(0, x),
  ReLU6: relu6,
  RReLU: (x) => (x > 0 ? x : (x * 11) / 48),
  SELU: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  Sigmoid: sigmoid,
  SiLU: (x) => x * sigmoid(x),
  Softplus: softplus,
  Softshrink: (x) => Math.sign(x) * Math.max(0, Math.abs(x) - 0.5),
  Softsign: (x) => x / (1 + Math.abs(x)),
  Tanh: (x) => Math.tanh(x),
  Tanhshrink: (x) => x - Math.tanh(x),
};

const WHOLE: Readonly<Record<string, Activation>> = {
  LogSoftmax(values) {
    const most = Math.max(...Array.from(values));
    const shift = Math.log(Math.max(...softmaxOf(values))) - most;
    return Float64Array.from(values, (x) => x + shift);
  },
  Softmax: softmaxOf,
  Softmin: (values) => softmaxOf(Float64Array.from(values, (x) => -x)),
};

export function activationNames(): string {
  return `torch's ${Object.keys({ ...ELEMENTWISE, ...WHOLE }).join(", ")}`;
}

/** @returns undefined for what is none of these, and for classes that are not torch's */
export function activationAt(path: string): Activation | undefined {
  const name = /^torch\.(?:\w+\.)*(\w+)$/.exec(path)?.[1] ?? "";
  const each = Object.hasOwn(ELEMENTWISE, name) ? ELEMENTWISE[name] : undefined;
  if (each) return (values) => Float64Array.from(values, (x) => each(x));
  return Object.hasOwn(WHOLE, name) ? WHOLE[name] : undefined;
}

export function softmaxOf(logits: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(logits);
  const largest = values.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const powers = values.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((total, x) => total + x, 0);
  return powers.map((x) => x / sum);
}
