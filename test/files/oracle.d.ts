/** The part of npm's `safetensors` 0.0.1 that the tests use; it comes without types. */
declare module "safetensors" {
  export class SafeTensor {
    constructor(buffer: Uint8Array);
    /** `data_offsets` are places in the file. */
    readonly metadata: Map<string, { dtype: string; shape: number[]; data_offsets: number[] }>;
    getTensor(name: string): Uint8Array;
  }
}
