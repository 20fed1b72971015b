import { readFileSync } from 'node:fs';
import Fastify, { LogController, type FastifyReply, type FastifyRequest } from 'fastify';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { errorCodes, PotorooError, ProblemSchema } from '@potoroo/contract';
import { toPotorooError } from './errors.ts';
import { answerProblem } from './native/problem.ts';
import { answerError } from './wallaroo/errors.ts';

test('docs/errors.md lists every code with its status and title, and no other', () => {
  const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');
  const listed = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| (.+) \|$/gm)].map(([, code, status, title]) => [code, { status: Number(status), title }]);
  expect(Object.fromEntries(listed)).toEqual(errorCodes);
  expect(listed).toHaveLength(Object.keys(errorCodes).length);
});

test('the schema of a problem knows every code', () => {
  expect((ProblemSchema.properties.code as unknown as { anyOf: { const: string }[] }).anyOf.map((s) => s.const)).toEqual(Object.keys(errorCodes));
});

test.each([
  [Object.assign(new Error('disk'), { code: 'ENOSPC', syscall: 'write' }), 'storage_full'],
  [Object.assign(new Error('disk'), { code: 'SQLITE_FULL' }), 'storage_full'],
  [Object.assign(new Error('disk'), { code: '53100' }), 'storage_full'],
  [Object.assign(new Error('folder'), { code: 'EROFS' }), 'storage_read_only'],
  [Object.assign(new Error('folder'), { code: 'SQLITE_READONLY_DBMOVED' }), 'storage_read_only'],
  [new PotorooError('in_use', 'x'), 'in_use'],
  [new Error('secret details'), 'internal'],
  ['a string', 'internal'],
  [null, 'internal'],
])('%o is %s', (thrown, code) => {
  const error = toPotorooError(thrown);
  expect(error.code).toBe(code);
  expect(error.message).not.toContain('secret details');
});

describe('what a failed request leaves in the log', () => {
  const written: { level: number; msg: string }[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => { written.push(JSON.parse(line) as (typeof written)[number]); } });
  const answering: Record<string, (thrown: Error, request: FastifyRequest, reply: FastifyReply) => unknown> = { native: answerProblem, wallaroo: answerError };
  const levels: [Error, string | undefined][] = [
    [new PotorooError('deadline_exceeded', 'too late'), 'info'], [new PotorooError('inference_failed', 'its own fault'), 'info'], [new PotorooError('model_process_lost', 'gone'), 'warn'],
    [new PotorooError('registry_refused', 'no'), 'warn'], [new PotorooError('no_engine_ready', 'not yet'), 'debug'],
    [new PotorooError('pipeline_invalid', 'wrong'), undefined], [new PotorooError('overloaded', 'later'), undefined],
    [new PotorooError('engine_lost', 'gone'), 'error'], [new PotorooError('storage_full', 'full'), 'error'], [new Error('a fault of ours'), 'error'],
  ];
  test.each(Object.keys(answering).flatMap((protocol) => levels.map(([error, level]) => [protocol, error, level] as const)))('%s: %o wakes an operator only when one has to look: %s', async (protocol, error, level) => {
    written.length = 0;
    const app = Fastify({ loggerInstance: log, logController: new LogController({ disableRequestLogging: true }) });
    app.setErrorHandler(answering[protocol] as never);
    app.get('/', () => { throw error; });
    await app.inject('/');
    await app.close();
    expect(written.map((line) => pino.levels.labels[line.level])).toEqual(level === undefined ? [] : [level]);
  });
});
