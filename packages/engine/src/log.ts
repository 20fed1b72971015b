const levels = { debug: 10, info: 20, warn: 30, error: 40, silent: 100 } as const;
type Level = keyof typeof levels;
export type LogLevel = Level;

let threshold: number = levels.info;
let bound: Record<string, unknown> = {};

export function isLogLevel(text: string): text is LogLevel {
  return Object.hasOwn(levels, text);
}

/** Sets what is written, and fields that every line carries (which pipeline, which partition). */
export function configureLog(level: LogLevel, fields: Record<string, unknown>): void {
  threshold = levels[level];
  bound = fields;
}

// Whoever read this may be gone, as a host that was killed. Unheard, that error would be the engine's end, and the line about that the next.
process.stdout.on('error', () => {});

function write(level: Exclude<Level, 'silent'>, message: string, fields?: Record<string, unknown>): void {
  if (levels[level] < threshold) return;
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...bound, ...fields })}\n`);
}

/** One JSON object a line on standard output. Written here, as a logging library would cost a fifth of the start-up time. */
export const log = {
  debug: (message: string, fields?: Record<string, unknown>): void => write('debug', message, fields),
  info: (message: string, fields?: Record<string, unknown>): void => write('info', message, fields),
  warn: (message: string, fields?: Record<string, unknown>): void => write('warn', message, fields),
  error: (message: string, fields?: Record<string, unknown>): void => write('error', message, fields),
};
