/** The complete example of docs/training.md, which the test puts there. */
declare module "example-of-the-documents" {
  export function trainClassifier(
    engine: import("bert-webgpu").Engine,
    folder: import("bert-webgpu").Folder,
  ): Promise<Map<string, Uint8Array[]>>;
}
