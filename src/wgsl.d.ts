declare module "*.wgsl" {
  const source: string;
  export default source;
}

/** Each .wgsl file of src/kernels as it lies there, by its path. */
declare module "wgsl-files" {
  const files: Readonly<Record<string, string>>;
  export default files;
}
