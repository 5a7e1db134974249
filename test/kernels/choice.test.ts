/**
 * The choice among matmuls over thousands of shapes and devices, held against choices.json: whoever means to change a
 * choice sees there which, and writes the table anew.
 */
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/kernels/kernel.ts";
import { matmulBackwardKernelFor } from "../../src/kernels/matmul/matmul_backward.ts";
import {
  matmulCandidates,
  matmulConfigFor,
  matmulFits,
  matmulKernelFor,
} from "../../src/kernels/matmul/matmul_choice.ts";
import { choiceTable, DEVICES, linearShape, SHAPES } from "./choice_grid.ts";
import recorded from "./choices.json" with { type: "json" };

describe("the choice among matmuls", () => {
  const table = choiceTable({ matmulConfigFor, matmulCandidates, matmulFits });

  test("knows the same configs", () => expect(table.configs).toEqual(recorded.configs));
  test.each(Object.keys(table.chosen))("is the recorded one: %s", (name) => {
    const at = ({ chosen, tried, fits }: typeof table) => [chosen[name], tried[name], fits[name]];
    expect(at(table)).toEqual(at(recorded as typeof table));
  });

  test("can be launched on the device that it is made for", () => {
    for (const traits of Object.values(DEVICES)) {
      for (const sizes of SHAPES) {
        const shape = linearShape(...sizes, "f16");
        const limits = traits?.limits ?? DEFAULT_LIMITS;
        const { workgroups } = matmulKernelFor(shape, traits).plan(shape, limits);
        expect(Math.min(...workgroups)).toBeGreaterThan(0);
        for (const operands of ["nn", "tn"] as const) {
          const of = { ...shape, bias: false, operands, accumulate: operands === "tn" };
          const gradients = matmulBackwardKernelFor(of, traits).plan(of, limits);
          expect(Math.min(...gradients.workgroups)).toBeGreaterThan(0);
        }
      }
    }
  });
});
