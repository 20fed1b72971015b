import type { FastifyReply, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import { actorOf } from './authenticate.ts';

/** Pages of logs that are read or sent at a time. One is a few MiB, and stays in memory for as long as its reader takes. */
const most = { user: 6, all: 24 } as const;

const byServer = new WeakMap<object, { all: number; readonly users: Map<string, number> }>();

/**
 * Counts the answer to this request as a page that is not read yet, until it is, or its connection ends: then the signal aborts, so
 * that nobody makes a page for who is gone.
 * @throws overloaded
 */
export function holdPage(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const leave = (): void => gone.abort(new PotorooError('deadline_exceeded', 'The caller went away before the answer.'));
  if (reply.raw.destroyed) {
    leave();
    return gone.signal;
  }
  const user = actorOf(request).id;
  const { server } = request.server;
  const held = byServer.get(server) ?? { all: 0, users: new Map<string, number>() };
  byServer.set(server, held);
  const own = held.users.get(user) ?? 0;
  if (own >= most.user) throw new PotorooError('overloaded', `${own} pages of logs are on their way to you and not read yet: read them or close their connections first.`);
  if (held.all >= most.all) throw new PotorooError('overloaded', `${held.all} pages of logs are on their way and not read yet: try again in a moment.`);
  held.all += 1;
  held.users.set(user, own + 1);
  reply.raw.once('close', () => {
    held.all -= 1;
    const left = (held.users.get(user) ?? 1) - 1;
    if (left === 0) held.users.delete(user);
    else held.users.set(user, left);
    leave();
  });
  return gone.signal;
}
