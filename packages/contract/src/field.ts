import { Type, type Static } from '@sinclair/typebox';
import { elementTypes, type ElementType } from './element.ts';

export const ElementTypeSchema = Type.Union(elementTypes.map((t) => Type.Literal(t)), { $id: 'ElementType' });

/** A field of a record. */
export interface RecordField { name: string; type: ElementType; shape: number[]; nullable?: boolean; fields?: RecordField[] }

/**
 * One column's type. `shape` is the shape of one row: `[]` a scalar, `[29]` a vector, `[3,224,224]` an image; -1 stands for
 * a length that may differ from request to request (never from row to row: such a column has a list `items`).
 */
export const FieldSchema = Type.Object(
  {
    name: Type.String(),
    type: Type.Unsafe<ElementType>(Type.Union(elementTypes.map((t) => Type.Literal(t)))),
    shape: Type.Array(Type.Integer({ minimum: -1 }), { description: 'Shape of one row: [] for one value, [29] for 29 of them; -1 is a free dimension.' }),
    nullable: Type.Optional(Type.Boolean()),
    fields: Type.Optional(Type.Unsafe<RecordField[]>(Type.Array(Type.Object({}), { description: 'Set where the elements are records, which some Python models give: their fields. `type` then says nothing.' }))),
  },
  { description: 'One column of an input or output schema.' },
);
export type Field = Static<typeof FieldSchema>;
