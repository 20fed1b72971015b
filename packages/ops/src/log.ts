import { pino, type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Ops' own log: plain lines on a terminal, JSON lines elsewhere. */
export function createLog(level: string, terminal: boolean): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, redact: ['req.headers.authorization', 'password', 'token'] };
  return terminal ? pino(options, readable(process.stdout)) : pino(options);
}

/** A silent log, for parts that are used without a server. */
export const silent: Logger = pino({ level: 'silent' });

const levels: Readonly<Record<number, string>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' };

function readable(out: NodeJS.WritableStream): DestinationStream {
  return {
    write(line: string) {
      const { time, level, msg, err, ...rest } = JSON.parse(line) as { time: string; level: number; msg?: string; err?: { stack?: string } };
      const details = Object.entries(rest).map(([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`).join(' ');
      out.write(`${time.slice(11, 19)} ${(levels[level] ?? String(level)).padEnd(5)} ${msg ?? ''}${details === '' ? '' : `  ${details}`}\n${err?.stack === undefined ? '' : `${err.stack}\n`}`);
    },
  };
}
