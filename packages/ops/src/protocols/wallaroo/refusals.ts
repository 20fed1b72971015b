import type { PotorooError } from '@potoroo/contract';
import type { Actor } from '../../domains/domains.ts';

/** Far above what a database counts to, and short enough for a deployment's name. */
const first = 900_000_000_000_000;
const most = 1_000;

/**
 * Why deployments were refused, for the Python client. Whatever `pipelines/deploy` answers but 200, it shows its user "Failed to
 * deploy." and nothing else; after a 200 it asks GraphQL for the deployment at once, and shows what goes wrong there. So it is
 * given an id that no deployment has, and told the reason when it asks for that.
 */
export class Refusals {
  readonly #kept = new Map<number, { readonly actorId: string; readonly error: PotorooError }>();
  #next = first;

  add(actor: Actor, error: PotorooError): number {
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= most && oldest !== undefined) this.#kept.delete(oldest);
    const id = this.#next++;
    this.#kept.set(id, { actorId: actor.id, error });
    return id;
  }

  /** For who was refused. */
  of(actor: Actor, id: number): PotorooError | undefined {
    const found = this.#kept.get(id);
    return found?.actorId === actor.id ? found.error : undefined;
  }
}

/** Whether a request comes from the Python client. */
export const fromPythonClient = (agent: string | undefined): boolean => agent?.startsWith('WallarooSDK/') === true;
