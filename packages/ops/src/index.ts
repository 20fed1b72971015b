export { createOps, type Ops, type OpsOptions } from './app.ts';
export { administratorFile } from './administrator.ts';
export { publicUrlOf, readSettings, type Settings } from './settings.ts';
