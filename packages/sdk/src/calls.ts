import { randomUUID } from 'node:crypto';
import type { Deployments } from './deployments.ts';
import type { Models } from './models.ts';
import { Pages, type Page } from './pages.ts';
import type { Pipelines } from './pipelines.ts';
import type { CallOptions, Transport } from './transport.ts';

/** What the objects of this package use of each other. */
export interface Calls {
  readonly transport: Transport;
  readonly models: Models;
  readonly pipelines: Pipelines;
  readonly deployments: Deployments;
}

/** Creates through an idempotency key, so that a retry never creates a second one. */
export function createOnce<T>(transport: Transport, path: string, json: unknown, options: CallOptions): Promise<T> {
  return transport.json<T>(path, { ...options, method: 'POST', json, repeat: 'always', headers: { 'idempotency-key': randomUUID() } });
}

export function listOf<T>(transport: Transport, path: string, query: Readonly<Record<string, string | number | boolean | undefined>>, options: CallOptions): Pages<T> {
  return new Pages((cursor) => transport.json<Page<T>>(path, { ...options, query: { ...query, cursor } }));
}
