// Makes .venv/registries and .venv/registries-2: Pythons with a real MLflow, 3 and 2, and what makes the models that it keeps.
import { fileURLToPath } from 'node:url';
import { setUpPython } from '../support/python-environment.mjs';

/** Path of the environment's Python; made first when it is missing or older than its requirements. */
export const setUpMlflowPython = (major = 3) => {
  const suffix = major === 3 ? '' : `-${major}`;
  return setUpPython(`registries${suffix}`, fileURLToPath(new URL(`requirements${suffix}.txt`, import.meta.url)));
};
