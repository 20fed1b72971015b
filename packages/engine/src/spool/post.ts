import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { ShipAnswer } from '@potoroo/contract/plain';

const timeoutMs = 30_000;
const maxAnswerBytes = 64 * 1024;

/** Ops understood and said no; `status` is the HTTP status. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(`ops answered ${status}: ${text.slice(0, 500)}`);
    this.status = status;
  }
}

interface Client { readonly request: (url: URL, options: RequestOptions) => ClientRequest; readonly agent: Agent }

/** Sends pieces of spool to ops over one kept connection. */
export class LogPoster {
  readonly #base: string;
  readonly #token: string;
  #client: Promise<Client> | undefined;

  constructor({ url, token }: { url: string; token: string }) {
    this.#base = url.replace(/\/+$/, '');
    this.#token = token;
  }

  /** The row offset that ops wants next. @throws Refused, or what the network says */
  async post(partition: string, parts: readonly Uint8Array[], signal: AbortSignal): Promise<number> {
    const { request, agent } = await (this.#client ??= this.#load());
    const length = parts.reduce((n, part) => n + part.length, 0);
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = request(new URL(`${this.#base}/internal/v1/logs/${encodeURIComponent(partition)}`), {
        method: 'POST', agent, signal, timeout: timeoutMs,
        headers: { 'authorization': `Bearer ${this.#token}`, 'content-type': 'application/x-potoroo-frames', 'content-length': length },
      });
      sent.on('timeout', () => sent.destroy(new Error(`ops did not answer within ${timeoutMs} ms`)));
      sent.on('error', reject);
      sent.on('response', (response) => { read(response).then((body) => resolve({ status: response.statusCode ?? 0, text: body }), reject); });
      for (const part of parts) sent.write(part);
      sent.end();
    });
    if (status < 200 || status > 299) throw new Refused(status, text);
    const { next } = JSON.parse(text) as Partial<ShipAnswer>;
    if (next === undefined || !Number.isSafeInteger(next)) throw new Error(`ops answered ${status} without a row offset`);
    return next;
  }

  async close(): Promise<void> {
    (await this.#client)?.agent.destroy();
  }

  async #load(): Promise<Client> {
    const { request, Agent: AgentOf } = this.#base.startsWith('https:') ? await import('node:https') : await import('node:http');
    return { request, agent: new AgentOf({ keepAlive: true, maxSockets: 2 }) };
  }
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new Error(`ops answered more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
