/**
 * Reads a pickle without running it. Python's unpickler imports whatever a file names and calls it with arguments out of
 * the file; here a file can build lists, dicts, strings and numbers, and every name it utters is put to `PickleRules`,
 * which know a handful. The opcodes are those that Python's own pickler writes for such data in protocols 2 to 5
 * (Lib/pickletools.py describes them all); any other is refused by its name.
 */
import { utf8 } from "../bytes.ts";
import { quote } from "../faults.ts";

/** What a file may speak of. Both throw PickleError to refuse, without the place, which is added. */
export interface PickleRules {
  /** What `module.name` stands for. A function may be called by the file, with a tuple. */
  global(name: string): unknown;
  /** What a persistent id, a reference to something outside the pickle, stands for. */
  persistent(id: unknown): unknown;
}

/** A pickle that is malformed or asks for what is not allowed. */
export class PickleError extends Error {
  override readonly name = "PickleError";
  /** The bytes given end before the pickle does. */
  readonly cut: boolean;
  constructor(message: string, cut: boolean = false) {
    super(message);
    this.cut = cut;
  }
}

/** Of a pickle; it must be held whole. That of a thousand tensors takes 100 kB. */
export const MAX_PICKLE_BYTES: number = 67_108_864;

/**
 * Opcodes, and elements of the arguments of calls. A thousand tensors need 50,000; each may take a few hundred bytes of
 * memory here, and a list given to a thousand calls costs its length a thousand times.
 */
const MAX_STEPS = 1_000_000;

/** torch's magic number has 10. */
const MAX_INTEGER_BYTES = 16;

/** The opcodes that are not read, each in hexadecimal before its name in pickletools. */
const REFUSED =
  "32DUP 46FLOAT 49INT 4cLONG 50PERSID 53STRING 56UNICODE 64DICT 67GET 69INST 6cLIST 6fOBJ 70PUT 81NEWOBJ 82EXT1 " +
  "83EXT2 84EXT4 8fEMPTY_SET 90ADDITEMS 91FROZENSET 92NEWOBJ_EX 96BYTEARRAY8 97NEXT_BUFFER 98READONLY_BUFFER";

/**
 * The pickle that begins at `begin`, and where it ends. A dict is a `Map`, a list an array, a tuple a frozen array, None
 * is null, bytes are a view of `bytes`; an integer beyond 2^53 is a bigint. Values may be shared, and lists and dicts may
 * hold themselves: nobody should walk them without counting.
 * @throws PickleError
 */
export function readPickle(bytes: Uint8Array, begin: number, rules: PickleRules): { value: unknown; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const memo = new Map<number, unknown>();
  /** What has been built since the last mark; those before it wait in `marked`. */
  let stack: unknown[] = [];
  const marked: unknown[][] = [];
  let at = begin;
  let steps = 0;

  function spend(amount: number): void {
    steps += amount;
    if (steps > MAX_STEPS) throw new PickleError(`it takes more than ${MAX_STEPS} steps`);
  }

  /** Where `length` bytes are, which are then behind us. */
  function take(length: number): number {
    if (length > bytes.length - at)
      throw new PickleError(`${length} bytes are needed, ${bytes.length - at} left`, true);
    at += length;
    return at - length;
  }

  function blob(length: number): Uint8Array {
    const from = take(length);
    return bytes.subarray(from, from + length);
  }

  function text(length: number): string {
    const found = utf8(blob(length));
    if (found === undefined) throw new PickleError("a string is not UTF-8");
    return found;
  }

  function line(): string {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) throw new PickleError("a line has no end", true);
    const found = text(end - at);
    at++;
    return found;
  }

  const uint8 = (): number => view.getUint8(take(1));
  const uint32 = (): number => view.getUint32(take(4), true);
  const uint64 = (): number => Number(view.getBigUint64(take(8), true)); // rounded only where far beyond any file

  /** Little-endian, in two's complement. */
  function integer(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) {
      throw new PickleError(`an integer of ${length} bytes, at most ${MAX_INTEGER_BYTES} are read`);
    }
    const unsigned = blob(length).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    const value = BigInt.asIntN(8 * length, unsigned);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  function top(): unknown {
    if (stack.length === 0) throw new PickleError("nothing is on the stack");
    return stack.at(-1);
  }

  function pop(): unknown {
    const value = top();
    stack.pop();
    return value;
  }

  function popMark(): unknown[] {
    const items = stack;
    const below = marked.pop();
    if (below === undefined) throw new PickleError("no mark is on the stack");
    stack = below;
    return items;
  }

  function tuple(length: number): readonly unknown[] {
    if (stack.length < length) throw new PickleError(`${stack.length} values are on the stack, ${length} are needed`);
    return Object.freeze(stack.splice(stack.length - length));
  }

  function append(items: readonly unknown[]): void {
    const list = top();
    if (!Array.isArray(list) || Object.isFrozen(list)) throw new PickleError("it appends to what is no list");
    for (const item of items) list.push(item);
  }

  function setItems(items: readonly unknown[]): void {
    const dict = top();
    if (!(dict instanceof Map)) throw new PickleError("it sets items of what is no dict");
    if (items.length % 2 !== 0) throw new PickleError("a key of a dict has no value");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  }

  function call(): unknown {
    const args = pop();
    const callee = pop();
    if (!Array.isArray(args) || !Object.isFrozen(args)) throw new PickleError("the arguments of a call are no tuple");
    if (typeof callee !== "function") throw new PickleError("it calls what is no function");
    spend(args.length);
    for (const arg of args) if (Array.isArray(arg)) spend(arg.length);
    return callee(args);
  }

  function recall(index: number): unknown {
    if (!memo.has(index)) throw new PickleError(`memo ${index} is empty`);
    return memo.get(index);
  }

  function stackGlobal(): unknown {
    const name = pop();
    const module = pop();
    if (typeof name !== "string" || typeof module !== "string") throw new PickleError("a global's name is no string");
    return rules.global(`${module}.${name}`);
  }

  /** Carries out one opcode. @returns whether it was the last */
  function step(): boolean {
    const code = uint8();
    spend(1);
    switch (code) {
      // PROTO
      case 0x80: {
        const protocol = uint8();
        if (protocol < 2 || protocol > 5) throw new PickleError(`protocol ${protocol}, 2 to 5 are read`);
        return false;
      }
      case 0x95: // FRAME
        take(8); // how far a reader of streams should read ahead
        return false;
      case 0x2e: // STOP
        return true;
      case 0x28: // MARK
        marked.push(stack);
        stack = [];
        return false;
      case 0x30: // POP
        pop();
        return false;
      case 0x31: // POP_MARK
        popMark();
        return false;
      case 0x71: // BINPUT
        memo.set(uint8(), top());
        return false;
      case 0x72: // LONG_BINPUT
        memo.set(uint32(), top());
        return false;
      case 0x94: // MEMOIZE
        memo.set(memo.size, top());
        return false;
      case 0x61: // APPEND
        append([pop()]);
        return false;
      case 0x65: // APPENDS
        append(popMark());
        return false;
      case 0x73: // SETITEM
        setItems(tuple(2));
        return false;
      case 0x75: // SETITEMS
        setItems(popMark());
        return false;
      case 0x62: // BUILD
        // Attributes of a dict: a state dict has `_metadata`, the versions of its modules, which says nothing to us.
        pop();
        if (!(top() instanceof Map)) throw new PickleError("it sets attributes of what is no dict");
        return false;
      default: {
        const made = value(code); // which may change what `stack` is
        stack.push(made);
        return false;
      }
    }
  }

  /** What an opcode puts on the stack. */
  function value(code: number): unknown {
    switch (code) {
      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x4a: // BININT
        return view.getInt32(take(4), true);
      case 0x4b: // BININT1
        return uint8();
      case 0x4d: // BININT2
        return view.getUint16(take(2), true);
      case 0x8a: // LONG1
        return integer(uint8());
      case 0x8b: // LONG4
        return integer(uint32());
      case 0x47: // BINFLOAT
        return view.getFloat64(take(8));
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING: text of Python 2, as torch.load takes it by default
        return text(uint8());
      case 0x58: // BINUNICODE
      case 0x54: // BINSTRING
        return text(uint32());
      case 0x8d: // BINUNICODE8
        return text(uint64());
      case 0x43: // SHORT_BINBYTES
        return blob(uint8());
      case 0x42: // BINBYTES
        return blob(uint32());
      case 0x8e: // BINBYTES8
        return blob(uint64());
      case 0x29: // EMPTY_TUPLE
        return Object.freeze([]);
      case 0x85: // TUPLE1
        return tuple(1);
      case 0x86: // TUPLE2
        return tuple(2);
      case 0x87: // TUPLE3
        return tuple(3);
      case 0x74: // TUPLE
        return Object.freeze(popMark());
      case 0x5d: // EMPTY_LIST
        return [];
      case 0x7d: // EMPTY_DICT
        return new Map();
      case 0x68: // BINGET
        return recall(uint8());
      case 0x6a: // LONG_BINGET
        return recall(uint32());
      // GLOBAL
      case 0x63: {
        const module = line();
        return rules.global(`${module}.${line()}`);
      }
      case 0x93: // STACK_GLOBAL
        return stackGlobal();
      case 0x52: // REDUCE
        return call();
      case 0x51: // BINPERSID
        return rules.persistent(pop());
      default: {
        const hex = code.toString(16).padStart(2, "0");
        const name = new RegExp(`\\b${hex}(\\S+)`).exec(REFUSED)?.[1] ?? "unknown to pickle";
        throw new PickleError(`opcode 0x${hex} (${name}) is refused; nothing was executed`);
      }
    }
  }

  let opcode = at;
  try {
    while (!step()) opcode = at;
    const result = pop();
    if (stack.length + marked.length > 0) throw new PickleError("it leaves more than one value");
    return { value: result, end: at };
  } catch (error) {
    if (!(error instanceof PickleError)) throw error;
    throw new PickleError(`${error.message}, at byte ${opcode - begin} of the pickle`, error.cut);
  }
}

/** What kind of thing a value of a pickle is, for messages. */
export function describeValue(value: unknown): string {
  if (value === null) return "None";
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `a ${Object.isFrozen(value) ? "tuple" : "list"} of ${value.length}`;
  if (typeof value === "string") return quote(value);
  return typeof value === "object" || typeof value === "function" ? "no plain value" : String(value);
}
