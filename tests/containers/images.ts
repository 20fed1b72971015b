import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, podman } from './podman.ts';
import { kept, run } from './setup.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
/** As current as it comes, and the version that the guide names. */
const releases = {
  current: ['mlflow-skinny==3.17.2', 'fastapi==0.165.0', 'uvicorn==0.54.0', 'pandas==3.1.1', 'scikit-learn==1.9.1'],
  guide: ['mlflow-skinny==1.30.0', 'flask<2.3', 'werkzeug<2.3', 'gunicorn<21', 'pandas<2', 'numpy<1.25', 'scikit-learn<1.3', 'setuptools<70'],
} as const;
export type Release = keyof typeof releases;
export interface Expected { bikes: { rows: { temp: number[]; workingday: number[] }; answers: number[] }; matrix: { rows: number[][]; answers: number[] } }

/** What `mlflow models build-docker` makes of a model, with the packages of one release of MLflow; the image is `localhost/<release>-<model>`. */
export function buildMlflowImages(release: Release, folder: string): Expected {
  const packages = join(kept, `mlflow-${release}`);
  if (!existsSync(packages)) {
    run(['python3.11', '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-warn-conflicts', '--target', `${packages}.new`, ...releases[release]], 600_000);
    renameSync(`${packages}.new`, packages);
  }
  const models = join(folder, release);
  mkdirSync(models);
  run(['python3.11', here('mlflow_models.py'), models], 300_000, { PYTHONPATH: packages, PYTHONWARNINGS: 'ignore', MLFLOW_TRACKING_URI: `file://${folder}/runs` });
  const base = join(models, 'base');
  mkdirSync(base);
  run(['tar', '-C', packages, '--exclude=*/tests', '--exclude=__pycache__', '-cf', join(base, 'packages.tar'), '.']);
  // Scripts of packages that are not installed for this Python call another one.
  writeFileSync(join(base, 'Containerfile'), [
    'FROM potoroo-runtime', 'USER 0', 'ADD packages.tar /opt/packages/',
    'RUN for name in uvicorn gunicorn; do printf \'#!/bin/sh\\nexec python3 -m %s "$@"\\n\' $name > /usr/local/bin/$name; chmod +x /usr/local/bin/$name; done; python3 -m compileall -q /opt/packages || true',
    'ENV PYTHONPATH=/opt/packages MLFLOW_DISABLE_ENV_CREATION=true DISABLE_ENV_CREATION=true',
    `ENTRYPOINT ["python3", "-c", "from mlflow.models import container as C; C._serve('${release === 'guide' ? 'local' : 'python_function'}')"]`,
  ].join('\n'));
  build(`localhost/${release}-base`, base);
  for (const model of ['bikes', 'matrix']) {
    writeFileSync(join(models, 'Containerfile'), `FROM localhost/${release}-base\nCOPY ${model} /opt/ml/model\n`);
    writeFileSync(join(models, '.dockerignore'), 'base\n');
    build(`localhost/${release}-${model}`, models);
  }
  return JSON.parse(readFileSync(join(models, 'expected.json'), 'utf8')) as Expected;
}

/** `localhost/<name>`: the server of `server.py`, which behaves as it is told. */
export function buildServerImage(name: string, behaves: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'potoroo-image-'));
  cpSync(here('server.py'), join(folder, 'server.py'));
  writeFileSync(join(folder, 'Containerfile'), `FROM potoroo-runtime\nCOPY server.py /server.py\nENV BEHAVES=${behaves}\nUSER 1000:1000\nENTRYPOINT ["python3", "/server.py"]\n`);
  build(`localhost/${name}`, folder);
  run(['rm', '-r', folder]);
}

/** The model file of an image that is on this machine, as registering it makes it. */
export function descriptor(name: string, folder: string): string {
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify({ image: `localhost/${name}@${podman('image', 'inspect', '--format', '{{.Digest}}', `localhost/${name}`)}` }));
  return file;
}

export interface ImageRegistry { readonly address: string; readonly username: string; readonly password: string; readonly authFile: string; push(local: string, name: string): string; stop(): Promise<void> }

/** Debian's docker-registry on a free port, which lets in one user. */
export async function startRegistry(folder: string): Promise<ImageRegistry> {
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as { port: number };
      server.close(() => resolve(free));
    });
  });
  const address = `localhost:${port}`;
  const [username, password] = ['robot', 'a-secret-of-the-registry'];
  const secrets = join(folder, 'htpasswd');
  writeFileSync(secrets, run(['htpasswd', '-Bbn', username, password]));
  const config = join(folder, 'registry.yml');
  writeFileSync(config, [
    'version: 0.1', 'log: {level: error, accesslog: {disabled: true}}', `storage: {filesystem: {rootdirectory: ${join(folder, 'registry')}}}`,
    `http: {addr: 127.0.0.1:${port}}`, `auth: {htpasswd: {realm: test, path: ${secrets}}}`,
  ].join('\n'));
  const child: ChildProcess = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  const authFile = join(folder, 'auth.json');
  writeFileSync(authFile, JSON.stringify({ auths: { [address]: { auth: Buffer.from(`${username}:${password}`).toString('base64') } } }));
  const ended = once(child, 'exit').then(([code]) => { throw new Error(`docker-registry ended with ${String(code)}`); });
  ended.catch(() => {});
  const answers = (): Promise<boolean> => fetch(`http://${address}/v2/`).then(() => true, () => false);
  while (!(await Promise.race([answers(), ended])));
  return {
    address, username, password, authFile,
    push(local, name) {
      podman('push', '--quiet', '--tls-verify=false', '--authfile', authFile, `localhost/${local}`, `${address}/${name}`);
      return `${address}/${name}`;
    },
    async stop() {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
