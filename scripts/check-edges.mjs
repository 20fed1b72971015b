// Which package may use which: contract <- batch <- engine, ops, sdk; sdk <- cli, dashboard. Ops starts engines and never
// imports them; an engine knows nothing of ops. Checked in the sources, in package.json and in tsconfig.json alike.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const may = {
  contract: [],
  batch: ['contract'],
  engine: ['contract', 'batch'],
  ops: ['contract', 'batch'],
  sdk: ['contract', 'batch'],
  cli: ['contract', 'batch', 'sdk'],
  dashboard: ['contract', 'batch', 'sdk'],
};

const root = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..');
const problems = [];
const refuse = (where, from, to) =>
  problems.push(`${where}: ${from} must not use ${to}; it may use ${may[from].length > 0 ? may[from].join(', ') : 'no other package'}.`);

function check(where, from, to) {
  if (to === from || may[from].includes(to)) return;
  refuse(where, from, to);
}

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.[cm]?tsx?$/.test(entry.name)) yield path;
  }
}

/** Specifiers of static imports, re-exports, dynamic imports, require and resolve calls. */
const specifier = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire(?:\.resolve)?\s*\(\s*|\bimport\.meta\.resolve\s*\(\s*)['"]([^'"\n]+)['"]/g;

function checkSources(name) {
  const folder = join(root, 'packages', name);
  for (const path of sources(join(folder, 'src'))) {
    const where = relative(root, path);
    for (const [, target] of readFileSync(path, 'utf8').matchAll(specifier)) {
      const scoped = /^@potoroo\/([^/]+)/.exec(target);
      if (scoped) check(where, name, scoped[1]);
      else if (target.startsWith('.')) {
        const reached = relative(join(root, 'packages'), join(dirname(path), target)).split(/[\\/]/)[0];
        if (reached !== name) check(where, name, reached === '..' ? relative(root, join(dirname(path), target)) : `${reached} by path`);
      }
    }
  }
}

/** Another package's built entry is started as a process, not imported: `import.meta.resolve` of it stays forbidden too. */
function checkManifests(name) {
  const folder = join(root, 'packages', name);
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies']) {
    for (const dependency of Object.keys(manifest[kind] ?? {})) {
      if (dependency.startsWith('@potoroo/')) check(`packages/${name}/package.json`, name, dependency.slice('@potoroo/'.length));
    }
  }
  const project = join(folder, 'tsconfig.json');
  if (!existsSync(project)) return;
  for (const [, reached] of readFileSync(project, 'utf8').matchAll(/"path"\s*:\s*"\.\.\/([^"/]+)"/g)) check(`packages/${name}/tsconfig.json`, name, reached);
}

const packages = readdirSync(join(root, 'packages'), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
for (const name of packages) {
  if (!(name in may)) {
    problems.push(`packages/${name}: no rule says what it may use; add it to scripts/check-edges.mjs.`);
    continue;
  }
  checkSources(name);
  checkManifests(name);
}

for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? `Package edges: ${packages.length} packages, all as they should be.` : `Package edges: ${problems.length} refused.`);
process.exit(problems.length === 0 ? 0 : 1);
