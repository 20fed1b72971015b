import type { Accelerator, Architecture, Reason } from '@potoroo/contract';

/** What the deployment config says: where its engines and, by model, their sidekicks run. Undefined is as the models are. */
export interface Wanted { readonly arch: Architecture | undefined; readonly accel: Accelerator | undefined }
export interface PlacedModel {
  readonly name: string;
  /** What it was uploaded for. */
  readonly arch: Architecture; readonly accel: Accelerator;
  /** What the config says of its sidekick, for a model that has one. */
  readonly sidekick?: Wanted;
}
export interface Placement {
  /** Of the engines: that of the config, else of the models. */
  readonly arch: Architecture;
  /** Everything that the host has to have. */
  readonly archs: Architecture[]; readonly accels: Accelerator[];
  /** Why this can run nowhere; null when it can, on a host that has all of it. */
  readonly refusal: Reason | null;
}

/**
 * Models and what they are deployed on have to be of one architecture and accelerator: a model uploaded for ARM needs a deployment
 * config that says ARM, or none. A deployment inherits what its config leaves out from its first model.
 */
export function placementOf(wanted: Wanted, models: readonly PlacedModel[]): Placement {
  const arch = wanted.arch ?? models[0]?.arch ?? 'x86';
  const accel = wanted.accel ?? models[0]?.accel ?? 'none';
  const places = models.map((model) => ({ model, arch: model.sidekick?.arch ?? arch, accel: model.sidekick?.accel ?? accel }));
  const wrong = (what: 'arch' | 'accel'): string | undefined => {
    const place = places.find((p) => p.model[what] !== p[what]);
    if (place === undefined) return undefined;
    const { model, [what]: here } = place;
    const own = `Model ${model.name} was uploaded for ${what} ${model[what]}`;
    if (model.sidekick?.[what] !== undefined) return `${own} and the deployment config runs its sidekick on ${here}: set the ${what} of the sidekick to ${model[what]}, or upload the model for ${here}.`;
    if (wanted[what] !== undefined) return `${own} and the deployment config says ${here}: set the ${what} of the deployment config to ${model[what]}, or upload the model for ${here}.`;
    return `${own} and model ${models[0]?.name} for ${here}: models of one pipeline need one ${what}. Upload one of them again.`;
  };
  const reasons: [Reason['code'], string | undefined][] = [['arch_mismatch', wrong('arch')], ['accel_mismatch', wrong('accel')]];
  const [code, message] = reasons.find(([, text]) => text !== undefined) ?? [];
  return {
    arch, archs: [...new Set([arch, ...places.map((p) => p.arch)])], accels: [...new Set([accel, ...places.map((p) => p.accel)])].filter((a) => a !== 'none'),
    refusal: code === undefined || message === undefined ? null : { code, message },
  };
}
