import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PickleError, type PickleRules, readPickle } from "../../src/files/pytorch/pickle.ts";
import { torchRules } from "../../src/files/pytorch/rebuild.ts";
import {
  bytes,
  type Code,
  call,
  dict,
  FALSE,
  global,
  int,
  ints,
  list,
  little,
  NONE,
  ORDERED_DICT,
  pickle,
  text,
  tuple,
} from "./pytorch_build.ts";

const rules: PickleRules = {
  global(name) {
    if (name === "test.double") return ([value]: readonly number[]) => [value, value];
    throw new PickleError(`no ${name}`);
  },
  persistent: (id) => ["persistent", id],
};

const read = (...code: readonly (Code | string)[]): unknown => readPickle(pickle(...code), 0, rules).value;

describe("values", () => {
  test.each<[string, Code | string, unknown]>([
    ["None", "N", null],
    ["True", [0x88], true],
    ["False", FALSE, false],
    ["BININT", int(-7), -7],
    ["BININT1", [0x4b, 200], 200],
    ["BININT2", [0x4d, 1, 2], 513],
    ["LONG1 of 0 bytes", [0x8a, 0], 0],
    ["LONG1, negative", [0x8a, 2, 0, 0xff], -256],
    ["LONG1 up to 2^53 - 1", int(2n ** 53n - 1n), 2 ** 53 - 1],
    ["LONG1 beyond 2^53", int(2n ** 53n), 2n ** 53n],
    ["LONG4", [0x8b, 3, 0, 0, 0, 1, 2, 3], 0x030201],
    ["BINFLOAT", [0x47, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], 1.5],
    ["BINUNICODE", text("é😀"), "é😀"],
    ["SHORT_BINUNICODE", [0x8c, 1, 0x61], "a"],
    ["BINUNICODE8", bytes([0x8d], little(1, 8), "a"), "a"],
    ["SHORT_BINSTRING", bytes("U", [1], "a"), "a"],
    ["BINSTRING", bytes("T", little(2, 4), "ab"), "ab"],
    ["SHORT_BINBYTES", bytes("C", [2], "ab"), bytes("ab")],
    ["BINBYTES", bytes("B", little(2, 4), "ab"), bytes("ab")],
    ["BINBYTES8", bytes([0x8e], little(2, 8), "ab"), bytes("ab")],
    [
      "tuples",
      tuple(bytes(")"), bytes("N", [0x85]), bytes("NN", [0x86]), bytes("NNN", [0x87])),
      [[], [null], [null, null], [null, null, null]],
    ],
    ["a list", bytes("]Na(NNe"), [null, null, null]],
    [
      "a dict",
      bytes("}", text("a"), "Ns(", text("b"), FALSE, "u"),
      new Map<string, unknown>([
        ["a", null],
        ["b", false],
      ]),
    ],
    ["memos", bytes("]q\x05Na0h\x05"), [null]],
    ["long memos", bytes("]r", little(2 ** 32 - 1, 4), "0j", little(2 ** 32 - 1, 4)), []],
    ["MEMOIZE", bytes(text("a"), [0x94], "0", text("b"), [0x94], "0h\x01"), "b"],
    ["FRAME", bytes([0x95], little(1, 8), "N"), null],
    ["POP_MARK", bytes("N(NN1"), null],
    ["GLOBAL and REDUCE", call(global("test", "double"), int(3)), [3, 3]],
    ["STACK_GLOBAL", bytes(text("test"), text("double"), [0x93], tuple(int(3)), "R"), [3, 3]],
    ["BINPERSID", bytes(tuple(int(1)), "Q"), ["persistent", [1]]],
    ["BUILD of a dict", bytes("}", dict({ _metadata: NONE }), "b"), new Map()],
  ])("%s", (_, code, value) => {
    expect(read(code)).toEqual(value);
  });

  test("one after the other", () => {
    const two = bytes(pickle(int(1)), pickle(int(2)));
    const first = readPickle(two, 0, rules);
    expect([first.value, readPickle(two, first.end, rules)]).toEqual([1, { value: 2, end: two.length }]);
  });

  test("shared and cyclic values are shared", () => {
    const value = read("]q\x00(h\x00h\x00e") as unknown[];
    expect(value[0]).toBe(value);
    expect(value[1]).toBe(value);
  });
});

describe("refusals", () => {
  test.each<[string, Code, RegExp]>([
    ["nothing", new Uint8Array(), /1 bytes are needed, 0 left, at byte 0/],
    ["no end", bytes([0x80, 2], "N"), /1 bytes are needed, 0 left, at byte 3 of the pickle/],
    ["protocol 1", bytes([0x80, 1], "N."), /protocol 1, 2 to 5 are read/],
    ["protocol 6", bytes([0x80, 6], "N."), /protocol 6/],
    ["an empty stack", pickle(), /nothing is on the stack, at byte 2/],
    ["a stack that is not used up", pickle("NN"), /leaves more than one value/],
    ["an open mark", pickle("N(N"), /leaves more than one value/],
    ["a tuple of what is not there", pickle("N", [0x86]), /1 values are on the stack, 2 are needed/],
    ["a mark that is not there", pickle("Nt"), /no mark is on the stack/],
    ["a value behind a mark", pickle("N(0"), /nothing is on the stack/],
    ["an empty memo", pickle("h\x07"), /memo 7 is empty/],
    ["a key without a value", pickle("}(Nu"), /a key of a dict has no value/],
    ["items of None", pickle("N(NNu"), /sets items of what is no dict/],
    ["elements of a tuple", pickle(")Na"), /appends to what is no list/],
    ["attributes of a list", pickle("]}b"), /sets attributes of what is no dict/],
    ["a call of a string", pickle(text("a"), ")R"), /calls what is no function/],
    ["a call with a list", pickle(global("test", "double"), "]R"), /arguments of a call are no tuple/],
    ["a global with a number for a name", pickle(text("a"), int(1), [0x93]), /a global's name is no string/],
    ["a string that is not UTF-8", pickle("X", little(1, 4), [0xff]), /a string is not UTF-8/],
    ["a surrogate", pickle("X", little(3, 4), [0xed, 0xa0, 0x80]), /a string is not UTF-8/],
    ["a long string", pickle("X", little(2 ** 32 - 1, 4)), /4294967295 bytes are needed, 1 left/],
    ["a very long string", pickle([0x8d], little(2n ** 64n - 1n, 8)), /18446744073709552000 bytes are needed/],
    ["a long integer", pickle([0x8b], little(2 ** 31, 4)), /an integer of 2147483648 bytes, at most 16 are read/],
    ["a line without end", bytes("cos"), /a line has no end/],
    ["a thing of opcode 0xff", pickle([0xff]), /opcode 0xff \(unknown to pickle\) is refused/],
    ...(
      [
        ["2", "DUP"],
        ["F", "FLOAT"],
        ["I", "INT"],
        ["L", "LONG"],
        ["P", "PERSID"],
        ["S", "STRING"],
        ["V", "UNICODE"],
        ["d", "DICT"],
        ["g", "GET"],
        ["i", "INST"],
        ["l", "LIST"],
        ["o", "OBJ"],
        ["p", "PUT"],
        [0x81, "NEWOBJ"],
        [0x82, "EXT1"],
        [0x84, "EXT4"],
        [0x8f, "EMPTY_SET"],
        [0x91, "FROZENSET"],
        [0x92, "NEWOBJ_EX"],
        [0x96, "BYTEARRAY8"],
        [0x98, "READONLY_BUFFER"],
      ] as const
    ).map(([code, name]): [string, Code, RegExp] => [
      name,
      pickle("NN", typeof code === "string" ? code : [code]),
      new RegExp(`opcode 0x.. \\(${name}\\) is refused; nothing was executed, at byte 4`),
    ]),
  ])("%s", (_, code, message) => {
    const attempt = () => readPickle(bytes(code), 0, rules);
    expect(attempt).toThrow(PickleError);
    expect(attempt).toThrow(message);
  });

  test("only what ends too early may be mended by more bytes", () => {
    const whole = pickle(text("a"), dict({ b: list(int(1), text("c")) }), [0x86]);
    for (let length = 0; length < whole.length; length++) {
      expect(() => readPickle(whole.subarray(0, length), 0, rules)).toThrow(expect.objectContaining({ cut: true }));
    }
    expect(() => read("h\x00")).toThrow(expect.objectContaining({ cut: false }));
  });

  test.each<[string, (most: number) => Uint8Array]>([
    ["dicts", (most) => bytes("(", "}".repeat(most))],
    ["marks", (most) => bytes("(".repeat(most))],
    ["tuples in tuples", (most) => bytes(")", new Uint8Array(most).fill(0x85))],
    ["memos", (most) => bytes("N", new Uint8Array(most).fill(0x94))],
    [
      "one long list for many calls",
      () =>
        bytes(
          list(...Array<Code>(1000).fill(tuple(NONE, NONE))),
          "q\x00",
          "0",
          ...Array<Code>(10_000).fill(call(ORDERED_DICT, bytes("h\x00"))),
        ),
    ],
  ])("a million steps are enough: %s", (_, code) => {
    const began = performance.now();
    const { rules } = torchRules();
    expect(() => readPickle(pickle(code(1_100_000)), 0, rules)).toThrow(/it takes more than 1000000 steps/);
    expect(performance.now() - began).toBeLessThan(30_000); // seconds on a busy machine; without the limit, hours
  });

  test("random bytes give a value or a PickleError", () => {
    const alphabet = fc.constantFrom(
      ...bytes("(.0N)]}esuatRQcqhXKM\n", [0x80, 0x85, 0x86, 0x88, 0x8a, 0x8c, 0x93, 0x94, 0, 1, 2]),
    );
    const code = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(alphabet, { maxLength: 60 }).map((codes) => bytes(codes)),
    );
    fc.assert(
      fc.property(code, (random) => {
        try {
          readPickle(random, 0, rules);
        } catch (error) {
          if (!(error instanceof PickleError)) throw error;
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe("names", () => {
  const meet = (...code: readonly (Code | string)[]): unknown =>
    readPickle(pickle(...code), 0, torchRules().rules).value;
  const rebuild = global("torch._utils", "_rebuild_tensor_v2");
  const storage = (key = "0", type = "FloatStorage", elements = 4): Code =>
    bytes(tuple(text("storage"), global("torch", type), text(key), text("cuda:0"), int(elements)), "Q");

  test.each([
    ["posix", "system"],
    ["builtins", "eval"],
    ["torch", "load"],
    ["torch.nn.modules.container", "Sequential"],
    ["torch._utils", "_rebuild_qtensor"],
    ["torch._utils", "_rebuild_sparse_tensor"],
    ["torch", "ComplexFloatStorage"],
    ["torch", "constructor"],
    ["", "__proto__"],
  ])("%s.%s is refused as soon as it is uttered", (module, name) => {
    expect(() => meet(global(module, name))).toThrow(`global "${module}.${name}" is refused, nothing was executed`);
    expect(() => meet(text(module), text(name), [0x93])).toThrow(`global "${module}.${name}" is refused`);
  });

  test("of storages, tensors, parameters and sizes are known", () => {
    const tensor = call(rebuild, storage(), int(1), ints([1, 2]), ints([2, 1]), FALSE, NONE);
    const expected = {
      kind: "tensor",
      storage: { key: "0", dtype: "F32", elements: 4 },
      offset: 1,
      shape: [1, 2],
      strides: [2, 1],
    };
    expect(meet(tensor)).toMatchObject(expected);
    expect(meet(call(global("torch._utils", "_rebuild_parameter"), tensor, FALSE, NONE))).toMatchObject(expected);
    const state = dict({ tag: text("x") });
    expect(
      meet(call(global("torch._utils", "_rebuild_parameter_with_state"), tensor, FALSE, NONE, state)),
    ).toMatchObject(expected);
    expect(meet(call(global("torch", "Size"), ints([3, 4])))).toEqual([3, 4]);
    expect(meet(call(ORDERED_DICT, list(list(text("a"), int(1)))))).toEqual(new Map([["a", 1]]));
  });

  test.each<[string, Code, RegExp]>([
    ["too few arguments", call(rebuild, storage()), /_rebuild_tensor_v2 is called with \(no plain value\)/],
    [
      "no storage",
      call(rebuild, NONE, int(0), ints([]), ints([]), FALSE, NONE),
      /is called with \(None, 0, a tuple of 0/,
    ],
    ["a size that is text", call(rebuild, storage(), int(0), tuple(text("a")), ints([1]), FALSE, NONE), /called with/],
    ["a size of 2^53", call(rebuild, storage(), int(0), tuple(int(2n ** 53n)), ints([1]), FALSE, NONE), /called with/],
    [
      "a fraction",
      call(rebuild, storage(), bytes("G", [0x3f, 0xe0, 0, 0, 0, 0, 0, 0]), ints([]), ints([]), FALSE, NONE),
      /0\.5/,
    ],
    [
      "65 dimensions",
      call(rebuild, storage(), int(0), ints(Array(65).fill(1)), ints([1]), FALSE, NONE),
      /a tuple of 65/,
    ],
    [
      "a negated view",
      call(rebuild, storage(), int(0), ints([1]), ints([1]), FALSE, NONE, dict({ neg: [0x88] })),
      /resolve_neg/,
    ],
    [
      "a parameter of None",
      call(global("torch._utils", "_rebuild_parameter"), NONE, FALSE, NONE),
      /_rebuild_parameter is called/,
    ],
    ["a class as a function", call(global("torch", "FloatStorage"), int(1)), /calls what is no function/],
    ["an OrderedDict of a number", call(ORDERED_DICT, int(1)), /OrderedDict is called with \(1\)/],
    ["a Size of text", call(global("torch", "Size"), text("ab")), /torch.Size is called with \("ab"\)/],
    ["a persistent id that is text", bytes(text("a"), "Q"), /a persistent id is "a", it must be a tuple/],
    ["a module", bytes(tuple(text("module"), NONE, NONE, NONE), "Q"), /a whole model was saved; save its state dict/],
    [
      "a storage of no type",
      bytes(tuple(text("storage"), NONE, text("0"), text("cpu"), int(1)), "Q"),
      /not of a storage: \("storage", None,/,
    ],
    ["a storage of -1", storage("0", "FloatStorage", -1), /not of a storage/],
    [
      "a view of a storage",
      bytes(tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), int(1), ints([1])), "Q"),
      /not of a storage/,
    ],
    [
      "a storage of two types",
      tuple(storage(), storage("0", "HalfStorage")),
      /storage "0" is first 4 x F32, then 4 x F16/,
    ],
    [
      "a storage of two sizes",
      tuple(storage(), storage("0", "FloatStorage", 5)),
      /storage "0" is first 4 x F32, then 5 x F32/,
    ],
  ])("%s", (_, code, message) => {
    expect(() => meet(code)).toThrow(PickleError);
    expect(() => meet(code)).toThrow(message);
  });
});
