/** Path of the Python of .venv/<name>; made first when it is missing or older than its requirements. @throws Error when there is no fitting Python. */
export function setUpPython(name: string, requirements: string): string;
