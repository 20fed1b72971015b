import { parseArgs } from 'node:util';
import { isPotorooError, PotorooError } from '@potoroo/contract/plain';
import { inspectImage, pullImage, type Credentials } from './runtimes/containers/images.ts';
import { containerTool, sweepContainers } from './runtimes/containers/tool.ts';

/**
 * What ops has done with containers, in a process of its own that finds the tool as engines do. One JSON line is the answer.
 *
 * - `node image.js --pull IMAGE --arch amd64 [--insecure] [--missing]`: gets an image (with `--missing` only when it is not here), with
 *   the credentials `{"username", "password"}` in `POTOROO_IMAGE_CREDENTIALS` or else those in the file `POTOROO_REGISTRY_AUTH`:
 *   `{ok: true, image, digest, bytes}` or `{ok: false, code, message}`. It ends with its standard input.
 * - `node image.js --sweep`: removes the containers that engines which were killed have left: `{ok: true, removed}`.
 */
async function answer(): Promise<object> {
  try {
    const { values } = parseArgs({ options: { pull: { type: 'string' }, arch: { type: 'string' }, insecure: { type: 'boolean' }, missing: { type: 'boolean' }, sweep: { type: 'boolean' } } });
    const tool = await containerTool();
    if (values.sweep === true) return { ok: true, removed: await sweepContainers(tool) };
    if (values.pull === undefined || values.arch === undefined) throw new PotorooError('invalid_request', 'Give --pull and --arch, or --sweep.');
    const given = process.env['POTOROO_IMAGE_CREDENTIALS'];
    delete process.env['POTOROO_IMAGE_CREDENTIALS'];
    const here = values.missing === true ? await inspectImage(tool, values.pull).catch(() => undefined) : undefined;
    const { name, digest, bytes } = here ?? await pullImage(tool, {
      image: values.pull, arch: values.arch, insecure: values.insecure === true,
      credentials: given === undefined ? undefined : (JSON.parse(given) as Credentials), authFile: process.env['POTOROO_REGISTRY_AUTH'],
    });
    return { ok: true, image: name, digest, bytes };
  } catch (error) {
    return isPotorooError(error) ? { ok: false, code: error.code, message: error.message } : { ok: false, code: 'internal', message: (error as Error).message };
  }
}

process.stdin.on('end', () => process.exit(1)).on('error', () => {}).resume();
const line = `${JSON.stringify(await answer())}\n`;
process.stdout.write(line, () => process.exit(0));
