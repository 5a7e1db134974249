/** Reading what RADV prints of a shader. */

import { describe, expect, test } from "vitest";
import { mainLoopOf, resourcesOf, turnsOf } from "../../bench/isa/assembly.ts";

const STATS = `
VGPRs: 96
Spilled SGPRs: 1
Spilled VGPRs: 2
LDS size: 16384
Subgroups per SIMD: 10
Instructions: 763
`;

/** A loop over k with a staging loop of four turns, and a product of eight multiply-adds in a loop of two. */
const SHADER = `
BB0:
	s_mov_b64 exec, -1
BB1:
	s_cmp_ge_u32 s5, s14                                        ; bf090e05
	s_cbranch_scc1 BB9                                          ; bfa2026d
BB2:
	v_cmp_le_u32_e32 vcc, 0x400, v19                            ; 7c9626c0
	s_cbranch_vccnz BB4
BB3:
	buffer_load_b128 v[28:31], v24, s[24:27], 0 offen
	s_waitcnt vmcnt(0)
	ds_store_b128 v23, v[40:43]
	v_add_nc_u32_e32 v19, 0x100, v19
	s_branch BB2
BB4:
	s_barrier
BB5:
	s_cmp_ge_u32 s7, 16
	s_cbranch_scc1 BB8
BB6:
	ds_load_b128 v[1:4], v9
	ds_load_2addr_b64 v[5:8], v9 offset0:2 offset1:3
	v_fmac_f32_e32 v5, v41, v24
	v_dual_fmac_f32 v8, v42, v25 :: v_dual_fmac_f32 v7, v43, v25
	v_fma_mix_f32 v1, v2, v3, v4
	v_mad_u32_u24 v1, v2, v3, v4
	s_add_u32 s7, s7, 8
	s_branch BB5
BB8:
	s_add_u32 s5, s5, 16
	s_branch BB1
BB9:
	v_fma_f32 v1, v2, v3, v4
`;

test("resources", () => {
  const text = SHADER + STATS;
  expect(resourcesOf(text)).toEqual({
    ...{ vectorRegisters: 96, spilled: 3, workgroupMemory: 16384, subgroupsPerSimd: 10, instructions: 763 },
    subgroup: 64,
  });
  expect(() => resourcesOf(SHADER)).toThrow('no "VGPRs"');
});

describe("the main loop", () => {
  test("counts loops inside as often as they turn", () => {
    const loop = mainLoopOf(SHADER + STATS)!;
    // a turn over k: 5 of its own, 4 x 6 to stage, 2 x 10 to multiply
    expect(loop).toMatchObject({ all: 5 + 4 * 6 + 2 * 10, math: 2 * 3, macs: 2 * 4, unknownTurns: 0, globalLoads: 4 });
    expect(loop.workgroupBytes).toBe(2 * 32);
    expect(loop.inner).toMatchObject({ all: 10, math: 3, macs: 4 });
  });

  test("says where turns cannot be read", () => {
    const loop = mainLoopOf(SHADER.replace("s_cmp_ge_u32 s7, 16", "s_cmp_ge_u32 s7, s9") + STATS)!;
    expect(loop).toMatchObject({ all: 5 + 4 * 6 + 10, macs: 4, unknownTurns: 1 });
  });

  test("is that of matrix products", () => {
    const matrices = SHADER.replace(
      "v_fma_mix_f32 v1, v2, v3, v4",
      "v_wmma_f32_16x16x16_f16 v[1:8], v[9:16], v[17:24], v[1:8]",
    );
    const loop = mainLoopOf(matrices + STATS)!;
    expect(loop.matrixProducts).toBe(2);
    expect(loop.macs).toBe(2 * (3 + 16 ** 3 / 64));
  });

  test("is none where nothing is multiplied", () => {
    expect(mainLoopOf(SHADER.replace(/v_(dual_)?fm\w+/g, "v_mov_b32") + STATS)).toBeUndefined();
  });
});

test("turns of a loop by its compiler's words", () => {
  expect(turnsOf(["v_cmpx_gt_u32_e32 64, v3", "v_add_nc_u32_e32 v3, 16, v3"])).toBe(4);
  expect(turnsOf(["s_cmp_lt_u32 s3, 0x20", "s_add_co_u32 s3, s3, 8"])).toBe(4);
  expect(turnsOf(["v_cmp_le_u32_e32 vcc, 64, v19", "v_add_nc_u32_e32 v19, 0x100, v19"])).toBe(1);
  expect(turnsOf(["s_cmp_lt_u32 s3, s4", "s_add_u32 s3, s3, 8"])).toBeUndefined();
  expect(turnsOf(["s_cmp_lt_u32 s3, 8", "s_add_u32 s2, s2, 8"])).toBeUndefined();
});
