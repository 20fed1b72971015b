import { InvalidArgumentError, type Command } from 'commander';
import { keySplit, modelStep, parseValidation, PotorooError, randomSplit, shadow, validations, type ModelVersion, type Step, type ValidationSpec } from '@potoroo/sdk';
import { collect } from './command.ts';
import type { Context } from './context.ts';
import { findModelVersion } from './find.ts';

/** The options that describe one step; `hashKey` and what follows belong to one of the kinds before. */
export interface StepOptions {
  model?: string;
  randomSplit?: readonly string[];
  keySplit?: string;
  shadow?: string;
  validate?: readonly string[];
  hashKey?: string;
  control?: string;
  route?: readonly string[];
  challenger?: readonly string[];
}

const kinds = { model: '--model', randomSplit: '--random-split', keySplit: '--key-split', shadow: '--shadow', validate: '--validate' } as const;
type Kind = keyof typeof kinds;
/** Which options of others each kind goes with, and the first of them that it needs. */
const companions: Readonly<Record<Kind, { readonly options: Partial<Record<keyof StepOptions, string>>; readonly needs?: keyof StepOptions }>> = {
  model: { options: {} }, validate: { options: {} },
  randomSplit: { options: { hashKey: '--hash-key' } },
  keySplit: { options: { control: '--control', route: '--route' }, needs: 'control' },
  shadow: { options: { challenger: '--challenger' }, needs: 'challenger' },
};

const commas = (text: string, before: readonly string[] | undefined): readonly string[] => text.split(',').reduce<readonly string[]>((all, part) => collect(part.trim(), all), before ?? []);

function wellFormed(text: string, before: readonly string[] | undefined): readonly string[] {
  try {
    parseValidation(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  return collect(text, before);
}

/** A model is `<name>` for its newest version, or `<name>@<version>`. */
export function stepOptions(command: Command): Command {
  return command
    .option('-m, --model <model>', 'run one model, as <name> or <name>@<version>')
    .option('--random-split <model=weight,…>', 'send each request to one of several models, by weight', commas)
    .option('--hash-key <input>', 'with --random-split: rows with one value of this input always meet the same model')
    .option('--key-split <input>', 'choose the model of each row by the value of this input')
    .option('--control <model>', 'with --key-split: the model of all other rows')
    .option('--route <value=model>', 'with --key-split: the model of rows with this value; may be repeated', collect)
    .option('--shadow <champion>', 'answer with this model and show the same rows to challengers')
    .option('--challenger <model[=fraction]>', 'with --shadow: may be repeated; a fraction such as 0.1 shows it so much of the requests', collect)
    .option('--validate <name=expression>', "mark rows where this is true, such as 'too_high = out.price > 500000'; may be repeated", wellFormed);
}

/** What the options describe. @throws PotorooError invalid_request, model_not_found */
export async function stepFrom(context: Context, options: StepOptions): Promise<Step> {
  const given = (Object.keys(kinds) as Kind[]).filter((kind) => options[kind] !== undefined);
  const [kind] = given;
  if (kind === undefined) throw wrong(`Say what the step does: ${Object.values(kinds).join(', ')}.`);
  if (given.length > 1) throw wrong(`${given.map((k) => kinds[k]).join(' and ')} are steps of their own: add one after the other.`);
  for (const [other, { options: theirs }] of Object.entries(companions)) {
    const stray = Object.entries(theirs).find(([name]) => options[name as keyof StepOptions] !== undefined);
    if (other !== kind && stray !== undefined) throw wrong(`${stray[1]} belongs to ${kinds[other as Kind]}, which was not given.`);
  }
  const { options: own, needs } = companions[kind];
  if (needs !== undefined && options[needs] === undefined) throw wrong(`${kinds[kind]} needs ${own[needs]}.`);
  const find = (reference: string): Promise<ModelVersion> => findModelVersion(context, reference);
  switch (kind) {
    case 'model': return modelStep(await find(options.model as string));
    case 'validate': return validations(...validationsOf(options.validate ?? []));
    case 'randomSplit': {
      const weights = (options.randomSplit ?? []).map((text) => pair('--random-split', text, 'model=weight, such as champion=2'));
      return randomSplit(await Promise.all(weights.map(async ([name, weight]) => ({ model: await find(name), weight: number('--random-split', `${name}=${weight}`, weight, Infinity) }))), { ...(options.hashKey === undefined ? {} : { hashKey: options.hashKey }) });
    }
    case 'keySplit': {
      const routes = (options.route ?? []).map((text) => pair('--route', text, 'value=model, such as gold=large-model'));
      return keySplit(options.keySplit as string, await find(options.control as string), Object.fromEntries(await Promise.all(routes.map(async ([value, name]) => [value, await find(name)] as const))));
    }
    case 'shadow': return shadow(await find(options.shadow as string), await Promise.all((options.challenger ?? []).map(async (text) => {
      if (!text.includes('=')) return { model: await find(text) };
      const [name, fraction] = pair('--challenger', text, 'model or model=fraction');
      return { model: await find(name), fraction: number('--challenger', text, fraction, 1) };
    })));
  }
}

export const validationsOf = (texts: readonly string[]): ValidationSpec[] => texts.map(parseValidation);

/** At the last `=`: values may have some. */
function pair(option: string, text: string, form: string): [string, string] {
  const at = text.lastIndexOf('=');
  if (at > 0 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)];
  throw wrong(`${option} ${JSON.stringify(text)} is not ${form}.`);
}

function number(option: string, whole: string, text: string, most: number): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0 && value <= most) return value;
  throw wrong(`${option} ${JSON.stringify(whole)}: ${JSON.stringify(text)} is not a number ${most === 1 ? 'above 0 and up to 1' : 'from 0 on'}.`);
}

const wrong = (message: string): PotorooError => new PotorooError('invalid_request', message);
