import { run } from './run.ts';

// Whoever reads us may stop early, as `| head` does: that is no fault, and there is nobody left to tell.
for (const stream of [process.stdout, process.stderr]) stream.on('error', (error: NodeJS.ErrnoException) => { if (error.code === 'EPIPE') process.exit(); else throw error; });

process.exitCode = await run(process.argv.slice(2), process.env);
