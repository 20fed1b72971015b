import { parseArgs } from 'node:util';
import { isPotorooError, PotorooError } from '@potoroo/contract/plain';
import { inspectImage, type Credentials } from './runtimes/containers/images.ts';
import { dropImages, ownImages, pullOwn } from './runtimes/containers/own-images.ts';
import { containerTool, sweepContainers } from './runtimes/containers/tool.ts';

/** Aborted when who started this is no more. */
const alone = new AbortController();

/**
 * What ops has done with containers, in a process of its own that finds the tool as engines do. One JSON line is the answer.
 *
 * - `node image.js --pull IMAGE --arch amd64 --owner ID [--insecure] [--missing]`: gets an image (with `--missing` only when it is not here), with
 *   the credentials `{"username", "password"}` in `POTOROO_IMAGE_CREDENTIALS` or else those in the file `POTOROO_REGISTRY_AUTH`:
 *   `{ok: true, image, digest, bytes}` or `{ok: false, code, message}`. It gives up when its standard input ends.
 * - `node image.js --own --owner ID`: the images that this owner (12 hexadecimal digits) has got so: `{ok: true, digests}`.
 * - `node image.js --drop sha256:… [--drop …] --owner ID`: removes some of them that nothing else needs: `{ok: true, removed}`.
 * - `node image.js --sweep`: removes the containers that engines which were killed have left: `{ok: true, removed}`.
 */
async function answer(): Promise<object> {
  try {
    const { values } = parseArgs({ options: { pull: { type: 'string' }, arch: { type: 'string' }, insecure: { type: 'boolean' }, missing: { type: 'boolean' }, sweep: { type: 'boolean' }, owner: { type: 'string' }, own: { type: 'boolean' }, drop: { type: 'string', multiple: true } } });
    const tool = await containerTool();
    if (values.sweep === true) return { ok: true, removed: await sweepContainers(tool) };
    const { owner = '' } = values;
    if (!/^[0-9a-f]{12}$/.test(owner)) throw new PotorooError('invalid_request', 'Give --owner: 12 hexadecimal digits.');
    if (values.own === true) return { ok: true, digests: await ownImages(tool, owner) };
    if (values.drop !== undefined) return { ok: true, removed: await dropImages(tool, owner, values.drop) };
    if (values.pull === undefined || values.arch === undefined) throw new PotorooError('invalid_request', 'Give --pull and --arch, --own, --drop or --sweep.');
    const given = process.env['POTOROO_IMAGE_CREDENTIALS'];
    delete process.env['POTOROO_IMAGE_CREDENTIALS'];
    const here = values.missing === true ? await inspectImage(tool, values.pull).catch(() => undefined) : undefined;
    const { name, digest, bytes } = here ?? await pullOwn(tool, owner, {
      image: values.pull, arch: values.arch, insecure: values.insecure === true,
      credentials: given === undefined ? undefined : (JSON.parse(given) as Credentials), authFile: process.env['POTOROO_REGISTRY_AUTH'],
    }, alone.signal);
    return { ok: true, image: name, digest, bytes };
  } catch (error) {
    return isPotorooError(error) ? { ok: false, code: error.code, message: error.message } : { ok: false, code: 'internal', message: (error as Error).message };
  }
}

process.stdin.on('end', () => alone.abort()).on('error', () => {}).resume();
process.stdout.on('error', () => {});
const line = `${JSON.stringify(await answer())}\n`;
process.stdout.write(line, () => process.exit(0));
