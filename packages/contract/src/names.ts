import { PotorooError } from './errors.ts';

/**
 * Models, pipelines and workspaces share one rule, that of the published Python client: ASCII letters, digits and dashes,
 * a letter first, no dash last, shorter than 64. Pipelines end up in host names, so they are lower case.
 */
const rules = {
  workspace: { pattern: /^[^\x00-\x1f\x7f]{1,256}$/u, text: '1 to 256 printable characters' },
  model: { pattern: /^[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/, text: '1 to 63 letters, digits and dashes, a letter first and no dash last' },
  pipeline: { pattern: /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/, text: '1 to 63 lower-case letters, digits and dashes, a letter first and no dash last' },
} as const;

export type Named = keyof typeof rules;

/** @throws PotorooError `invalid_name` naming the value and the rule. */
export function checkName(kind: Named, name: string): string {
  const rule = rules[kind];
  if (rule.pattern.test(name) && name.trim() === name) return name;
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name;
  throw new PotorooError('invalid_name', `${kind} name ${JSON.stringify(shown)} is not allowed: use ${rule.text}.`, { fields: [{ field: 'name', message: rule.text }] });
}
