/** torch's activation functions against their definitions, at points on every side of their bends. */

import { expect, test } from "vitest";
import { activationAt, activationNames } from "../../../src/bert/tasks/activations.ts";

const POINTS = [-25, -3.5, -1, -0.25, 0, 0.25, 1, 2.5, 8, 25];

/** 9 digits of the formulas of torch's documentation, computed elsewhere. */
const VALUES: Readonly<Record<string, readonly number[]>> = {
  CELU: [-1, -0.969802617, -0.632120559, -0.221199217, 0, 0.25, 1, 2.5, 8, 25],
  ELU: [-1, -0.969802617, -0.632120559, -0.221199217, 0, 0.25, 1, 2.5, 8, 25],
  GELU: [0, -0.000814201777, -0.158655254, -0.100323419, 0, 0.149676581, 0.841344746, 2.48447584, 8, 25],
  Hardshrink: [-25, -3.5, -1, 0, 0, 0, 1, 2.5, 8, 25],
  Hardsigmoid: [0, 0, 0.333333333, 0.458333333, 0.5, 0.541666667, 0.666666667, 0.916666667, 1, 1],
  Hardswish: [0, 0, -0.333333333, -0.114583333, 0, 0.135416667, 0.666666667, 2.29166667, 8, 25],
  Hardtanh: [-1, -1, -1, -0.25, 0, 0.25, 1, 1, 1, 1],
  Identity: [-25, -3.5, -1, -0.25, 0, 0.25, 1, 2.5, 8, 25],
  LeakyReLU: [-0.25, -0.035, -0.01, -0.0025, 0, 0.25, 1, 2.5, 8, 25],
  LogSigmoid: [
    -25,
    -3.52975042,
    -1.31326169,
    -0.82593942,
    -Math.LN2,
    -0.57593942,
    -0.313261688,
    -0.0788897343,
    -0.000335406373,
    -1.38879439e-11,
  ],
  Mish: [
    -3.47198597e-10, -0.104095754, -0.303401461, -0.129926964, 0, 0.16957241, 0.865098388, 2.4713923, 7.9999982, 25,
  ],
  PReLU: [-6.25, -0.875, -0.25, -0.0625, 0, 0.25, 1, 2.5, 8, 25],
  ReLU: [0, 0, 0, 0, 0, 0.25, 1, 2.5, 8, 25],
  ReLU6: [0, 0, 0, 0, 0, 0.25, 1, 2.5, 6, 6],
  RReLU: [-5.72916667, -0.802083333, -0.229166667, -0.0572916667, 0, 0.25, 1, 2.5, 8, 25],
  SELU: [
    -1.75809934, -1.70500934, -1.11133074, -0.388890197, 0, 0.262675247, 1.05070099, 2.62675247, 8.4056079, 26.2675247,
  ],
  Sigmoid: [
    1.38879439e-11, 0.0293122308, 0.268941421, 0.437823499, 0.5, 0.562176501, 0.731058579, 0.92414182, 0.99966465, 1,
  ],
  SiLU: [
    -3.47198597e-10, -0.102592808, -0.268941421, -0.109455875, 0, 0.140544125, 0.731058579, 2.31035455, 7.9973172, 25,
  ],
  Softplus: [
    1.38879439e-11,
    0.0297504183,
    0.313261688,
    0.57593942,
    Math.LN2,
    0.82593942,
    1.31326169,
    2.57888973,
    8.00033541,
    25,
  ],
  Softshrink: [-24.5, -3, -0.5, 0, 0, 0, 0.5, 2, 7.5, 24.5],
  Softsign: [-0.961538462, -0.777777778, -0.5, -0.2, 0, 0.2, 0.5, 0.714285714, 0.888888889, 0.961538462],
  Tanh: [-1, -0.998177898, -0.761594156, -0.244918662, 0, 0.244918662, 0.761594156, 0.986614298, 0.999999775, 1],
  Tanhshrink: [-24, -2.5018221, -0.238405844, -0.0050813376, 0, 0.0050813376, 0.238405844, 1.5133857, 7.00000023, 24],
};

test.each(Object.keys(VALUES))("%s", (name) => {
  const values = activationAt(`torch.nn.modules.activation.${name}`)!(POINTS);
  expect(values).toHaveLength(POINTS.length);
  for (const [i, value] of values.entries()) {
    const right = VALUES[name]![i]!;
    expect(Math.abs(value - right), `at ${POINTS[i]}`).toBeLessThanOrEqual(1e-8 * Math.abs(right) + 1e-15);
  }
});

test("functions of a whole vector", () => {
  const of = (name: string): number[] => [...activationAt(`torch.nn.${name}`)!([0.5, -1, 2])];
  const close = (actual: number[], right: number[]): void =>
    right.forEach((value, i) => {
      expect(actual[i]).toBeCloseTo(value, 12);
    });
  close(of("Softmax"), [0.1752903921400367, 0.039112573270687456, 0.7855970345892759]);
  close(of("LogSoftmax"), [-1.7413112966571571, -3.241311296657157, -0.24131129665715703]);
  close(of("Softmin"), [0.1752903921400367, 0.7855970345892758, 0.03911257327068745]);
  expect([...activationAt("torch.nn.Softmax")!([1000, 0])]).toEqual([1, 0]);
  expect([...activationAt("torch.nn.LogSoftmax")!([1000, 0])]).toEqual([0, -1000]);
});

test("only classes of torch that are known have one", () => {
  const names = activationNames()
    .replace(/^torch's /, "")
    .split(", ");
  expect(names.sort()).toEqual([...Object.keys(VALUES), "LogSoftmax", "Softmax", "Softmin"].sort());
  for (const path of ["torch.nn.GLU", "torch.nn.toString", "my.GELU", "GELU", "torch", "", "torch.nn.GELU()"]) {
    expect(activationAt(path), path).toBeUndefined();
  }
  expect(activationAt("torch.nn.modules.linear.Identity")).toBeDefined();
});
