// Puts Keycloak's distribution, which is on Maven Central, into .venv/keycloak. Does nothing when it is there.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const version = '26.0.7';
const folder = join(fileURLToPath(new URL('../..', import.meta.url)), '.venv', 'keycloak');
const home = join(folder, `keycloak-${version}`);

/** Folder of the distribution; fetched first when it is missing. Needs `mvn` and Java 17 or later. */
export function setUpKeycloak() {
  if (existsSync(join(home, 'bin', 'kc.sh'))) return home;
  mkdirSync(folder, { recursive: true });
  console.log(`Fetching Keycloak ${version} ...`);
  const done = spawnSync('mvn', ['-q', '-B', 'dependency:unpack', `-Dartifact=org.keycloak:keycloak-quarkus-dist:${version}:zip`, `-DoutputDirectory=${folder}`], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
  if (done.status !== 0 || !existsSync(join(home, 'bin', 'kc.sh'))) throw new Error(`Keycloak ${version} could not be fetched${done.error ? `: ${done.error.message}` : ''}. It needs Maven (mvn) and a way to Maven Central.`);
  return home;
}
