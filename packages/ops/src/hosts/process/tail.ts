const lines = 50;
const width = 2_000;

/** The last lines of a text that arrives in pieces; bounded in lines and in their length. */
export class Tail {
  readonly #lines: string[] = [];
  #rest = '';
  readonly #each: (line: string) => void;

  constructor(each: (line: string) => void) {
    this.#each = each;
  }

  add(text: string): void {
    const parts = (this.#rest + text).split('\n');
    this.#rest = (parts.pop() ?? '').slice(0, width);
    for (const line of parts) {
      if (line.trim() === '') continue;
      const kept = line.slice(0, width);
      this.#lines.push(kept);
      this.#each(kept);
    }
    if (this.#lines.length > lines) this.#lines.splice(0, this.#lines.length - lines);
  }

  show(): string[] {
    return this.#rest.trim() === '' ? [...this.#lines] : [...this.#lines.slice(1 - lines), this.#rest];
  }
}
