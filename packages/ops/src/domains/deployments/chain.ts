import { PotorooError, type Field } from '@potoroo/contract';

export interface Link { readonly name: string; readonly inputs: readonly Field[] | null; readonly outputs: readonly Field[] | null }

/**
 * Whether each step can take what the one before gives: by name, or, where both have one column, whatever its name. Element
 * types are converted by the engine; a row shape that can never fit is refused here. Models that declare nothing pass.
 * @throws pipeline_invalid naming the step and the columns
 */
export function checkChain(links: readonly Link[]): void {
  links.forEach((next, i) => {
    const before = links[i - 1];
    if (before === undefined || before.outputs === null || next.inputs === null) return;
    const { outputs } = before;
    const lone = outputs.length === 1 && next.inputs.length === 1;
    for (const input of next.inputs) {
      const output = lone ? outputs[0] : outputs.find((o) => o.name === input.name);
      const where = `Step ${i} (model ${next.name}) takes column ${JSON.stringify(input.name)}`;
      if (output === undefined) {
        throw refuse(i, `${where}, which step ${i - 1} (model ${before.name}) does not give: it gives ${outputs.map((o) => JSON.stringify(o.name)).join(', ')}. Rename the inputs with tensor_fields.`);
      }
      if (!fits(output.shape, input.shape)) {
        throw refuse(i, `${where} with rows of shape [${input.shape.join(',')}], but step ${i - 1} (model ${before.name}) gives [${output.shape.join(',')}]. Use models whose shapes fit.`);
      }
    }
  });
}

const refuse = (step: number, message: string): PotorooError => new PotorooError('pipeline_invalid', message, { fields: [{ field: `steps[${step}]`, message }] });

/** Row shapes fit when they may have the same number of elements: engines reshape, they do not pad. */
function fits(from: readonly number[], to: readonly number[]): boolean {
  if (from.includes(-1) || to.includes(-1)) return true;
  const size = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
  return size(from) === size(to);
}
