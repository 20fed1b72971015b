export * from './errors.ts';
export * from './names.ts';
export * from './field.ts';
export * from './pipeline.ts';
export * from './engine.ts';
export * from './deployment.ts';
export * from './api/index.ts';
export * from './ops.ts';
