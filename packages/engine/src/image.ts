import { parseArgs } from 'node:util';
import { isPotorooError, PotorooError } from '@potoroo/contract/plain';
import { pullImage, type Credentials } from './runtimes/container-images.ts';
import { containerTool, sweepContainers } from './runtimes/container-tool.ts';

/**
 * What ops has done with containers, in a process of its own that finds the tool as engines do. One JSON line is the answer.
 *
 * - `node image.js --pull IMAGE --arch amd64 [--insecure] [--timeout-ms N]`: gets an image, with the credentials
 *   `{"username", "password"}` on standard input, where there are any, or those in `POTOROO_REGISTRY_AUTH`:
 *   `{ok: true, image, digest, bytes, arch}` or `{ok: false, code, message}`.
 * - `node image.js --sweep`: removes the containers that engines which were killed have left: `{ok: true, removed}`.
 */
async function answer(): Promise<object> {
  try {
    const { values } = parseArgs({ options: { pull: { type: 'string' }, arch: { type: 'string' }, insecure: { type: 'boolean' }, 'timeout-ms': { type: 'string' }, sweep: { type: 'boolean' } } });
    const tool = await containerTool();
    if (values.sweep === true) return { ok: true, removed: await sweepContainers(tool) };
    if (values.pull === undefined || values.arch === undefined) throw new PotorooError('invalid_request', 'Give --pull and --arch, or --sweep.');
    const given = await input();
    const { name, digest, bytes, arch } = await pullImage(tool, {
      image: values.pull, arch: values.arch, insecure: values.insecure === true, timeoutMs: Number(values['timeout-ms'] ?? 1_800_000),
      credentials: given === '' ? undefined : (JSON.parse(given) as Credentials), authFile: process.env['POTOROO_REGISTRY_AUTH'],
    });
    return { ok: true, image: name, digest, bytes, arch };
  } catch (error) {
    return isPotorooError(error) ? { ok: false, code: error.code, message: error.message } : { ok: false, code: 'internal', message: (error as Error).message };
  }
}

async function input(): Promise<string> {
  let text = '';
  for await (const piece of process.stdin) text += String(piece);
  return text.trim();
}

const line = `${JSON.stringify(await answer())}\n`;
process.stdout.write(line, () => process.exit(0));
