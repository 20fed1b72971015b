import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** `npm test` runs `unit`; each heavy suite has its own command and installs what it needs (see CONTRIBUTING.md). */
const suites = {
  unit: { include: ['packages/*/src/**/*.test.ts', 'tests/*.test.ts'], testTimeout: 30_000 },
  client: { include: ['tests/python-client/**/*.test.ts'], testTimeout: 300_000 },
  v2: { include: ['tests/v2-clients/**/*.test.ts'], testTimeout: 300_000 },
  fuzz: { include: ['packages/ops/src/protocols/fuzz.test.ts'], testTimeout: 900_000, env: { POTOROO_FUZZ_REQUESTS: '50000' } },
  frameworks: { include: ['tests/frameworks/**/*.test.ts'], testTimeout: 1_200_000 },
  // The tests of the plain process path once more, in containers, and what only containers do.
  containers: { include: ['tests/containers/**/*.test.ts', 'tests/python-hazards.test.ts', 'tests/python-runtime.test.ts', 'tests/python-together.test.ts'], testTimeout: 300_000, globalSetup: ['tests/containers/setup.ts'], env: { POTOROO_TEST_ISOLATION: 'container' } },
  registries: { include: ['tests/registries/**/*.test.ts'], testTimeout: 900_000 },
  oidc: { include: ['tests/oidc/**/*.test.ts'], testTimeout: 300_000 },
  load: { include: ['tests/load/**/*.test.ts'], testTimeout: 900_000 },
};

export default defineConfig({
  test: {
    // Many tests start real servers and engines: one worker a core, never more.
    maxWorkers: Math.max(1, Math.min(4, availableParallelism())),
    projects: Object.entries(suites).map(([name, suite]) => ({
      test: { name, ...suite, hookTimeout: suite.testTimeout, pool: 'forks' as const },
    })),
  },
});
