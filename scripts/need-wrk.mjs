// The load tests drive their load with wrk. Installed here where that needs nobody's consent; else said how.
import { spawnSync } from 'node:child_process';

const has = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).error === undefined;

if (!has('wrk', ['--version'])) {
  const root = process.getuid?.() === 0;
  if (root && has('apt-get', ['--version'])) {
    console.log('Installing wrk (apt-get install wrk) …');
    const quiet = { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
    spawnSync('apt-get', ['update', '-qq'], quiet);
    spawnSync('apt-get', ['install', '-y', '-qq', 'wrk'], quiet);
  }
  if (!has('wrk', ['--version'])) {
    console.error('The load tests need wrk. Install it (Debian, Ubuntu: apt-get install wrk; macOS: brew install wrk) and run the command again.');
    process.exit(1);
  }
}
