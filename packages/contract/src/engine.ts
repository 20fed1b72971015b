import { Type, type Static } from '@sinclair/typebox';
import type { Reason, SidekickState } from './deployment.ts';
import type { ErrorCode } from './errors.ts';
import type { Field } from './field.ts';

/**
 * How a host and an engine talk. The engine is started as
 * `node [engineNode()] engine/main.js --bundle DIR --spool DIR --partition NAME [--socket PATH] [--listen HOST:PORT] [--access FILE] [--ops URL] [--memory BYTES] [--cpus N]`
 * (`POTOROO_ENGINE_TOKEN` in the environment authenticates it to ops). Over the process channel, where there is one, go
 * the messages below; everything else is HTTP on the socket or the port. SIGTERM drains and exits 0.
 *
 * - `--socket` is the trusted side: a Unix socket that only the host's user can open. Requests on it are not authenticated,
 *   the host did that. `PUT /access` replaces the access list.
 * - `--listen` and connections handed over by the host are the public side: a bearer token is needed when there is an
 *   access list, and verified offline against it.
 */
export interface EngineReady {
  type: 'ready';
  pid: number;
  models: EngineModelStatus[];
  inputs: Field[];
  outputs: Field[];
}
export interface EngineFailed {
  type: 'failed';
  code: ErrorCode;
  message: string;
}
/** Sent with a socket handle: serve this connection, which a client opened on the deployment's port. */
export interface EngineConnection {
  type: 'connection';
}
/** The host's word that the engine should take no more connections, answer what it has, ship its spool and exit. Same as SIGTERM. */
export interface EngineDrain {
  type: 'drain';
}
/**
 * That many connections which the host handed over have closed since the last such message; gathered, at most one message
 * a turn of the event loop. By it the host knows which engine has the fewest open connections.
 */
export interface EngineConnectionsClosed {
  type: 'closed';
  count: number;
}
/**
 * What runs a model beside the engine: a process, or a container, of its own. Told whenever one of them changes, and every few
 * seconds for what they use.
 */
export interface EngineSidekicks {
  type: 'sidekicks';
  sidekicks: EngineSidekick[];
}
/** Lines that one sidekick wrote, in their order, gathered for a moment. */
export interface EngineSidekickLines {
  type: 'sidekick-lines';
  sidekick: string;
  lines: SidekickLine[];
}
export type EngineToHost = EngineReady | EngineFailed | EngineConnectionsClosed | EngineSidekicks | EngineSidekickLines;
export type HostToEngine = EngineConnection | EngineDrain;

export interface EngineModelStatus {
  name: string;
  version: string;
  sha: string;
  status: 'Running' | 'Error';
  message?: string;
}

/** `time` in milliseconds since the epoch; `engine` is what the engine has to say of its sidekick. */
export interface SidekickLine { time: number; stream: 'stdout' | 'stderr' | 'engine'; text: string }

export interface EngineSidekick {
  /** `engine-sidekick-<model>-<model version id>-<the engine's name without "engine-">`; kept when its process is started again. */
  name: string;
  /** Its model: name, version (a UUID), id in ops, digest of the file and the step it is in, counted from 0. */
  model: string; version: string; modelVersionId: number; sha: string; step: number;
  /** It challenges another model: what it does changes no answer. */
  challenger: boolean;
  state: SidekickState;
  /** Why it does not run; null when it does. */
  reason: Reason | null;
  /** How often it was started again, and how often it failed since it last ran. */
  restarts: number; failures: number;
  /** Since when it is in this state, ms. */
  since: number;
  pid: number | null;
  /** Resident memory, and CPU time used since its process started; null where it cannot be told. */
  memoryBytes: number | null; cpuSeconds: number | null;
}

/** Who may call an engine's public side: keys to verify tokens with, and the subjects (user ids) that are let in. */
export const AccessListSchema = Type.Object({
  issuer: Type.String(),
  jwks: Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) }),
  subjects: Type.Array(Type.String(), { description: 'User ids: members of the workspace and administrators.' }),
  external: Type.Optional(Type.Object({
    issuer: Type.String(), clientId: Type.String(), jwks: Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) }),
  }, { description: 'Another issuer whose tokens are taken as well, when they were made for this client of it.' })),
});
export type AccessList = Static<typeof AccessListSchema>;

/** Answer to a shipped piece of spool: the row offset that ops wants next from this partition. */
export interface ShipAnswer {
  next: number;
}
