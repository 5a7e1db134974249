/** The names that the pickle of a state dict speaks of, and what they stand for here. The allow-list is this file. */
import type { StoredDType } from "../dtype.ts";
import { quote } from "../faults.ts";
import { describeValue, PickleError, type PickleRules } from "./pickle.ts";

/** A run of elements that tensors are views of; where its bytes are, the container of the pickle knows. */
export interface Storage {
  readonly kind: "storage";
  readonly key: string;
  readonly dtype: StoredDType;
  readonly elements: number;
}

/** As the file has it: nothing is checked but that these are whole numbers, and not absurdly many. */
export interface StoredTensor {
  readonly kind: "tensor";
  readonly storage: Storage;
  /** Of its first element in the storage; this and `strides` in elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** What was saved, whatever the container. */
export interface Saved {
  readonly root: unknown;
  /** By key: where each storage's bytes begin, from the beginning of the file. They are all there. */
  readonly begins: ReadonlyMap<string, number>;
}

/** A storage class: the element type of what is stored. */
interface StorageType {
  readonly kind: "storage type";
  readonly dtype: StoredDType;
}

const STORAGE_TYPES: Readonly<Record<string, StoredDType>> = {
  FloatStorage: "F32",
  DoubleStorage: "F64",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

/** NumPy's limit too. */
const MAX_RANK = 64;

type Arguments = readonly unknown[];

const GLOBALS: ReadonlyMap<string, unknown> = /* @__PURE__ */ globals();

function globals(): Map<string, unknown> {
  return new Map<string, unknown>([
    ["collections.OrderedDict", orderedDict],
    ["torch.Size", size],
    ["torch._utils._rebuild_tensor_v2", rebuildTensor],
    ["torch._utils._rebuild_parameter", rebuildParameter],
    ["torch._utils._rebuild_parameter_with_state", rebuildParameter],
    ...Object.entries(STORAGE_TYPES).map(([name, dtype]): [string, StorageType] => [
      `torch.${name}`,
      { kind: "storage type", dtype },
    ]),
  ]);
}

/** Rules for the pickle of one file, and the storages that it turns out to refer to, by key. */
export function torchRules(): { rules: PickleRules; storages: ReadonlyMap<string, Storage> } {
  const storages = new Map<string, Storage>();
  const rules: PickleRules = {
    global(name) {
      if (GLOBALS.has(name)) return GLOBALS.get(name);
      const remedy = "only a state dict of dense tensors is read";
      throw new PickleError(`global ${quote(name)} is refused, nothing was executed; ${remedy}`);
    },
    persistent(id) {
      const storage = storageOf(id);
      const known = storages.get(storage.key);
      if (known === undefined) storages.set(storage.key, storage);
      else if (known.dtype !== storage.dtype || known.elements !== storage.elements) {
        const both = [known, storage].map(({ dtype, elements }) => `${elements} x ${dtype}`);
        throw new PickleError(`storage ${quote(storage.key)} is first ${both[0]}, then ${both[1]}`);
      }
      return known ?? storage;
    },
  };
  return { rules, storages };
}

export function isTensor(value: unknown): value is StoredTensor {
  return isOfKind(value, "tensor");
}

/** `("storage", type, key, location, elements)`, before torch 1.6 with a view at the end, which was always None. */
function storageOf(id: unknown): Storage {
  if (!Array.isArray(id)) throw new PickleError(`a persistent id is ${describeValue(id)}, it must be a tuple`);
  const [tag, type, key, , elements, view = null] = id as Arguments;
  if (tag === "module") throw new PickleError("a whole model was saved; save its state dict: model.state_dict()");
  const known = tag === "storage" && isOfKind(type, "storage type") && view === null && id.length <= 6;
  if (!known || typeof key !== "string" || !isSize(elements)) {
    throw new PickleError(
      `a persistent id is not of a storage: (${(id as Arguments).slice(0, 6).map(describeValue).join(", ")})`,
    );
  }
  return { kind: "storage", key, dtype: (type as StorageType).dtype, elements };
}

/** `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, metadata=None)` */
function rebuildTensor(args: Arguments): StoredTensor {
  const [storage, offset, shape, strides, , , metadata = null] = args;
  if (args.length < 6 || args.length > 7 || !isOfKind(storage, "storage"))
    throw wrongArguments("_rebuild_tensor_v2", args);
  // Metadata says that the values are to be negated or conjugated when they are read.
  if (metadata !== null && !(metadata instanceof Map && metadata.size === 0)) {
    throw new PickleError(
      `a tensor has metadata, ${describeValue(metadata)}: resolve_neg() and resolve_conj() it before saving`,
    );
  }
  if (!isWhole(offset) || !isWholes(shape) || !isWholes(strides)) throw wrongArguments("_rebuild_tensor_v2", args);
  // Copies: a list that was checked here could be appended to later.
  return { kind: "tensor", storage: storage as Storage, offset, shape: [...shape], strides: [...strides] };
}

/** `_rebuild_parameter(data, requires_grad, backward_hooks)`; `_with_state` adds attributes of the Python object. */
function rebuildParameter(args: Arguments): StoredTensor {
  const [data] = args;
  if (args.length < 3 || args.length > 4 || !isTensor(data)) throw wrongArguments("_rebuild_parameter", args);
  return data;
}

/** Without arguments, or, from Python 2, with a list of pairs. */
function orderedDict(args: Arguments): Map<unknown, unknown> {
  const [pairs = []] = args;
  const valid =
    args.length <= 1 && Array.isArray(pairs) && pairs.every((pair) => Array.isArray(pair) && pair.length === 2);
  if (!valid) throw wrongArguments("OrderedDict", args);
  return new Map(pairs as [unknown, unknown][]);
}

function size(args: Arguments): unknown {
  if (args.length !== 1 || !isWholes(args[0])) throw wrongArguments("torch.Size", args);
  return Object.freeze([...args[0]]);
}

function wrongArguments(callee: string, args: Arguments): PickleError {
  return new PickleError(`${callee} is called with (${args.slice(0, 8).map(describeValue).join(", ")})`);
}

function isOfKind(value: unknown, kind: string): boolean {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === kind;
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);
const isSize = (value: unknown): value is number => isWhole(value) && value >= 0;
const isWholes = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length <= MAX_RANK && value.every(isWhole);
