export * from './common.ts';
export * from './people.ts';
export * from './models.ts';
export * from './deployments.ts';
export * from './logs.ts';
export * from './tags.ts';
export * from './registries.ts';
export * from './audit.ts';
