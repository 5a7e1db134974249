/** ONNX files, written by hand: the few messages of its protobuf schema that a graph of standard operators needs. */

export interface OnnxTensor {
  readonly name: string;
  /** Empty for a scalar. */
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** A `number` is written as a float, a `bigint` as an integer. */
export type OnnxAttribute = number | bigint | readonly bigint[];

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** An input or output of the graph; a size that is only known at run time is a name. */
export interface OnnxValue {
  readonly name: string;
  readonly type: "float" | "int64";
  readonly dims: readonly (number | string)[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** In an order in which they can be computed. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
}

const IR_VERSION = 8n;
const OPSET = 17n;
const ELEMENT = { float: 1n, int64: 7n };
const ATTRIBUTE = { float: 1n, int: 2n, ints: 7n };

/** A message in pieces, so that weights are not copied. */
type Message = readonly Uint8Array[];

/** The bytes of a .onnx file, to be written one after the other. The tensors' data are views, not copies. */
export function onnxFile(graph: OnnxGraph): Message {
  const body = [
    ...graph.nodes.flatMap((node) => field(1, nodeMessage(node))),
    ...text(2, graph.name),
    ...graph.initializers.flatMap((tensor) => field(5, tensorMessage(tensor))),
    ...graph.inputs.flatMap((value) => field(11, valueMessage(value))),
    ...graph.outputs.flatMap((value) => field(12, valueMessage(value))),
  ];
  const opset = [...text(1, ""), ...integer(2, OPSET)];
  return [...integer(1, IR_VERSION), ...text(2, "bert-webgpu bench"), ...field(7, body), ...field(8, opset)];
}

function nodeMessage({ op, inputs, output, attributes }: OnnxNode): Message {
  return [
    ...inputs.flatMap((name) => text(1, name)),
    ...text(2, output),
    ...text(3, `/${output}`),
    ...text(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) => field(5, attributeMessage(name, value))),
  ];
}

function attributeMessage(name: string, value: OnnxAttribute): Message {
  if (typeof value === "number") {
    return [...text(1, name), key(2, 5), bytesOf(Float32Array.of(value)), ...integer(20, ATTRIBUTE.float)];
  }
  if (typeof value === "bigint") return [...text(1, name), ...integer(3, value), ...integer(20, ATTRIBUTE.int)];
  return [...text(1, name), ...value.flatMap((each) => integer(8, each)), ...integer(20, ATTRIBUTE.ints)];
}

function tensorMessage({ name, dims, data }: OnnxTensor): Message {
  const elements = dims.reduce((product, size) => product * size, 1);
  if (elements !== data.length) {
    throw new RangeError(`${name} is [${dims}], ${elements} elements; its data has ${data.length}`);
  }
  return [
    ...dims.flatMap((size) => integer(1, BigInt(size))),
    ...integer(2, data instanceof Float32Array ? ELEMENT.float : ELEMENT.int64),
    ...text(8, name),
    ...field(9, [bytesOf(data)]),
  ];
}

function valueMessage({ name, type, dims }: OnnxValue): Message {
  const sizes = dims.flatMap((size) => field(1, typeof size === "string" ? text(2, size) : integer(1, BigInt(size))));
  return [...text(1, name), ...field(2, field(1, [...integer(1, ELEMENT[type]), ...field(2, sizes)]))];
}

/** A length and as many bytes. */
function field(number: number, content: Message): Message {
  const length = content.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return [key(number, 2), varint(BigInt(length)), ...content];
}

function text(number: number, value: string): Message {
  return field(number, [new TextEncoder().encode(value)]);
}

function integer(number: number, value: bigint): Message {
  return [key(number, 0), varint(value)];
}

function key(number: number, wireType: number): Uint8Array {
  return varint(BigInt((number << 3) | wireType));
}

/** Seven bits a byte, the lowest first; negative ones as 64 bits. */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.of(...bytes, Number(rest));
}

/** Little-endian, as the format asks and every machine that Node runs WebGPU on. */
function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
