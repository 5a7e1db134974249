import { defineConfig, type ViteUserConfig } from "vitest/config";
import { closingLine } from "./test/reporter.ts";
import { wgslTexts } from "./wgsl.ts";

const config: ViteUserConfig = defineConfig({
  plugins: [wgslTexts(import.meta.dirname)],
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", closingLine],
    // GPU tests wait for compilers; a process per file keeps one file's device out of another's
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    fileParallelism: false,
  },
});

export default config;
