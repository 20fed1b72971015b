import { apiPrefix, type ApiTag } from '@potoroo/contract';
import { createOnce, listOf, type Calls } from './calls.ts';
import type { ModelVersion } from './models.ts';
import type { Pages } from './pages.ts';
import type { Pipeline } from './pipelines.ts';
import type { CallOptions } from './transport.ts';

const base = `${apiPrefix}/tags`;

/** A tag as things that carry it name it. */
export interface TagName { readonly id: number; readonly tag: string }

/** A word on model versions and pipelines, shared by everybody on the server. */
export class Tag {
  readonly #calls: Pick<Calls, 'transport'>;
  readonly info: ApiTag;

  constructor(calls: Pick<Calls, 'transport'>, info: ApiTag) {
    this.#calls = calls;
    this.info = info;
  }

  get id(): number { return this.info.id; }
  get text(): string { return this.info.tag; }

  /** Adding it where it is already changes nothing. */
  addTo(thing: ModelVersion | Pipeline, options: CallOptions = {}): Promise<void> {
    return this.#change('PUT', thing, options);
  }

  /** @throws PotorooError tag_not_found when the thing does not carry it */
  removeFrom(thing: ModelVersion | Pipeline, options: CallOptions = {}): Promise<void> {
    return this.#change('DELETE', thing, options);
  }

  /** Takes it off everything. @throws PotorooError forbidden for who neither made it nor is an administrator */
  async delete(options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.request(`${base}/${this.id}`, { ...options, method: 'DELETE' });
  }

  async #change(method: 'PUT' | 'DELETE', thing: ModelVersion | Pipeline, options: CallOptions): Promise<void> {
    const of = 'version' in thing ? 'model-versions' : 'pipelines';
    await this.#calls.transport.request(`${apiPrefix}/${of}/${thing.id}/tags/${this.id}`, { ...options, method });
  }
}

export class Tags {
  readonly #calls: Pick<Calls, 'transport'>;

  constructor(calls: Pick<Calls, 'transport'>) {
    this.#calls = calls;
  }

  /** `tag` finds the one with that text. */
  list(query: { tag?: string } & CallOptions = {}): Pages<Tag> {
    const { tag, ...call } = query;
    return listOf<ApiTag>(this.#calls.transport, base, { tag }, call).map((info) => new Tag(this.#calls, info));
  }

  /** @throws PotorooError tag_not_found */
  async get(id: number, options: CallOptions = {}): Promise<Tag> {
    return new Tag(this.#calls, await this.#calls.transport.json<ApiTag>(`${base}/${id}`, options));
  }

  /** @throws PotorooError already_exists, invalid_name */
  async create(text: string, options: CallOptions = {}): Promise<Tag> {
    return new Tag(this.#calls, await createOnce<ApiTag>(this.#calls.transport, base, { tag: text }, options));
  }
}
