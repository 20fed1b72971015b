import { PotorooError } from '@potoroo/contract/plain';
import { showDtype, type Dtype } from './dtype.ts';
import { isNull, type Vector } from './vector.ts';

/** What an expression is evaluated in. */
export interface Context {
  readonly rows: number;
  column(name: string): Vector;
}

/** A compiled part of an expression. */
export interface Node {
  readonly dtype: Dtype;
  /** One value for all rows, whatever the batch. */
  readonly scalar: boolean;
  /** A number written in the expression: it takes the type of what it meets. */
  readonly literal?: number;
  /** Values of `is_in` as polars 0.18 writes them: there null is a value like others, where later versions have to be told. */
  readonly nullsEqual?: boolean;
  /** Each row's value depends on that row alone; false as soon as an aggregate is part of it. */
  readonly rowwise: boolean;
  readonly run: (context: Context) => Vector;
}

/** Where in the expression we are, for errors: `BinaryExpr.left.Column`. */
export type Path = string;

export function refuse(path: Path, why: string): never {
  throw new PotorooError('pipeline_invalid', `The validation cannot be used: ${why} (at ${path}).`, { fields: [{ field: path, message: why }] });
}

export function expect(path: Path, node: Node, test: (d: Dtype) => boolean, wanted: string): Node {
  return test(node.dtype) || node.dtype === 'null' ? node : refuse(path, `${wanted} is needed here, not ${showDtype(node.dtype)}`);
}

/** Element by element over operands of which some are scalars; null where any operand is. `each` gets the index to read at. */
export function lift(operands: readonly Vector[], rows: number, each: (i: number) => void): { length: number; scalar: boolean; nulls: Uint8Array | undefined } {
  const scalar = operands.every((o) => o.scalar);
  const length = scalar ? 1 : rows;
  let nulls: Uint8Array | undefined;
  if (operands.every((o) => o.nulls === undefined)) for (let i = 0; i < length; i++) each(i);
  else {
    nulls = new Uint8Array(length);
    for (let i = 0; i < length; i++) if (operands.some((o) => isNull(o, i))) nulls[i] = 1; else each(i);
  }
  return { length, scalar, nulls };
}

/** Rows the operands have: those of the context, or of the lists that are being looked into. */
export const rowsOf = (context: Context, operands: readonly Vector[]): number => operands.find((o) => !o.scalar)?.length ?? context.rows;

/** An entry of a table by a name that came from outside: never one of Object's own. */
export const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined => (Object.hasOwn(table, name) ? table[name] : undefined);

/** An option that is a word; anything else is as if it were not there. */
export const word = (value: unknown, otherwise = ''): string => (typeof value === 'string' ? value : otherwise);
