export * from './batch.ts';
export * from './columns.ts';
export * from './conform.ts';
export { decodeRecords, decodeDictionary } from './json/decode.ts';
export { decodeLoose } from './json/loose.ts';
export { encodeRecords, encodeDictionary } from './json/encode.ts';
export { decodeArrow, decodeArrowSchema } from './arrow/read.ts';
export { encodeArrowFile, encodeArrowStream, encodeArrowSchema, arrowSchemaMessage, arrowBatchMessage, type ArrowOptions } from './arrow/write.ts';
export * from './v2.ts';
