import { randomUUID } from 'node:crypto';
import { imageFramework, PotorooError, type Architecture, type BundleModel } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Logger } from '../../log.ts';
import type { Outgoing } from '../../outgoing/outgoing.ts';
import type { Database } from '../../storage/database.ts';
import type { Secrets } from '../../storage/secrets.ts';
import type { Actor, ImageInput, Images, ModelVersion, UploadInput } from '../domains.ts';
import type { OpenSource } from '../models/load-queue.ts';
import { ImageStore } from './images.store.ts';
import type { Credentials, ImageTool } from './image-tool.ts';
import { makeOwner, ownerIn } from './owner.ts';
import { readReference } from './reference.ts';

export interface ImageParts {
  readonly db: Kysely<Database>; readonly secrets: Secrets; readonly outgoing: Pick<Outgoing, 'mayReach'>; readonly clock: () => number; readonly tool: ImageTool;
  readonly models: { receive(actor: Actor, input: Omit<UploadInput, 'content'>): Promise<ModelVersion> };
  /** Architecture of this machine. */
  readonly arch: Architecture;
  /** `host:port` of registries without TLS, with commas between: the administrator knows them. */
  readonly insecure: string;
  readonly dataDir: string;
  readonly log: Logger;
}

interface Source { readonly image: string; readonly credentials?: string }

const names: Readonly<Record<Architecture, string>> = { x86: 'amd64', arm: 'arm64', power10: 'ppc64le' };
const maxSecret = 16 * 1024;
const orphanMs = 3_600_000;
/** So many at once go onto a command line. */
const dropAtOnce = 100;

/**
 * Models that are container images with a server in them. An image is pulled when it is registered and from then on meant by its
 * digest; the model's file is the JSON that names it. Credentials are kept sealed, and nothing that is read here shows them.
 */
export class ImageService implements Images {
  readonly #parts: ImageParts;
  readonly #store: ImageStore;
  readonly #insecure: ReadonlySet<string>;
  readonly #stopped = new AbortController();
  #collecting: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(parts: ImageParts) {
    this.#parts = parts;
    this.#store = new ImageStore(parts.db);
    this.#insecure = new Set(parts.insecure.split(',').map((name) => name.trim()).filter((name) => name !== ''));
  }

  async register(actor: Actor, input: ImageInput): Promise<ModelVersion> {
    const { secrets, clock, models } = this.#parts;
    const { image, credentials, conversion, ...rest } = input;
    const { image: whole } = readReference(image);
    const uuid = credentials && randomUUID();
    if (uuid !== undefined && credentials !== undefined) await this.#store.insert(uuid, secrets.seal(JSON.stringify(checkCredentials(credentials)), uuid), clock(), clock() - orphanMs);
    const source: Source = { image: whole, ...(uuid !== undefined && { credentials: uuid }) };
    return models.receive(actor, {
      ...rest, framework: imageFramework, fileName: 'image.json', conversion: { ...conversion, source },
      onAdded: async (version, transaction) => {
        if (uuid !== undefined) await new ImageStore(transaction).belong(uuid, version.id);
        await input.onAdded?.(version, transaction);
      },
    });
  }

  /** The file of a version that `register` made: the image is on this machine then. */
  readonly open: OpenSource = async (version, say, signal) => {
    const { image } = sourceOf(version);
    if (version.arch !== this.#parts.arch) throw new PotorooError('arch_mismatch', `arch is ${version.arch}, and this server, which starts each image once when it is registered, runs on ${this.#parts.arch}: register an image that is made for that.`);
    say(`Pulling ${image}.`);
    const pulled = await this.#pull(version, image, false, signal);
    say(`It is here: ${pulled.image}, ${pulled.bytes} bytes.`);
    return { fileName: pulled.image, framework: imageFramework, content: pieces(JSON.stringify({ image: pulled.image })) };
  };

  /** Gets what has been removed from this machine since it was registered. @throws image_unavailable, container_unavailable */
  async ensure({ id, framework }: Pick<BundleModel, 'id' | 'framework'>, signal: AbortSignal): Promise<void> {
    const version = framework === imageFramework ? await this.#store.version(id) : undefined;
    if (version !== undefined) await this.#pull(version, version.fileName, true, signal);
  }

  /**
   * Removes the images that this server has pulled and that no model version names any more, unless a container was made of one or somebody
   * else has it too. Asked for again while it runs, it runs once more. Never rejects.
   */
  collect(): Promise<void> {
    this.#next ??= this.#collecting.then(() => {
      this.#next = undefined;
      this.#collecting = this.#collect().catch((error: unknown) => {
        if (!this.#stopped.signal.aborted) this.#parts.log.warn({ err: error }, 'images of removed models were not removed; it will be tried again');
      });
      return this.#collecting;
    });
    return this.#next;
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#next;
    await this.#collecting;
  }

  async #collect(): Promise<void> {
    const { tool, dataDir, log } = this.#parts;
    const { signal } = this.#stopped;
    const owner = ownerIn(dataDir);
    // What is being pulled may be there and is named by nobody yet.
    if (owner === undefined || signal.aborted || await this.#store.pulling()) return;
    const unused: string[] = [];
    for (const digest of await tool.own(owner, signal)) if (!(await this.#store.names(digest))) unused.push(digest);
    for (let at = 0; at < unused.length; at += dropAtOnce) {
      const removed = await tool.drop(owner, unused.slice(at, at + dropAtOnce), signal);
      if (removed.length > 0) log.info({ images: removed }, 'removed images of models that were removed');
    }
  }

  async #pull(version: Pick<ModelVersion, 'arch' | 'conversion'>, image: string, missing: boolean, signal: AbortSignal) {
    const { outgoing, tool, dataDir } = this.#parts;
    const { registry } = readReference(image);
    const insecure = this.#insecure.has(registry);
    if (!insecure) await outgoing.mayReach(registry.replace(/:\d+$/, '').replace(/^\[|\]$/g, ''));
    const credentials = await this.#credentials(version);
    await this.#collecting; // it goes by what is named, which this is soon
    return tool.pull(image, makeOwner(dataDir), { arch: names[version.arch], insecure, credentials, missing }, signal);
  }

  async #credentials(version: Pick<ModelVersion, 'conversion'>): Promise<Credentials | undefined> {
    const { credentials: uuid } = sourceOf(version);
    const sealed = uuid === undefined ? undefined : await this.#store.sealed(uuid);
    return uuid === undefined || sealed === undefined ? undefined : (JSON.parse(this.#parts.secrets.open(sealed, uuid)) as Credentials);
  }
}

const sourceOf = ({ conversion }: Pick<ModelVersion, 'conversion'>): Source => conversion['source'] as Source;

async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

function checkCredentials({ username, password }: Credentials): Credentials {
  for (const [field, value] of Object.entries({ username, password })) {
    const rule = `use 1 to ${maxSecret} characters without line breaks${field === 'username' ? ' and colons' : ''}`;
    if (value === '' || value.length > maxSecret || /[\r\n\0]/.test(value) || (field === 'username' && value.includes(':'))) throw new PotorooError('invalid_request', `credentials.${field} is not right: ${rule}.`, { fields: [{ field: `credentials.${field}`, message: rule }] });
  }
  return { username, password };
}
