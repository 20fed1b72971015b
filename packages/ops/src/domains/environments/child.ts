import { spawn } from 'node:child_process';

export interface ChildOptions {
  env: Record<string, string>;
  cwd?: string;
  onLine?: (line: string) => void;
  signal?: AbortSignal;
  /** When aborted it is told by the end of its standard input, and ended after this long; at once when not given. */
  graceMs?: number;
  /** Ended when it says nothing for this long, and in any case after `timeoutMs`. */
  silenceMs: number;
  timeoutMs: number;
}
export interface ChildEnd {
  code: number | null;
  /** Its last lines, of stdout and stderr. */
  lines: string[];
  stdout: string;
  /** Why this side ended it. */
  ended?: 'silence' | 'timeout' | 'aborted';
}

const keepLines = 400;
const keepBytes = 4 * 1024 * 1024;
const maxLine = 4096;

/** What a child sees of the environment: what programs need to start, and nothing else of ours. */
export function plainEnvironment(more: Record<string, string> = {}): Record<string, string> {
  const names = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'LD_LIBRARY_PATH', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];
  return { ...Object.fromEntries(names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name] as string]]))), ...more };
}

/** Runs a program in a process group of its own, hands on its lines and ends the whole group when it is over. Never throws. */
export function runChild(command: string, args: readonly string[], options: ChildOptions): Promise<ChildEnd> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: options.env, cwd: options.cwd, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    const lines: string[] = [];
    let stdout = '';
    let ended: ChildEnd['ended'];
    let heard = Date.now();
    const started = heard;
    const kill = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // already gone
      }
    };
    const end = (why: NonNullable<ChildEnd['ended']>): void => {
      ended ??= why;
      kill();
    };
    let grace: NodeJS.Timeout | undefined;
    const abort = (): void => {
      if (options.graceMs === undefined) return end('aborted');
      ended ??= 'aborted';
      child.stdin.end();
      grace = setTimeout(kill, options.graceMs);
    };
    const watch = setInterval(() => {
      const now = Date.now();
      if (now - heard > options.silenceMs) end('silence');
      else if (now - started > options.timeoutMs) end('timeout');
    }, Math.min(1000, options.silenceMs / 2));
    child.stdin.on('error', () => {}); // held open: what sees it end knows that we are gone
    if (options.signal?.aborted === true) abort();
    options.signal?.addEventListener('abort', abort, { once: true });
    for (const name of ['stdout', 'stderr'] as const) {
      let rest = '';
      child[name].setEncoding('utf8').on('data', (text: string) => {
        heard = Date.now();
        if (name === 'stdout') stdout = (stdout + text).slice(-keepBytes);
        const parts = (rest + text).split(/\r?\n|\r/);
        rest = (parts.pop() ?? '').slice(0, maxLine * 2);
        for (const part of parts) put(part);
      }).on('end', () => put(rest));
    }
    function put(line: string): void {
      if (line.trim() === '') return;
      const cut = line.length > maxLine ? `${line.slice(0, maxLine)}…` : line;
      lines.push(cut);
      if (lines.length > keepLines) lines.shift();
      options.onLine?.(cut);
    }
    let done = false;
    const over = (code: number | null): void => {
      if (done) return;
      done = true;
      clearInterval(watch);
      clearTimeout(grace);
      options.signal?.removeEventListener('abort', abort);
      kill();
      resolve({ code, lines, stdout, ...(ended && { ended }) });
    };
    child.once('error', (error) => { lines.push(error.message); over(null); });
    child.once('close', (code) => over(code));
    child.once('exit', () => setTimeout(kill, 500).unref()); // what it started may hold its pipes open
  });
}
