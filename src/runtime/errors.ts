/** What can go wrong on a GPU, as exceptions that name the kernel or buffer concerned. */

/** A fault that WebGPU reports through error scopes or a failed compilation. */
export class GpuError extends Error {
  override readonly name = "GpuError";
  readonly kind: "validation" | "out-of-memory" | "internal" | "compile";
  /** The kernel, program or buffer that was at work, e.g. `matmul 128x768x768`. */
  readonly label: string;

  constructor(kind: GpuError["kind"], label: string, message: string) {
    super(`${label}: ${kind} error: ${message}`);
    this.kind = kind;
    this.label = label;
  }
}

/** The GPU device is gone: destroyed, crashed or removed, and everything on it. The message says what comes next. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError";
  readonly reason: string;

  constructor(reason: string, message: string, remedy: string) {
    super(`the GPU device was lost (${reason}): ${message.trim() || "no further detail"}; ${remedy}`);
    this.reason = reason;
  }
}

/** What was asked of is disposed, or was while the call was pending. The message says what was, and the remedy. */
export class DisposedError extends Error {
  override readonly name = "DisposedError";
}

/** WebGPU is missing, or has no adapter for us. The message says what to do about it. */
export class NoWebGpuError extends Error {
  override readonly name = "NoWebGpuError";
}
