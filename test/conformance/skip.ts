/** Thrown for a vector that asks for what the kernels do not offer. The message is the reason. */
export class Skip extends Error {
  override readonly name = "Skip";
}
