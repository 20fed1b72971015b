import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'vitest';
import { root } from './server.ts';

export interface Answer { readonly out: string; readonly err: string; readonly code: number | null }

/** The `potoroo` command in a folder, against a server. `json` wants it to succeed and gives the document it prints. */
export function commandIn(folder: string, url: string) {
  const potoroo = async (args: readonly string[], input = ''): Promise<Answer> => {
    const child = spawn(process.execPath, [join(root, 'packages/cli/bin/potoroo.mjs'), ...args], { cwd: folder, env: { PATH: process.env['PATH'] ?? '', HOME: folder, POTOROO_URL: url } });
    child.stdin.end(input);
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    return { out, err, code: child.exitCode };
  };
  const json = async <T = Record<string, unknown>>(...args: string[]): Promise<T> => {
    const { out, err, code } = await potoroo([...args, '--json']);
    expect(err).toBe('');
    expect(code).toBe(0);
    return JSON.parse(out) as T;
  };
  return { potoroo, json };
}
