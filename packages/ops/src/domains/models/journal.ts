import type { Logger } from '../../log.ts';

/** The upload log of a version while it is fetched or loaded. */
export interface Journal {
  say(text: string): void;
  /** Resolves when all that was said until now is kept; what was held back for the end is, too. */
  written(): Promise<void>;
}

export interface JournalParts {
  readonly versionId: number;
  readonly store: { log(versionId: number, lines: readonly string[]): Promise<void> };
  readonly clock: () => number;
  readonly log: Logger;
}

/** Characters of a line. */
const maxLine = 4096;
/** What is written as it comes. */
const mostLines = 4000;
const mostCharacters = 2 * 1024 * 1024;
/** Of what is over that, so many lines are kept, the last ones: they say how it ended. */
const lastLines = 500;

/**
 * Lines are written in their order, one after the other; a load says more than its caller waits for. Models and installers print
 * what they like for as long as they load, so that no more than a bound goes into the database.
 */
export function openJournal({ versionId, store, clock, log }: JournalParts): Journal {
  let lines = 0;
  let characters = 0;
  let leftOut = 0;
  let last: string[] = [];
  let writing: Promise<void> = Promise.resolve();
  const stamped = (text: string): string => `${new Date(clock()).toISOString()} stdout F ${text}`;
  const write = (some: readonly string[]): void => {
    // The version may have been removed meanwhile.
    writing = writing.then(() => store.log(versionId, some)).catch((error: unknown) => log.debug({ err: error, modelVersion: versionId }, 'a line of an upload log was not kept'));
  };
  const full = (): boolean => lines >= mostLines || characters >= mostCharacters;
  return {
    say(text) {
      const line = stamped(text.length > maxLine ? `${text.slice(0, maxLine)}…` : text);
      if (full()) {
        last.push(line);
        if (last.length <= lastLines) return;
        last.shift();
        leftOut += 1;
        return;
      }
      lines += 1;
      characters += line.length;
      write([line]);
      if (full()) write([stamped(`(This is much. Of what is said from here on, the last ${lastLines} lines are kept and follow at the end.)`)]);
    },
    written() {
      if (last.length > 0) write([...(leftOut === 0 ? [] : [stamped(`(${leftOut} lines left out.)`)]), ...last]);
      last = [];
      leftOut = 0;
      return writing;
    },
  };
}
