import { GraphQLError, Kind, Lexer, parse, Source, TokenKind, type DocumentNode, type FragmentDefinitionNode, type SelectionSetNode } from 'graphql';

/** Deepest document of the client: its introspection query, 13 levels. Everything else it sends stays below 200 fields. */
export const limits = { tokens: 4_000, brackets: 64, depth: 16, fields: 1_000, rows: 20_000 } as const;

const opening: ReadonlySet<string> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L]);
const closing: ReadonlySet<string> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R]);

/** The parser calls itself for every bracket: enough of them would use up the stack. */
function checkBrackets(source: string): void {
  const lexer = new Lexer(new Source(source));
  for (let open = 0, tokens = 0; tokens <= limits.tokens; tokens += 1) {
    const { kind } = lexer.advance();
    if (kind === TokenKind.EOF) return;
    if (opening.has(kind)) open += 1;
    else if (closing.has(kind)) open -= 1;
    if (open > limits.brackets) throw new GraphQLError(`The document nests deeper than ${limits.brackets} brackets. Ask for less at once.`);
  }
}

/** Parses a document and refuses, before anything runs, one that could not be a reasonable question. */
export function parseBounded(source: string): DocumentNode {
  checkBrackets(source);
  const document = parse(source, { maxTokens: limits.tokens, noLocation: true });
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const d of document.definitions) if (d.kind === Kind.FRAGMENT_DEFINITION) fragments.set(d.name.value, d);

  let fields = 0;
  const walk = (set: SelectionSetNode | undefined, depth: number, open: readonly string[]): void => {
    if (set === undefined) return;
    if (depth > limits.depth) throw new GraphQLError(`The document nests deeper than ${limits.depth} levels. Ask for less at once.`);
    for (const selection of set.selections) {
      // Fragments are counted as often as they are spread: that is what they cost.
      fields += 1;
      if (fields > limits.fields) throw new GraphQLError(`The document asks for more than ${limits.fields} fields. Ask for less at once.`);
      if (selection.kind !== Kind.FRAGMENT_SPREAD) walk(selection.selectionSet, depth + (selection.kind === Kind.FIELD ? 1 : 0), open);
      else {
        const name = selection.name.value;
        if (open.includes(name)) throw new GraphQLError(`The fragment ${name} spreads itself.`);
        walk(fragments.get(name)?.selectionSet, depth, [...open, name]);
      }
    }
  };
  const operations = document.definitions.filter((d) => d.kind === Kind.OPERATION_DEFINITION);
  if (operations.length > 1) throw new GraphQLError('The document has more than one operation. Send one at a time.');
  for (const d of operations) walk(d.selectionSet, 1, []);
  return document;
}
