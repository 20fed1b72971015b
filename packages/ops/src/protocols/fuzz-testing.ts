import { request as send, type Agent } from 'node:http';

/** The same numbers for the same seed (mulberry32). */
export function generator(seed: number) {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(next() * n);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
  return { next, below, pick, chance: (p: number) => next() < p };
}
export type Generator = ReturnType<typeof generator>;

export interface Question { method: string; path: string; headers: Record<string, string>; body: Buffer | null }
export interface Reply { status: number; text: string }

/** Sends over connections that are kept. Status 0 when the connection broke without an answer. */
export function ask(agent: Agent, url: string, { method, path, headers, body }: Question): Promise<Reply> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    const lost = (error: Error): void => resolve({ status: 0, text: error.message });
    const outgoing = send({ agent, hostname, port, method, path, headers: { ...headers, ...(body && { 'content-length': String(body.length) }) }, timeout: 30_000 }, (response) => {
      // A stream of events has no end.
      if (response.headers['content-type'] === 'text/event-stream') { response.destroy(); return resolve({ status: response.statusCode ?? 0, text: '' }); }
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('latin1') })).on('error', lost);
    });
    outgoing.on('error', lost).on('timeout', () => outgoing.destroy(new Error('no answer in 30 s')));
    outgoing.end(body ?? undefined);
  });
}

const texts = ['', ' ', 'x', '../../etc/passwd', '%00', '\u0000', "' OR 1=1 --", '"; DROP TABLE users; --', '{{7*7}}', '<script>', 'é'.repeat(50), '\ud800', '🦊', 'constructor', '__proto__', 'null', 'x'.repeat(5000), '-0', '1e309', '2026-99-99T00:00:00Z'];
const numbers = [0, -1, 1, 1.5, 2 ** 31, 2 ** 53, 1e308, -1e-308, 987_654];

/** Any JSON, of any shape. */
export function value(g: Generator, depth = 0): unknown {
  switch (g.below(depth > 3 ? 5 : 8)) {
    case 0: return null;
    case 1: return g.chance(0.5);
    case 2: case 3: return g.pick(texts);
    case 4: return g.pick(numbers);
    case 5: return Array.from({ length: g.below(4) }, () => value(g, depth + 1));
    default: return Object.fromEntries(Array.from({ length: g.below(4) }, () => [g.pick(texts), value(g, depth + 1)]));
  }
}

/** A value that looks right, changed in one or two places. */
function bend(g: Generator, right: unknown): unknown {
  if (g.chance(0.15)) return value(g);
  if (Array.isArray(right)) return right.length === 0 ? [value(g)] : right.map((item, i) => (i === 0 || g.chance(0.3) ? bend(g, item) : item));
  if (typeof right === 'object' && right !== null) {
    const entries = Object.entries(right);
    if (entries.length === 0) return { [g.pick(texts)]: value(g) };
    const at = g.below(entries.length);
    const bent = entries.flatMap(([key, item], i): [string, unknown][] => (i !== at ? [[key, item]] : g.chance(0.2) ? [] : [[key, bend(g, item)]]));
    return Object.fromEntries(g.chance(0.2) ? [...bent, [g.pick(texts), value(g)]] : bent);
  }
  return value(g);
}

const literals = ['9'.repeat(400), '1e999', '-', 'NaN', '"\\ud800"', '{"a":1,"a":2}', '{"__proto__":{"x":1}}', '[1,]', '{"a":', '\ufeff{}', "{'a':1}", '"', '', ' ', 'undefined'];

/** The bytes of a body that should be refused, more or less like the right one. */
export function bytes(g: Generator, right: unknown): Buffer {
  const like = (): Buffer => Buffer.from(JSON.stringify(bend(g, right ?? {})) ?? 'null');
  switch (g.below(10)) {
    case 0: return Buffer.from(g.pick(literals));
    case 1: { const whole = like(); return whole.subarray(0, g.below(whole.length + 1)); }
    case 2: { const open = g.pick(['[', '{"a":', '{"steps":[']); return Buffer.from(open.repeat(g.pick([10, 100, 3000]))); }
    case 3: { const whole = like(); if (whole.length > 0) whole[g.below(whole.length)] = g.below(256); return whole; }
    case 4: return Buffer.from(Array.from({ length: g.below(300) }, () => g.below(256)));
    default: return like();
  }
}

const types = ['application/json', 'application/json; charset=latin1', 'text/plain', 'application/xml', 'multipart/form-data', 'multipart/form-data; boundary=b', 'application/x-www-form-urlencoded', 'application/vnd.apache.arrow.file', 'application/octet-stream', 'x', '/', 'application/json;;;='];

/** Headers that are wrong in some way, now and then. */
export function headers(g: Generator, tokens: readonly string[]): Record<string, string> {
  const token = g.chance(0.9) ? tokens[0] as string : g.pick([...tokens, '', 'x', `${tokens[0]}x`, (tokens[0] as string).slice(0, -3), 'a.b.c', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.', 'x'.repeat(4000)]);
  const odd: Record<string, string>[] = [
    { accept: g.pick(['*/*', 'application/vnd.apache.arrow.file', 'image/png', 'application/json; format=wallaroo', ';;', 'application/x-ndjson']) }, { 'content-encoding': g.pick(['gzip', 'br', 'x']) }, { 'request-timeout': g.pick(['0', 'x', '-1', '1e99', '5']) },
    { 'inference-header-content-length': g.pick(['0', '5', '99999999', 'x', '-1']) }, { 'idempotency-key': g.pick(['', 'x', 'x'.repeat(300)]) }, { 'x-request-id': g.pick(['x'.repeat(500), '<>']) }, { traceparent: 'x' },
  ];
  return { ...(g.chance(0.95) && { authorization: `${g.pick(['Bearer', 'Bearer', 'Bearer', 'Bearer', 'Basic', ''])} ${token}` }), 'content-type': g.chance(0.75) ? 'application/json' : g.pick(types), ...(g.chance(0.2) && g.pick(odd)) };
}

/** What stands for a parameter of a path or a query. */
export const parameter = (g: Generator, right: readonly string[]): string => (g.chance(0.6) && right.length > 0 ? g.pick(right) : g.chance(0.1) ? g.pick(['%', '%zz', '%ff%fe', '..', '.', '%2e%2e%2f', '1/2']) : encodeURIComponent(Buffer.from(String(g.chance(0.5) ? g.pick(numbers) : g.pick(texts).slice(0, 300))).toString()));

const fields = ['id', 'name', '__typename', 'users { user_id }', 'workspace { name pipelines { id } }', 'models { versions { sha } }', 'password', 'definition', '...x', '... on Query { tag { id } }', 'a: id', 'id(a: 1)', '@skip', 'id @include(if: $x)'];
/** A GraphQL document, mostly wrong; `roots` are the schema's own fields. */
export function document(g: Generator, roots: readonly string[]): string {
  const literal = (): string => g.pick(['1', '-1', '9223372036854775808', '1e400', '"x"', '"\\u0000"', 'null', 'true', '[]', '{}', '{_eq: 1}', '{id: {_eq: 1}}', '{id: {_in: [1, "x"]}}', '{_and: [{_or: [{}]}]}', '$x', 'desc', '"""block"""', '[[[[1]]]]']);
  const argument = (): string => `${g.pick(['id', 'where', 'limit', 'offset', 'order_by', 'args', 'object', 'objects', 'pk_columns', '_set', 'x'])}: ${literal()}`;
  const root = (): string => `${g.pick(roots)}${g.chance(0.7) ? `(${Array.from({ length: 1 + g.below(2) }, argument).join(', ')})` : ''} ${g.chance(0.8) ? `{ ${Array.from({ length: 1 + g.below(3) }, () => g.pick(fields)).join(' ')} }` : ''}`;
  const text = `${g.pick(['', 'query', 'mutation', 'mutation M($x: bigint!)', 'query ($x: Int = "x")', 'subscription', 'fragment x on Query'])} { ${Array.from({ length: 1 + g.below(3) }, root).join(' ')} }`;
  return g.chance(0.1) ? text.slice(0, g.below(text.length)) : g.chance(0.05) ? `{ ${'a { '.repeat(g.pick([20, 500, 3000]))}` : text;
}
