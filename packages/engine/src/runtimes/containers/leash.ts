import { createServer, type Server, type Socket } from 'node:net';
import type { Usage } from '../sidekicks.ts';

/** What the kernel holds a container to: bytes, and cores. */
export interface Held { readonly memory?: number | null; readonly cpus?: number | null }

const patienceMs = 1000;
const longestLine = 1000;

/**
 * The connection that the first process of a container holds to this one, and ends with. It tells its limits when it begins, and, for
 * each byte that it gets, what the container uses: so that is known wherever the container runs, and without asking its tool.
 */
export class Leash {
  readonly #server: Server;
  #socket: Socket | undefined;
  #held: Held | undefined;
  #rest = '';
  #asked: { answer: Promise<Usage | undefined>; told(usage: Usage | undefined): void } | undefined;
  #ended = false;

  private constructor() {
    this.#server = createServer((connection) => {
      this.#server.close(); // what is in the container later has no business here
      this.#socket = connection;
      connection.on('error', () => {}).on('data', (data) => this.#read(data.toString())).once('close', () => this.#asked?.told(undefined));
      if (this.#ended) connection.destroy();
    });
  }

  /** Listens at this path, for one connection. */
  static async open(path: string): Promise<Leash> {
    const leash = new Leash();
    await new Promise<void>((done, fail) => { leash.#server.once('error', fail).listen({ path, writableAll: true }, done); });
    return leash;
  }

  /** Undefined until the container has begun. */
  get held(): Held | undefined {
    return this.#held;
  }

  /** Undefined when it does not say so within a second: it has ended, stands still, or gets nothing of the processor. */
  async usage(): Promise<Usage | undefined> {
    if (this.#held === undefined || this.#socket?.writable !== true) return undefined;
    if (this.#asked === undefined) {
      let told = (_: Usage | undefined): void => {};
      const answer = new Promise<Usage | undefined>((resolve) => { told = resolve; });
      this.#asked = { answer, told };
      this.#socket.write('?');
    }
    let late: NodeJS.Timeout | undefined;
    const patience = new Promise<undefined>((resolve) => { late = setTimeout(() => resolve(undefined), patienceMs); });
    const usage = await Promise.race([this.#asked.answer, patience]);
    clearTimeout(late);
    return usage;
  }

  /** Ends the container. */
  end(): void {
    this.#ended = true;
    this.#socket?.destroy();
    this.#server.close();
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, longestLine);
    for (const line of lines) {
      const said = parsed(line);
      if (this.#held === undefined) this.#held = said;
      else {
        this.#asked?.told({ memoryBytes: amount(said['memory'], Math.round), cpuSeconds: amount(said['cpu']) });
        this.#asked = undefined;
      }
    }
  }
}

function parsed(line: string): Record<string, number | null> {
  try {
    return Object(JSON.parse(line)) as Record<string, number | null>;
  } catch {
    return {};
  }
}

const amount = (value: unknown, round = (n: number): number => n): number | null => (typeof value === 'number' && value >= 0 && Number.isFinite(value) ? round(value) : null);
