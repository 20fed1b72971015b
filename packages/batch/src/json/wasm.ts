/**
 * WebAssembly written as TypeScript: an expression is the bytes that compute it, operands first, and a local is the bytes that
 * read it. As much of the instruction set as `plain.ts` needs; no build step and no binary to trust.
 */
export type Code = readonly number[];

type Instruction = (...operands: Code[]) => Code;

const op = (...code: number[]): Instruction => (...operands) => [...operands.flat(), ...code];
const simd = (code: number): Instruction => op(0xfd, ...unsigned(code));

/** LEB128, as all of the format's numbers are. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: bigint): number[] {
  const low = Number(value & 127n);
  const rest = value >> 7n;
  return (rest === 0n && low < 64) || (rest === -1n && low >= 64) ? [low] : [low | 128, ...signed(rest)];
}

const types = { i32: 0x7f, i64: 0x7e, f64: 0x7c, v128: 0x7b };

export const int = (value: number): Code => [0x41, ...signed(BigInt(value))];
export const long = (value: bigint): Code => [0x42, ...signed(value)];
export const double = (value: number): Code => [0x44, ...new Uint8Array(Float64Array.of(value).buffer)];
/** Sixteen bytes, or eight words of 16 bits. */
export const vector = (lanes: Uint8Array | Int16Array): Code => [0xfd, 12, ...new Uint8Array(lanes.buffer)];

export const i32 = { ctz: op(0x68), eq: op(0x46), lt: op(0x49), gt: op(0x4b), le: op(0x4d), ge: op(0x4f), add: op(0x6a), sub: op(0x6b), and: op(0x71), or: op(0x72), xor: op(0x73), shl: op(0x74) };
export const i64 = { gt: op(0x56), add: op(0x7c), mul: op(0x7e), or: op(0x84), shl: op(0x86), from32: op(0xad), bitsOf: op(0xbd) };
export const f64 = { add: op(0xa0), mul: op(0xa2), div: op(0xa3), from32: op(0xb7), from64: op(0xb9), ofBits: op(0xbf) };
export const f32 = { ne: op(0x5c), round: op(0xb6) };
export const i8x16 = { swizzle: simd(14), splat: simd(15), lt: simd(37), ge: simd(43), bitmask: simd(100), add: simd(110), sub: simd(113), subToZero: simd(115) };
export const i16x8 = { splat: simd(16), narrow: simd(134), shiftRight: simd(141), add: simd(142), mul: simd(149), dot: simd(186) };
export const i32x4 = { lane: (vector: Code, lane: number): Code => [...vector, 0xfd, 27, lane] };
export const v128 = { and: simd(78) };

const memory = (...code: number[]) => (address: Code, offset = 0): Code => [...address, ...code, 0, ...unsigned(offset)];
export const load = { byte: memory(0x2d), f64: memory(0x2b), v128: memory(0xfd, 0) };
const stored = (code: number) => (address: Code, value: Code, offset = 0): Code => [...address, ...value, code, 0, ...unsigned(offset)];
export const store = { i32: stored(0x36), f32: stored(0x38), f64: stored(0x39) };

export const set = (local: Code, value: Code): Code => [...value, 0x21, ...local.slice(1)];
export const block = (...body: Code[]): Code => [0x02, 0x40, ...body.flat(), 0x0b];
export const loop = (...body: Code[]): Code => [0x03, 0x40, ...body.flat(), 0x0b];
export const when = (condition: Code, then: Code[], otherwise: Code[] = []): Code => [...condition, 0x04, 0x40, ...then.flat(), 0x05, ...otherwise.flat(), 0x0b];
export const either = (condition: Code, then: Code, otherwise: Code): Code => [...then, ...otherwise, ...condition, 0x1b];
/** Leaves a block, or goes back to the start of a loop: the innermost around this is 0. */
export const go = (depth: number): Code => [0x0c, depth];
export const goIf = (depth: number, condition: Code): Code => [...condition, 0x0d, depth];

/** A module with one exported function `run` of 32-bit integers that gives one, and so many pages of 64 KiB of memory. Its parameters come before its locals. */
export function assemble(pages: number, write: (parameter: () => Code, local: (type: keyof typeof types) => Code) => Code): Uint8Array {
  const parameters: number[] = [];
  const locals: number[] = [];
  const next = (list: number[], type: number): Code => {
    list.push(type);
    return [0x20, parameters.length + locals.length - 1];
  };
  const instructions = write(() => next(parameters, types.i32), (type) => next(locals, types[type]));
  const section = (id: number, ...bytes: number[]): Code => [id, ...unsigned(bytes.length), ...bytes];
  const name = (text: string): Code => [text.length, ...new TextEncoder().encode(text)];
  const code = [...unsigned(locals.length), ...locals.flatMap((type) => [1, type]), ...instructions, 0x0b];
  return Uint8Array.from([
    ...name('\0asm').slice(1), 1, 0, 0, 0,
    ...section(1, 1, 0x60, parameters.length, ...parameters, 1, types.i32),
    ...section(3, 1, 0),
    ...section(5, 1, 0, pages),
    ...section(7, 2, ...name('run'), 0, 0, ...name('memory'), 2, 0),
    ...section(10, 1, ...unsigned(code.length), ...code),
  ]);
}
