// Hands the published bundle to the tests, from this site as the page's policy asks.
import * as bertWebGpu from "/dist/index.min.js";

globalThis.bertWebGpu = bertWebGpu;
