/** Path of the environment's Python; made first when it is missing or older than its requirements. @throws Error when there is no fitting Python. */
export function setUpClientPython(): string;
