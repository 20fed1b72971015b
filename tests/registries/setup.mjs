// Makes .venv/registries: a Python with a real MLflow and what makes the models that it keeps.
import { fileURLToPath } from 'node:url';
import { setUpPython } from '../support/python-environment.mjs';

/** Path of the environment's Python; made first when it is missing or older than its requirements. */
export const setUpMlflowPython = () => setUpPython('registries', fileURLToPath(new URL('requirements.txt', import.meta.url)));
