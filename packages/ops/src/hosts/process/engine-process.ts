import { spawn, type ChildProcess } from 'node:child_process';
import { get } from 'node:http';
import type { Socket } from 'node:net';
import { engineExit, type EngineModelStatus, type EngineSidekickLines, type EngineSidekicks, type EngineToHost, type HostToEngine, type Reason } from '@potoroo/contract';
import type { EngineExit, EngineSpec, EngineView, SidekickView } from '../host.ts';
import { residentBytes, signal } from './orphans.ts';
import { Tail } from './tail.ts';

export interface EngineProcessOptions {
  readonly command: readonly string[];
  readonly socketPath: string;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: () => number;
  /** How long a drain may take before the engine is killed. */
  readonly drainMs: number;
  /** How many looks in a row a ready engine may answer nothing before it is killed. */
  readonly silentLooks: number;
  readonly onLine: (line: string) => void;
  /** It became ready or exited. */
  readonly onChange: () => void;
  /** What it says of its sidekicks. */
  readonly onSidekicks: (said: EngineSidekicks | EngineSidekickLines) => void;
  /** A connection that was meant for this engine and did not reach it. */
  readonly onReturned: (socket: Socket) => void;
  readonly onExit: () => void;
}

/** So many last lines of a sidekick are shown with it. */
const sidekickLines = 20;

/** Exits before it was ready that another start would only repeat. */
const refusals: ReadonlySet<number | null> = new Set([engineExit.badSettings, engineExit.badBundle, engineExit.loadFailed, engineExit.outOfMemory]);

/** One engine as a child process: its phase, its connections and how it ended. */
export class EngineProcess {
  readonly spec: EngineSpec;
  readonly socketPath: string;
  /** Connections handed over and not known to be closed; inferences that ops has sent and not seen answered. */
  connections = 0;
  inferences = 0;
  readonly #options: EngineProcessOptions;
  readonly #child: ChildProcess;
  readonly #tail: Tail;
  readonly #startedAt: number;
  #readyAt: number | null = null;
  #models: EngineModelStatus[] = [];
  #sidekicks: SidekickView[] = [];
  #draining = false;
  #drainSent = false;
  #drainTimer: NodeJS.Timeout | null = null;
  #said: Reason | null = null;
  #killed: { reason: Reason | null } | null = null;
  #exit: EngineExit | null = null;
  /** Given to this engine and still in our hands: the channel sends one at a time. */
  readonly #given = new Set<Socket>();
  #unanswered = 0;
  #asking = false;

  constructor(spec: EngineSpec, options: EngineProcessOptions) {
    this.spec = spec;
    this.socketPath = options.socketPath;
    this.#options = options;
    this.#startedAt = options.clock();
    this.#tail = new Tail(options.onLine);
    const [file = process.execPath, ...args] = options.command;
    // A process group of its own: Ctrl-C in the terminal reaches ops alone, which then drains its engines in order.
    this.#child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true, env: options.env });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => this.#tail.add(text));
    this.#child.on('message', (message) => this.#heard(message as EngineToHost));
    this.#child.on('error', (error) => this.#failed(error));
    this.#child.on('disconnect', () => this.#disconnected());
    // 'close' comes after 'exit' and the end of both streams, so that the reason has the last lines.
    this.#child.on('close', (code, name) => this.#ended(code, name));
    // What it started may outlive it and hold its streams open for ever.
    this.#child.on('exit', () => this.#killGroup());
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  get phase(): EngineView['phase'] {
    if (this.#exit !== null) return 'exited';
    if (this.#draining) return 'draining';
    return this.#readyAt === null ? 'starting' : 'ready';
  }

  view(): EngineView {
    const { name, revision, slot, spool } = this.spec;
    return {
      name, revision, slot, spool, phase: this.phase, startedAt: this.#startedAt, readyAt: this.#readyAt,
      exit: this.#exit, pid: this.pid, models: this.#models, sidekicks: this.#exit === null ? this.#sidekicks : [], log: this.#tail.show(),
    };
  }

  give(socket: Socket): void {
    this.connections += 1;
    this.#given.add(socket);
    // Left to the channel, our copy of a socket whose engine dies before it says that it has it stays open for ever, and its
    // client waits. So the copy is ours to close, once the socket is in the channel: should the engine die, it ends there.
    if (this.#child.connected) this.#child.send({ type: 'connection' } satisfies HostToEngine, socket, { keepOpen: true }, (error) => {
      if (error === null && this.#given.delete(socket)) socket.destroy();
    });
  }

  /** `engine.done` is called for every inference that ops has sent it; a drain waits for those first. */
  begin(): () => void {
    this.inferences += 1;
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.inferences -= 1;
      if (this.#draining && this.inferences === 0) this.#sendDrain();
    };
  }

  drain(): void {
    if (this.#draining || this.#exit !== null) return;
    // Nobody has been sent to an engine that was never ready.
    if (this.#readyAt === null) return this.kill(null);
    this.#draining = true;
    this.#drainTimer = setTimeout(() => this.kill(null), this.#options.drainMs);
    // An inference that was given this engine's address may not have reached it yet, and must find it open.
    if (this.inferences === 0) this.#sendDrain();
    else setTimeout(() => this.#sendDrain(), this.#options.drainMs / 2).unref();
  }

  kill(reason: Reason | null): void {
    if (this.#exit !== null || this.#killed !== null) return;
    this.#killed = { reason };
    this.#killGroup();
  }

  /** Kills it when it is over its memory limit, or alive and not answering. To be called every now and then. */
  watch(): void {
    if (this.#exit !== null || this.pid === null) return;
    if (this.phase === 'ready') this.#watchHealth();
    const resident = residentBytes(this.pid);
    if (resident === null || resident <= this.spec.limits.memory) return;
    const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
    this.kill({ code: 'engine_out_of_memory', message: `Engine ${this.spec.name} used ${mebibytes(resident)} of memory, more than its limit of ${mebibytes(this.spec.limits.memory)}: raise the memory of the deployment config.` });
  }

  /** Counts looks, not seconds: a machine that was asleep has not waited for an answer. */
  #watchHealth(): void {
    if (this.#unanswered >= this.#options.silentLooks) {
      return this.kill({ code: 'engine_unresponsive', message: `Engine ${this.spec.name} runs but answers nothing, not even ${this.#unanswered} health checks in a row.` });
    }
    this.#unanswered += 1;
    if (this.#asking) return;
    this.#asking = true;
    const request = get({ socketPath: this.socketPath, path: '/healthz', agent: false, timeout: 60_000 }, (response) => {
      response.resume().on('error', () => {});
      this.#unanswered = 0;
    });
    request.on('timeout', () => request.destroy()).on('error', () => {}).on('close', () => { this.#asking = false; });
  }

  #sendDrain(): void {
    if (this.#drainSent || this.#exit !== null) return;
    this.#drainSent = true;
    // When it fails the engine is at its end already.
    if (this.#child.connected) this.#child.send({ type: 'drain' } satisfies HostToEngine, () => {});
  }

  #heard(message: EngineToHost): void {
    switch (message.type) {
      case 'ready':
        // An engine that is over its limit already must not take the place of one that works.
        this.watch();
        if (this.#readyAt !== null || this.#killed !== null) return;
        this.#readyAt = this.#options.clock();
        this.#models = message.models;
        return this.#options.onChange();
      case 'failed':
        this.#said = { code: message.code, message: message.message };
        return;
      case 'closed':
        this.connections = Math.max(0, this.connections - message.count);
        return;
      case 'sidekicks':
      case 'sidekick-lines':
        return this.#heardSidekicks(message);
    }
  }

  #heardSidekicks(message: EngineSidekicks | EngineSidekickLines): void {
    const before = this.#sidekicks;
    if (message.type === 'sidekicks') {
      this.#sidekicks = message.sidekicks.map((told) => ({ ...told, log: before.find((s) => s.name === told.name)?.log ?? [] }));
    } else {
      this.#sidekicks = before.map((s) => (s.name === message.sidekick ? { ...s, log: [...s.log, ...message.lines.map((line) => line.text)].slice(-sidekickLines) } : s));
    }
    this.#options.onSidekicks(message);
    // What they use changes all the time; that alone is no news.
    const news = ({ state, restarts, failures }: SidekickView): string => `${state} ${restarts} ${failures}`;
    if (before.map(news).join() !== this.#sidekicks.map(news).join()) this.#options.onChange();
  }

  #disconnected(): void {
    // Draining engines may close the channel when they are nearly done; any other has lost its mind.
    if (this.#draining || this.#exit !== null) return;
    setTimeout(() => {
      if (this.#child.exitCode === null && this.#child.signalCode === null) this.#killGroup();
    }, 1_000).unref();
  }

  #failed(error: Error): void {
    if (this.#child.pid !== undefined) return;
    this.#said = { code: 'engine_start_failed', message: `Engine ${this.spec.name} could not be started: ${error.message}.` };
    this.#ended(null, null);
  }

  #ended(code: number | null, name: NodeJS.Signals | null): void {
    if (this.#exit !== null) return;
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    const asked = this.#draining || this.#killed?.reason === null;
    const reason = this.#killed?.reason ?? this.#said ?? {
      code: 'engine_crashed',
      message: `Engine ${this.spec.name} ${name === null ? `exited with code ${code}` : `was ended by ${name}`}${this.#readyAt === null ? ' before it was ready' : ''}.`,
    };
    const permanent = !asked && this.#readyAt === null && (refusals.has(code) || this.#killed !== null);
    this.#exit = { at: this.#options.clock(), reason: { ...reason, log: this.#tail.show() }, permanent, asked };
    this.connections = 0;
    const returned = [...this.#given];
    this.#given.clear();
    this.#options.onExit();
    for (const socket of returned) this.#options.onReturned(socket);
    this.#options.onChange();
  }

  /** The engine and whatever it started. */
  #killGroup(): void {
    if (this.#child.pid !== undefined) signal(-this.#child.pid, 'SIGKILL');
  }
}
