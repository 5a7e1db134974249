/** One kernel launch on values of the CPU: how the operator vectors reach the kernels. */

import type { Kernel, Scalar } from "../../src/kernels/index.ts";
import { type Engine, numbersToFloat16 } from "../../src/node/index.ts";

/** f32 or f16 values, or u32 where the kernel takes integers. */
export type LaunchInput = { readonly floats: ArrayLike<number> } | { readonly integers: ArrayLike<number> };

/** Runs `kernel` once; inputs by binding name, outputs by binding name with their number of elements. */
export async function launch<S extends { readonly dtype: Scalar }>(
  engine: Engine,
  kernel: Kernel<S>,
  shape: S,
  inputs: Readonly<Record<string, LaunchInput | undefined>>,
  outputs: Readonly<Record<string, { readonly size: number; readonly dtype?: "f32" | "u32" }>>,
): Promise<Record<string, ArrayLike<number>>> {
  const given = Object.entries(inputs).filter((entry): entry is [string, LaunchInput] => entry[1] !== undefined);
  const program = await engine.record(`conformance ${kernel.name}`, (r) => {
    const operands = new Map(
      given.map(([name, input]) => {
        const [length, dtype] =
          "floats" in input ? [input.floats.length, shape.dtype] : [input.integers.length, "u32" as const];
        return [name, r.input(name, [length], dtype)];
      }),
    );
    for (const [name, { size, dtype }] of Object.entries(outputs)) {
      operands.set(name, r.temporary(name, [size], dtype ?? shape.dtype));
    }
    r.dispatch(kernel, shape, Object.fromEntries(operands));
    for (const name of Object.keys(outputs)) r.output(name, operands.get(name)!);
  });
  const data = given.map(([name, input]) => {
    if ("integers" in input) return [name, Uint32Array.from(input.integers)] as const;
    return [name, shape.dtype === "f16" ? numbersToFloat16(input.floats) : Float32Array.from(input.floats)] as const;
  });
  return program.run(Object.fromEntries(data));
}
