import { bytesText, type Output } from './output.ts';

/** Milliseconds between two drawings of a bar, and between two plain lines where nothing can be redrawn. */
const every = { bar: 80, line: 5000 } as const;

export interface Progress {
  /** `total` is null where it is not known. */
  update(done: number, total: number | null): void;
  note(text: string): void;
  end(): void;
}

/** A bar on a terminal, a line now and then elsewhere, nothing with `--json`. */
export function progress(output: Output, title: string, unit: 'bytes' | 'replicas' | 'records', clock: () => number = Date.now): Progress {
  if (output.json) return { update: () => undefined, note: () => undefined, end: () => undefined };
  const amount = (n: number): string => (unit === 'bytes' ? bytesText(n) : String(n));
  let last = Number.NEGATIVE_INFINITY;
  let shown = '';
  let over = false;
  const say = (text: string): void => {
    if (over || text === shown) return;
    shown = text;
    if (output.interactive) output.redraw(text);
    else output.err(text);
  };
  return {
    update(done, total) {
      const finished = total !== null && done >= total;
      const now = clock();
      if (!finished && now - last < (output.interactive ? every.bar : every.line)) return;
      last = now;
      const share = total === null || total === 0 ? null : Math.min(1, done / total);
      const figures = total === null ? `${amount(done)}${unit === 'records' ? ' records' : ''}` : `${amount(done)} of ${amount(total)}`;
      say(output.interactive && share !== null ? `${title}  ${bar(share)} ${figures}` : `${title}: ${figures}`);
    },
    note: (text) => say(`${title}: ${text}`),
    end() {
      over = true;
      if (output.interactive && shown !== '') output.redraw('');
      shown = '';
    },
  };
}

/** A line of an upload log without its time and stream. */
export const logText = (line: string): string => line.replace(/^\S+Z (stdout|stderr) F /, '');

/** Runs what tells in lines how it gets on, with the newest of them shown. */
export async function toldLines<T>(output: Output, title: string, run: (onLog: (line: string) => void) => Promise<T>): Promise<T> {
  const told = progress(output, title, 'records');
  try {
    return await run((line) => told.note(logText(line)));
  } finally {
    told.end();
  }
}

function bar(share: number): string {
  const width = 24;
  const full = Math.round(share * width);
  return `[${'█'.repeat(full)}${'░'.repeat(width - full)}]`;
}
