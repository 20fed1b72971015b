import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isPotorooError } from '@potoroo/contract';

export interface SpoolOwner { readonly deploymentId: number; readonly partition: string }

/** Takes in the rows that a dead engine left in its spool folder; those that arrived before are skipped. Durable when it resolves. */
export type Adopt = (folder: string, owner: SpoolOwner) => Promise<unknown>;

const retryMs = 5_000;

/**
 * The spool folders of engines, `<root>/<deployment>/<engine>`: made by engines, emptied into the logs once the engine is gone,
 * removed when that has succeeded. What cannot be taken in now, on a full disk say, stays and is tried again.
 */
export class Spools {
  readonly #root: string;
  readonly #adopt: Adopt;
  readonly #onError: (error: unknown, owner: SpoolOwner) => void;
  readonly #open = new Map<string, SpoolOwner>();
  #work: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;

  constructor(root: string, adopt: Adopt, onError: (error: unknown, owner: SpoolOwner) => void) {
    this.#root = root;
    this.#adopt = adopt;
    this.#onError = onError;
  }

  folder(owner: SpoolOwner): string {
    return join(this.#root, String(owner.deploymentId), owner.partition);
  }

  /** Call it once no process writes there any more. */
  collect(owner: SpoolOwner): void {
    this.#open.set(this.folder(owner), owner);
    this.#start();
  }

  /** Everything that lies there: for the start, when no engine runs. Resolves when each was tried once. */
  async collectAll(): Promise<void> {
    await mkdir(this.#root, { recursive: true });
    for (const deployment of await readdir(this.#root)) {
      const deploymentId = Number(deployment);
      if (!Number.isInteger(deploymentId)) continue;
      for (const partition of await readdir(join(this.#root, deployment))) this.collect({ deploymentId, partition });
    }
    await this.#work;
  }

  /** One last try of everything, at most `patience` ms. What is left is found by the next start. */
  async close(patience: number): Promise<void> {
    this.#start();
    if (this.#work !== null) await Promise.race([this.#work, new Promise((done) => setTimeout(done, patience).unref())]);
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  #start(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#work ??= this.#run().finally(() => { this.#work = null; });
  }

  async #run(): Promise<void> {
    const tried = new Set<string>();
    for (;;) {
      const next = [...this.#open].find(([folder]) => !tried.has(folder));
      if (next === undefined) break;
      const [folder, owner] = next;
      tried.add(folder);
      try {
        await this.#adopt(folder, owner).catch((error: unknown) => {
          // Its pipeline was removed, and the log with it.
          if (!isPotorooError(error) || error.code !== 'deployment_not_found') throw error;
        });
        await rm(folder, { recursive: true, force: true });
        this.#open.delete(folder);
      } catch (error) {
        this.#onError(error, owner);
      }
    }
    if (this.#open.size > 0) this.#retry = setTimeout(() => this.#start(), retryMs).unref();
  }
}
