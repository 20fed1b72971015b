/** The interpreter of the environment, whether or not it is there yet. */
export const clientPython: string;
/** Path of the environment's Python; made first when it is missing or older than its requirements. @throws Error when there is no fitting Python. */
export function setUpClientPython(): string;
