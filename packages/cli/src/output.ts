/** Where a command writes. Results go to `out`, what tells of progress and errors to `err`, so that results can be piped. */
export interface Output {
  readonly json: boolean;
  /** A terminal that can redraw a line. */
  readonly interactive: boolean;
  out(text: string): void;
  err(text: string): void;
  /** Redraws the last line of the terminal; only where `interactive`. */
  redraw(text: string): void;
}

export function processOutput(json: boolean): Output {
  const interactive = process.stderr.isTTY === true && process.env['TERM'] !== 'dumb';
  return {
    json,
    interactive,
    out: (text) => { process.stdout.write(`${text}\n`); },
    err: (text) => { process.stderr.write(`${text}\n`); },
    redraw: (text) => { process.stderr.write(`\r\u001b[K${text.slice(0, Math.max(20, (process.stderr.columns || 80) - 1))}`); },
  };
}

export type Cell = string | number | boolean | Date | null | undefined;

/** The result of a command: JSON with `--json`, else what `human` says. */
export function show(output: Output, value: unknown, human: () => string): void {
  output.out(output.json ? jsonText(value) : human());
}

export const jsonText = (value: unknown): string => JSON.stringify(value, bigintsAsText, 2);

/** Integers beyond 2^53 keep all their digits. */
export const bigintsAsText = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);

export function table(head: readonly string[], rows: readonly (readonly Cell[])[], empty: string): string {
  if (rows.length === 0) return empty;
  const cells = [head.map((name) => name.toUpperCase()), ...rows.map((row) => row.map(cellText))];
  const widths = head.map((_name, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)));
  return cells.map((row) => row.map((text, i) => (i === head.length - 1 ? text : text.padEnd(widths[i] ?? 0))).join('  ').trimEnd()).join('\n');
}

export function pairs(entries: readonly (readonly [string, Cell])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${cellText(value)}`.trimEnd()).join('\n');
}

function cellText(value: Cell): string {
  if (value === null || value === undefined) return '-';
  if (value instanceof Date) return value.toISOString().replace(/\.\d+Z$/, 'Z');
  return String(value);
}

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
