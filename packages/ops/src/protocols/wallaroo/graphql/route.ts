import { execute, GraphQLError, specifiedRules, validate, type ExecutionResult, type GraphQLFormattedError } from 'graphql';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isPotorooError } from '@potoroo/contract';
import { logFailure, toPotorooError } from '../../errors.ts';
import { actorOf } from '../../authenticate.ts';
import { Maybe, type Context } from '../http.ts';
import { parseBounded } from './limits.ts';
import { mutations } from './mutations.ts';
import { queries } from './queries.ts';
import { graphqlSchema } from './schema.ts';
import { Session } from './session.ts';

const Body = Type.Object({
  query: Type.String(),
  variables: Maybe(Type.Record(Type.String(), Type.Unknown())),
  operationName: Maybe(Type.String()),
});

/** Clients cannot have asked reasonably for more than this. */
const maxBytes = 256 * 1024;
const rootValue = { ...queries, ...mutations };

/**
 * What stands in an answer about an error: our errors as they are, the document's own as graphql-js words them, and nothing
 * of what went wrong inside.
 */
function formatted(error: GraphQLError, request: FastifyRequest): GraphQLFormattedError {
  const cause = error.originalError;
  if (cause === undefined || cause === null) return { message: error.message, extensions: { code: 'invalid_request' }, ...(error.path && { path: error.path }) };
  const known = toPotorooError(cause);
  if (isPotorooError(cause)) logFailure(request.log, cause);
  else request.log.error({ err: cause }, 'GraphQL resolver failed');
  return { message: known.message, extensions: { code: known.code }, ...(error.path && { path: error.path }) };
}

export function graphqlRoute(app: FastifyInstance, { domains, refusals }: Context): void {
  const schema = graphqlSchema();

  const run = async (request: FastifyRequest): Promise<ExecutionResult> => {
    const { query, variables } = request.body as { query: string; variables?: Record<string, unknown> | null };
    try {
      const document = parseBounded(query);
      const errors = validate(schema, document, specifiedRules, { maxErrors: 20 });
      if (errors.length > 0) return { errors };
      return await execute({ schema, document, rootValue, contextValue: new Session(domains, actorOf(request), refusals), variableValues: variables ?? {} });
    } catch (error) {
      if (error instanceof GraphQLError) return { errors: [error] };
      throw error;
    }
  };

  app.post('/v1/graphql', { schema: { body: Body }, bodyLimit: maxBytes, config: { wallaroo: { form: 'graphql' } } }, async (request) => {
    const { data, errors } = await run(request);
    return { ...(errors && { errors: errors.map((e) => formatted(e, request)) }), ...(data !== undefined && { data }) };
  });
}
