/**
 * The part of the contract that needs no schema library: an engine is started often and waited for, and loading schemas
 * that it never uses would be a fifth of its start.
 */
export * from './errors.ts';
export * from './names.ts';
export * from './element.ts';
export * from './steps.ts';
export * from './engine-names.ts';
export type * from './field.ts';
export type * from './pipeline.ts';
export type * from './engine.ts';
export type * from './deployment.ts';
