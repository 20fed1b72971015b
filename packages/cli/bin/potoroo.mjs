#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('The potoroo command is not built yet. In the checkout, run: npm run build');
  process.exit(1);
}
await import(main.href);
