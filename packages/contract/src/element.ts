/** Element types of a column. `timestamp` is milliseconds since the epoch (UTC) in 64 bits; `bool` is one byte, 0 or 1. */
export const elementTypes = [
  'bool', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64', 'string', 'timestamp',
] as const;
export type ElementType = (typeof elementTypes)[number];
