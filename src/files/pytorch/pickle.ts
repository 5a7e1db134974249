/**
 * Reads a pickle without running it. Python's unpickler imports whatever a file names and calls it with arguments out of
 * the file; here a file can build lists, dicts, strings and numbers, and every name it utters is put to `PickleRules`,
 * which know a handful. The opcodes are those that Python's own pickler writes for such data in protocols 2 to 5
 * (Lib/pickletools.py describes them all); any other is refused by its name.
 */
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

/** Names as in pickletools: of the opcodes that are characters, each after its own; then of those from 0x80 on. */
const CHARACTERS =
  "(MARK )EMPTY_TUPLE .STOP 0POP 1POP_MARK 2DUP ]EMPTY_LIST }EMPTY_DICT BBINBYTES CSHORT_BINBYTES FFLOAT GBINFLOAT IINT " +
  "JBININT KBININT1 LLONG MBININT2 NNONE PPERSID QBINPERSID RREDUCE SSTRING TBINSTRING USHORT_BINSTRING VUNICODE " +
  "XBINUNICODE aAPPEND bBUILD cGLOBAL dDICT eAPPENDS gGET hBINGET iINST jLONG_BINGET lLIST oOBJ pPUT qBINPUT " +
  "rLONG_BINPUT sSETITEM tTUPLE uSETITEMS";
const FROM_0X80 =
  "PROTO NEWOBJ EXT1 EXT2 EXT4 TUPLE1 TUPLE2 TUPLE3 NEWTRUE NEWFALSE LONG1 LONG4 SHORT_BINUNICODE BINUNICODE8 " +
  "BINBYTES8 EMPTY_SET ADDITEMS FROZENSET NEWOBJ_EX STACK_GLOBAL MEMOIZE FRAME BYTEARRAY8 NEXT_BUFFER READONLY_BUFFER";
const OPCODES: ReadonlyMap<number, string> = /* @__PURE__ */ opcodes();

function opcodes(): Map<number, string> {
  return new Map([
    ...CHARACTERS.split(" ").map((name): [number, string] => [name.charCodeAt(0), name.slice(1)]),
    ...FROM_0X80.split(" ").map((name, i): [number, string] => [0x80 + i, name]),
  ]);
}

/**
 * The pickle that begins at `begin`, and where it ends. A dict is a `Map`, a list an array, a tuple a frozen array, None
 * is null, bytes are a view of `bytes`; an integer beyond 2^53 is a bigint. Values may be shared, and lists and dicts may
 * hold themselves: nobody should walk them without counting.
 * @throws PickleError
 */
export function readPickle(bytes: Uint8Array, begin: number, rules: PickleRules): { value: unknown; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
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
    const encoded = blob(length);
    try {
      return utf8.decode(encoded);
    } catch {
      throw new PickleError("a string is not UTF-8");
    }
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

  function pop(): unknown {
    if (stack.length === 0) throw new PickleError("nothing is on the stack");
    return stack.pop();
  }

  function top(): unknown {
    if (stack.length === 0) throw new PickleError("nothing is on the stack");
    return stack.at(-1);
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
    const opcode = OPCODES.get(code);
    spend(1);
    switch (opcode) {
      case "PROTO": {
        const protocol = uint8();
        if (protocol < 2 || protocol > 5) throw new PickleError(`protocol ${protocol}, 2 to 5 are read`);
        return false;
      }
      case "FRAME":
        take(8); // how far a reader of streams should read ahead
        return false;
      case "STOP":
        return true;
      case "MARK":
        marked.push(stack);
        stack = [];
        return false;
      case "POP":
        pop();
        return false;
      case "POP_MARK":
        popMark();
        return false;
      case "BINPUT":
        memo.set(uint8(), top());
        return false;
      case "LONG_BINPUT":
        memo.set(uint32(), top());
        return false;
      case "MEMOIZE":
        memo.set(memo.size, top());
        return false;
      case "APPEND":
        append([pop()]);
        return false;
      case "APPENDS":
        append(popMark());
        return false;
      case "SETITEM":
        setItems(tuple(2));
        return false;
      case "SETITEMS":
        setItems(popMark());
        return false;
      case "BUILD":
        // Attributes of a dict: a state dict has `_metadata`, the versions of its modules, which says nothing to us.
        pop();
        if (!(top() instanceof Map)) throw new PickleError("it sets attributes of what is no dict");
        return false;
      default: {
        const made = value(code, opcode); // which may change what `stack` is
        stack.push(made);
        return false;
      }
    }
  }

  /** What an opcode puts on the stack. */
  function value(code: number, opcode: string | undefined): unknown {
    switch (opcode) {
      case "NONE":
        return null;
      case "NEWTRUE":
        return true;
      case "NEWFALSE":
        return false;
      case "BININT":
        return view.getInt32(take(4), true);
      case "BININT1":
        return uint8();
      case "BININT2":
        return view.getUint16(take(2), true);
      case "LONG1":
        return integer(uint8());
      case "LONG4":
        return integer(uint32());
      case "BINFLOAT":
        return view.getFloat64(take(8));
      case "SHORT_BINUNICODE":
      case "SHORT_BINSTRING": // text of Python 2, as torch.load takes it by default
        return text(uint8());
      case "BINUNICODE":
      case "BINSTRING":
        return text(uint32());
      case "BINUNICODE8":
        return text(uint64());
      case "SHORT_BINBYTES":
        return blob(uint8());
      case "BINBYTES":
        return blob(uint32());
      case "BINBYTES8":
        return blob(uint64());
      case "EMPTY_TUPLE":
        return Object.freeze([]);
      case "TUPLE1":
        return tuple(1);
      case "TUPLE2":
        return tuple(2);
      case "TUPLE3":
        return tuple(3);
      case "TUPLE":
        return Object.freeze(popMark());
      case "EMPTY_LIST":
        return [];
      case "EMPTY_DICT":
        return new Map();
      case "BINGET":
        return recall(uint8());
      case "LONG_BINGET":
        return recall(uint32());
      case "GLOBAL": {
        const module = line();
        return rules.global(`${module}.${line()}`);
      }
      case "STACK_GLOBAL":
        return stackGlobal();
      case "REDUCE":
        return call();
      case "BINPERSID":
        return rules.persistent(pop());
      default: {
        const name = opcode ?? "unknown to pickle";
        throw new PickleError(
          `opcode 0x${code.toString(16).padStart(2, "0")} (${name}) is refused; nothing was executed`,
        );
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
