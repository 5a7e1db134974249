/** How a command ends: 0 well, 2 when its input is at fault, 1 when we are or the GPU is. */

import { CommanderError } from "commander";
import { DeviceLostError, GpuError } from "../../runtime/errors.ts";
import { TrainingError } from "../../train/events.ts";
import { NoAdapterError } from "../device.ts";
import { say } from "./output.ts";

/** What the user gave cannot be used; the message says what to give instead. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** Says on stderr what went wrong, without a stack. @returns the exit code */
export function reportFailure(error: unknown): number {
  if (error instanceof CommanderError) {
    // commander has printed its own message; a help that was asked for is no failure
    return error.exitCode === 0 ? 0 : 2;
  }
  const internal = isInternal(error);
  say(`${internal ? "internal error" : "error"}: ${messageOf(error)}`);
  return internal ? 1 : 2;
}

/** The library refuses what it is given with errors of its own or a RangeError; these are none of them. */
function isInternal(error: unknown): boolean {
  if (error instanceof TrainingError) return error.cause !== undefined && isInternal(error.cause);
  return (
    !(error instanceof Error) ||
    [TypeError, ReferenceError, GpuError, DeviceLostError].some((kind) => error instanceof kind)
  );
}

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Where there is nothing at all, its message says what to install; whoever was choosy needs to hear what there is.
  if (error instanceof NoAdapterError && !["auto", "software"].includes(error.choice)) {
    return `no GPU adapter for "${error.choice}": tried ${error.tried.join("; ")}`;
  }
  const { code, path } = error as NodeJS.ErrnoException;
  if (path !== undefined && code === "ENOENT") return `${path}: there is no such file or folder`;
  if (path !== undefined && code === "EACCES") return `${path}: reading it is not permitted`;
  return error.message;
}
