import { PotorooError } from '@potoroo/contract';

/** One line of a requirements file, as far as it is allowed: a package by name, its extras, versions and marker. */
export interface Requirement {
  /** Normalised as package indexes do: `Scikit_Learn` is `scikit-learn`. */
  readonly name: string;
  readonly text: string;
}

const line = /^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[A-Za-z0-9._,\s-]*\])?\s*(\(?\s*(?:(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+\s*,?\s*)*\)?)\s*(;.*)?$/;
const normal = (name: string): string => name.toLowerCase().replace(/[-_.]+/g, '-');

/**
 * A line of a model's requirements. Addresses, local paths and options are refused: packages come from the index that this
 * server is set up with, and from nowhere else.
 * @throws PotorooError `environment_failed` naming the line
 */
export function parseRequirement(text: string): Requirement | undefined {
  const clean = text.replace(/(^|\s)#.*$/, '').replace(/\s--hash=\S+/g, '').trim();
  if (clean === '') return undefined;
  const shown = JSON.stringify(clean.length > 120 ? `${clean.slice(0, 120)}…` : clean);
  if (clean.startsWith('-')) throw new PotorooError('environment_failed', `The requirement ${shown} is an option; only packages by name are installed. Remove the line; the index is this server's to choose.`);
  if (/[@/\\]|:\/\//.test(clean.split(';')[0] ?? '')) throw new PotorooError('environment_failed', `The requirement ${shown} is an address or a path; only packages by name are installed. Name the package and its version, such as pillow==10.4.0.`);
  const match = line.exec(clean);
  if (match === null) throw new PotorooError('environment_failed', `The requirement ${shown} cannot be read. Write a name and versions, such as pillow>=10.0.0.`);
  return { name: normal(match[1] ?? ''), text: clean.replace(/\s+/g, ' ') };
}

/**
 * What is installed: the framework's pinned packages, replaced where the model names the same package. Some packages come
 * under two names for one module; whoever asks for one of them does not get the other as well.
 */
export function mergeRequirements(pinned: readonly string[], own: readonly string[]): string[] {
  const wanted = own.flatMap((text) => parseRequirement(text) ?? []);
  const taken = new Set(wanted.flatMap(({ name }) => [name, ...(twins.find((names) => names.includes(name)) ?? [])]));
  const kept = pinned.flatMap((text) => parseRequirement(text) ?? []).filter(({ name }) => !taken.has(name));
  return [...new Set([...kept, ...wanted].map(({ text }) => text))].sort();
}

const twins: readonly (readonly string[])[] = [
  ['xgboost', 'xgboost-cpu'],
  ['tensorflow', 'tensorflow-cpu', 'tensorflow-gpu'],
  ['scikit-learn', 'sklearn'],
  ['mlflow', 'mlflow-skinny'],
  ['onnxruntime', 'onnxruntime-gpu'],
];
