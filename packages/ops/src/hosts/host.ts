import type { Accelerator, AccessList, Architecture, EngineModelStatus, EngineSidekick, EngineSidekickLines, EngineSidekicks, Reason } from '@potoroo/contract';

/** What one engine may use. `memory` in bytes; `cpus` may be a fraction; `gpus` are whole. */
export interface EngineLimits { readonly cpus: number; readonly memory: number; readonly gpus: number }

/** One engine that should be. `name` is never used twice: it is the partition that its log rows carry. */
export interface EngineSpec {
  readonly name: string;
  readonly deploymentId: number;
  /** Same revision, same bundle and limits. */
  readonly revision: string;
  /** Which of the replicas this is; an engine that replaces a crashed one has the slot of that. */
  readonly slot: number;
  /** Bundle folder. It stays as it is while the engine lives. */
  readonly bundle: string;
  /** Folder of the engine's own, where its spool is left behind when it could not ship all of it. */
  readonly spool: string;
  readonly limits: EngineLimits;
  /** Who may call the public side; null lets everybody in. */
  readonly access: AccessList | null;
  /** With these the engine ships its spool; null keeps the spool in its folder. */
  readonly ops: { readonly url: string; readonly token: string } | null;
}

export interface EngineExit {
  readonly at: number;
  readonly reason: Reason;
  /** The engine said itself that it cannot serve this bundle: starting it again would end the same way. */
  readonly permanent: boolean;
  /** Drained or killed because it was no longer wanted: not a crash. */
  readonly asked: boolean;
}

/** A sidekick as its engine told of it last, and the last lines it wrote. */
export interface SidekickView extends EngineSidekick { readonly log: readonly string[] }

export interface EngineView {
  readonly name: string;
  readonly revision: string;
  readonly slot: number;
  readonly spool: string;
  readonly phase: 'starting' | 'ready' | 'draining' | 'exited';
  readonly startedAt: number;
  readonly readyAt: number | null;
  readonly exit: EngineExit | null;
  readonly pid: number | null;
  readonly models: readonly EngineModelStatus[];
  readonly sidekicks: readonly SidekickView[];
  readonly log: readonly string[];
}

/** Which engines take new connections and inferences. `expect`: one will be ready soon, so what arrives may wait for it. */
export interface Routing { readonly engines: readonly string[]; readonly expect: boolean }

export interface RoutedEngine { readonly socketPath: string; done(): void }

/**
 * Where engines run. A host decides nothing: it starts, routes to, drains and kills what it is told to, and shows what is
 * there. All methods may be repeated; a name it does not know is no error. Everything it shows is its own observation and
 * starts empty with the process: what should be is in the database.
 */
export interface Host {
  readonly arch: Architecture;
  readonly gpus: number;
  /** Accelerators that engines can use. */
  readonly accels: readonly Accelerator[];
  /** Address that clients reach the public ports at. */
  readonly address: string;
  /** Which of these limits hold by force here and which are advice; one sentence each. */
  describeLimits(limits: EngineLimits): string[];
  /** Opens the public port of a deployment; null lets the system choose. Gives the port. @throws port_in_use */
  open(deploymentId: number, port: number | null): Promise<number>;
  /** Closes the public port; connections that wait are answered 503. */
  shut(deploymentId: number): void;
  start(spec: EngineSpec): Promise<void>;
  route(deploymentId: number, routing: Routing): void;
  /** No new work; what is under way is answered, keep-alive connections are closed, then the engine exits. Bounded. */
  drain(name: string): void;
  /** At once. The exit carries this reason; null says that it was no longer wanted. */
  kill(name: string, reason: Reason | null): void;
  /** Drops what is kept of an engine that has exited. */
  forget(name: string): void;
  engines(deploymentId: number): EngineView[];
  /** The routed engine with the fewest inferences under way, by the trusted socket; null when none is ready. */
  take(deploymentId: number): RoutedEngine | null;
  /** Replaces the access list of a ready engine; resolves when it holds. */
  setAccess(name: string, access: AccessList): Promise<void>;
  /** Called with the deployment whenever an engine of it became ready or exited, or one of its sidekicks changed. */
  onChange(listener: (deploymentId: number) => void): void;
  /** Called with what an engine says of its sidekicks and what these write. */
  onSidekicks(listener: (engine: Pick<EngineSpec, 'name' | 'deploymentId'>, said: EngineSidekicks | EngineSidekickLines) => void): void;
  /** Drains everything and closes every port. Bounded. */
  close(): Promise<void>;
}
