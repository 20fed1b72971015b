export { maxFrameBytes, maxFrameRows, type LogField, type LogModel, type LogPipeline, type LogRequest, type LogRows, type LogSchema, type LogType, logTypeOf, isOfType, decodeSchema } from './format.ts';
export { FrameEncoder } from './write.ts';
export { FrameReader, rowRange, type RawFrame } from './read.ts';
export { decodeRows } from './decode.ts';
export { nullColumn, rowsToBatch } from './rows.ts';
