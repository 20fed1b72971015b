import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Context } from './context.ts';

export type ContextOf = (command: Command) => Context;
type Action<A extends unknown[]> = (context: Context, ...parameters: A) => Promise<void>;

/** Gives an action its context; commander calls it with the arguments, then the options, then the command. */
export function action<A extends unknown[]>(contextOf: ContextOf, run: Action<A>): (...parameters: unknown[]) => Promise<void> {
  return async (...parameters) => {
    const command = parameters.pop() as Command;
    await run(contextOf(command), ...(parameters as A));
  };
}

export function example(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
}

export function wholeNumber(minimum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= minimum && text.trim() !== '') return value;
    throw new InvalidArgumentError(`Give a whole number of at least ${minimum}.`);
  };
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('Give a number above 0.');
}

/** `1000`, `100MB`, `2GiB`, in bytes. */
export function size(text: string): number {
  const [, number, unit = 'B'] = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?$/i.exec(text) ?? [];
  const power = ' kmgt'.indexOf(unit.length > 1 ? unit.charAt(0).toLowerCase() : ' ');
  const bytes = Math.round(Number(number) * (unit.toLowerCase().includes('i') ? 1024 : 1000) ** power);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new InvalidArgumentError('Give a size such as 100MB or 2GiB.');
}

/** `90`, `90s`, `5m`, `2h` or `30d`, in milliseconds; a hundred years at most. */
export function duration(text: string): number {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text);
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const milliseconds = found === null ? 0 : Math.round(Number(found[1]) * (units[found[2] ?? 's'] ?? 0));
  if (milliseconds > 0 && milliseconds <= 36_525 * 86_400_000) return milliseconds;
  throw new InvalidArgumentError('Give a time such as 90s, 5m, 2h or 30d.');
}

/** What a timer of Node can take, 24 days. */
const longestTimer = 0x7fffffff;

export const timeoutOption = (text: string, seconds: number): Option => new Option('--timeout <time>', text).argParser((given) => Math.min(duration(given), longestTimer)).default(seconds * 1000, `${seconds}s`);

/** An ISO time, or how long ago, such as `15m`. */
export function moment(text: string): Date {
  if (/^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text)) return new Date(Date.now() - duration(text));
  const date = new Date(text);
  if (!Number.isNaN(date.getTime())) return date;
  throw new InvalidArgumentError('Give a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m.');
}

/** For options that may be repeated. */
export const collect = (text: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text];
