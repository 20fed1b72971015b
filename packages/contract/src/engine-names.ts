/** Exit codes of an engine, so that a host can tell a bad bundle from a crash. */
export const engineExit = { ok: 0, badSettings: 2, badBundle: 3, loadFailed: 4, portTaken: 5, outOfMemory: 6, storage: 7 } as const;

/**
 * Options of Node.js for an engine that may use so many bytes. V8's room for new objects is 16 MiB at most unless told otherwise; once it is
 * that large, an engine under load copies what lives in it for up to 15 ms at a time. With a higher bound it does not get that far.
 */
export const engineNode = (memoryBytes?: number): string[] => (memoryBytes !== undefined && memoryBytes < 384 * 1024 * 1024 ? [] : ['--max-semi-space-size=64']);

/**
 * What challengers said of the rows of a partition is a partition of its own: row for row, at the same offsets.
 */
export const shadowPartition = (partition: string): string => `${partition}.shadow`;
/** Where an engine keeps it, below its spool folder. */
export const shadowFolder = 'shadow';

/** Framework of a model that is a container image with a server in it. Its file is JSON that names the image: `{"image": "<registry>/<repository>@sha256:…"}`. */
export const imageFramework = 'mlflow-image';
