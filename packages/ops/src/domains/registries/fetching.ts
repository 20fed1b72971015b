import { PotorooError } from '@potoroo/contract';
import type { SourceFile } from '../models/load-queue.ts';
import type { RegistryApi } from './api.ts';
import { find, read, walk, type Artifact, type Path, type Place } from './places.ts';
import { zipOf } from './zip.ts';

type Say = (text: string) => void;

/** How often the log is told: first after this time, then ever more seldom. */
const firstMs = 2000;
const seldomMs = 60_000;
const mark = 'MLmodel';

/** A file of a registry as it is, a folder as a zip with what is in it. */
export async function openArtifact(api: RegistryApi, path: Path, framework: string, say: Say, clock: () => number): Promise<SourceFile> {
  const { place, entry } = await find(api, path);
  if (!entry.directory) {
    say(`Fetching ${entry.name} (${entry.size ?? 'an unknown number of'} bytes).`);
    return { fileName: entry.name, framework, content: counted(api, [{ ...entry, path: entry.name, place }], (files) => files[0]!.content(), say, clock) };
  }
  const files = (await walk(api, place)).filter(({ directory }) => !directory);
  if (files.length === 0) throw new PotorooError('artifact_not_found', `The folder ${JSON.stringify(entry.name)} of the registry has no files.`);
  const isModel = files.some((file) => file.path === mark);
  say(`Fetching ${files.length} files (${sum(files)} bytes) of the folder ${entry.name}${isModel ? ', an MLflow model' : ''}.`);
  // The published client has no word for MLflow's own format: arbitrary Python is the nearest that it can say.
  const runs = isModel && framework === 'custom' ? 'mlflow' : framework;
  if (runs !== framework) say('The folder is an MLflow model, so that it runs with MLflow.');
  else if (isModel && runs !== 'mlflow') say(`It is uploaded as ${framework}, with all that is in the folder; as mlflow it would run as it is.`);
  return { fileName: `${entry.name.slice(0, 200)}.zip`, framework: runs, content: counted(api, files, zipOf, say, clock) };
}

const sum = (files: readonly Artifact[]): number => files.reduce((total, { size }) => total + (size ?? 0), 0);

interface Opened { readonly path: string; content(): AsyncIterable<Uint8Array> }

/** The files with their bytes held to what was listed and to the bound, and the log told now and then how far it is. */
async function* counted(api: RegistryApi, files: readonly Artifact[], pack: (files: Opened[]) => AsyncIterable<Uint8Array>, say: Say, clock: () => number): AsyncGenerator<Uint8Array> {
  const { maxBytes } = api.bounds;
  const all = sum(files);
  const tooLarge = (bytes: number) => new PotorooError('body_too_large', `The model has ${bytes} bytes; ${maxBytes} are taken. Raise POTOROO_MAX_UPLOAD_BYTES to accept it.`);
  if (all > maxBytes) throw tooLarge(all);
  let total = 0;
  let told = clock();
  let pause = firstMs;
  async function* content({ path, place, size }: { path: string; place: Place; size: number | null }): AsyncGenerator<Uint8Array> {
    let got = 0;
    for await (const piece of read(api, place, maxBytes - total, say)) {
      got += piece.byteLength;
      total += piece.byteLength;
      if (size !== null && got > size) break;
      yield piece;
      if (clock() - told < pause) continue;
      told = clock();
      pause = Math.min(2 * pause, seldomMs);
      say(`Fetched ${total} of ${all > 0 ? all : 'an unknown number of'} bytes.`);
    }
    if (size !== null && got !== size) api.invalid(`sent ${got > size ? 'more than' : `${got} of`} the ${size} bytes of ${JSON.stringify(path)} that it lists.`);
  }
  yield* pack(files.map((file) => ({ path: file.path, content: () => content(file) })));
  say(`Fetched ${total} bytes.`);
}
