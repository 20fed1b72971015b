// Makes .venv/client: a Python with the published client and what its answers are compared with.
import { fileURLToPath } from 'node:url';
import { setUpPython } from '../support/python-environment.mjs';

/** Path of the environment's Python; made first when it is missing or older than its requirements. */
export const setUpClientPython = () => setUpPython('client', fileURLToPath(new URL('requirements.txt', import.meta.url)));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(setUpClientPython());
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
