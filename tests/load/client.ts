import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';

export interface Steady {
  /** Ids of the requests that were answered 200. */
  readonly answered: Set<string>;
  /** What went wrong with the others. */
  readonly errors: string[];
  readonly stop: () => Promise<void>;
}

/** Steady requests over `connections` kept connections, each with an id of its own, until stopped. */
export function steady(to: { url: string; token: string; body: string; connections: number }): Steady {
  const answered = new Set<string>();
  const errors: string[] = [];
  let stopped = false;
  const agent = new Agent({ keepAlive: true, maxSockets: to.connections });

  const one = (id: string): Promise<void> => new Promise((resolve) => {
    const failed = (error: Error): void => {
      errors.push(error.message);
      resolve();
    };
    request(to.url, { method: 'POST', agent, headers: { 'content-type': 'application/json', authorization: `Bearer ${to.token}`, 'x-request-id': id } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => { text += piece; }).on('error', failed).on('end', () => {
        if (response.statusCode === 200) answered.add(id);
        else errors.push(`${response.statusCode} ${text.slice(0, 200)}`);
        resolve();
      });
    }).on('error', failed).end(to.body);
  });
  const loops = Array.from({ length: to.connections }, async () => {
    while (!stopped) await one(randomUUID());
  });
  return {
    answered, errors,
    async stop() {
      stopped = true;
      await Promise.all(loops);
      agent.destroy();
    },
  };
}
