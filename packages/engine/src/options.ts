import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { PotorooError, type AccessList } from '@potoroo/contract/plain';
import { isLogLevel, type LogLevel } from './log.ts';

export interface EngineOptions {
  bundle: string;
  /** Folder of the inference log; without it none is kept. */
  spool: string | undefined;
  spoolBytes: number;
  partition: string;
  /** Path of the Unix socket of the trusted side. */
  socket: string | undefined;
  /** Address of the public side. */
  listen: { host: string; port: number } | undefined;
  access: AccessList | undefined;
  /** Base URL of ops, where the log is shipped, and what authenticates this engine there. */
  ops: { url: string; token: string } | undefined;
  cpus: number;
  /** Resident bytes above which the engine gives up; undefined leaves it to the system. */
  memoryBytes: number | undefined;
  timeoutMs: number;
  maxBodyBytes: number;
  queueRows: number;
  queueBytes: number;
  /** How long idle connections stay open once the engine drains, and how long draining may take in all. */
  lingerMs: number;
  drainMs: number;
  logLevel: LogLevel;
}

const mebibyte = 1024 * 1024;

const flags = {
  bundle: { type: 'string' }, spool: { type: 'string' }, partition: { type: 'string' }, socket: { type: 'string' }, listen: { type: 'string' },
  access: { type: 'string' }, ops: { type: 'string' }, cpus: { type: 'string' }, memory: { type: 'string' }, 'timeout-ms': { type: 'string' },
  'max-body-bytes': { type: 'string' }, 'queue-rows': { type: 'string' }, 'queue-bytes': { type: 'string' }, 'spool-bytes': { type: 'string' },
  'linger-ms': { type: 'string' }, 'drain-ms': { type: 'string' }, 'log-level': { type: 'string' },
} as const;

function refuse(message: string): never {
  throw new PotorooError('settings_invalid', message);
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) refuse(`--${name} must be a number above 0, not '${text}'.`);
  return value;
}

function address(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) refuse(`--listen must be HOST:PORT, such as 127.0.0.1:8080, not '${text}'.`);
  return { host: match[1] ?? (match[2] === '' ? '0.0.0.0' : match[2] ?? ''), port };
}

/** @throws PotorooError `invalid_request` */
export function checkAccessList(value: unknown): AccessList {
  const list = value as Partial<AccessList> | null;
  if (typeof list !== 'object' || list === null || typeof list.issuer !== 'string' || !Array.isArray(list.jwks?.keys) || !Array.isArray(list.subjects) || !list.subjects.every((s) => typeof s === 'string')) {
    throw new PotorooError('invalid_request', 'An access list needs issuer (a string), jwks.keys (a list of keys) and subjects (a list of user ids).');
  }
  return list as AccessList;
}

function accessFile(path: string): AccessList {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return refuse(`--access: ${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  try {
    return checkAccessList(JSON.parse(text));
  } catch (error) {
    return refuse(`--access: ${path}: ${error instanceof SyntaxError ? 'this is not JSON.' : (error as Error).message}`);
  }
}

/** @throws PotorooError `settings_invalid` naming the option, its value and what is right */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): EngineOptions {
  let values: { [K in keyof typeof flags]?: string };
  try {
    ({ values } = parseArgs({ args: [...args], options: flags, strict: true }));
  } catch (error) {
    return refuse(`${(error as Error).message.split(/[.\n]/)[0]}. Known options: ${Object.keys(flags).map((f) => `--${f}`).join(' ')}.`);
  }
  if (values.bundle === undefined) refuse('--bundle is missing: the folder with pipeline.json.');
  if (values.socket === undefined && values.listen === undefined && process.send === undefined) refuse('There is nothing to listen on: give --listen HOST:PORT or --socket PATH.');
  const level = values['log-level'] ?? env['LOG_LEVEL'] ?? 'info';
  if (!isLogLevel(level)) refuse(`--log-level must be debug, info, warn, error or silent, not '${level}'.`);
  return {
    bundle: values.bundle,
    spool: values.spool,
    spoolBytes: positive('spool-bytes', values['spool-bytes'], 256 * mebibyte),
    partition: values.partition ?? 'engine',
    socket: values.socket,
    listen: values.listen === undefined ? undefined : address(values.listen),
    access: values.access === undefined ? undefined : accessFile(values.access),
    ops: values.ops === undefined ? undefined : { url: values.ops, token: env['POTOROO_ENGINE_TOKEN'] ?? '' },
    cpus: positive('cpus', values.cpus ?? env['CONFIG_CPUS'], availableParallelism()),
    memoryBytes: values.memory === undefined ? undefined : positive('memory', values.memory, 0),
    timeoutMs: positive('timeout-ms', values['timeout-ms'], 60_000),
    maxBodyBytes: positive('max-body-bytes', values['max-body-bytes'], 256 * mebibyte),
    queueRows: positive('queue-rows', values['queue-rows'], 16_384),
    queueBytes: positive('queue-bytes', values['queue-bytes'], 256 * mebibyte),
    lingerMs: positive('linger-ms', values['linger-ms'], 1000),
    drainMs: positive('drain-ms', values['drain-ms'], 30_000),
    logLevel: level,
  };
}
