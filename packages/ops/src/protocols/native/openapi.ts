import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { apiPrefix, ProblemSchema } from '@potoroo/contract';
import { isPublic } from '../authenticate.ts';

const version = '0.1.0';
const nameKey = 'x-schema-name';
type Node = Record<string, unknown>;

/** Serves the OpenAPI 3.1 document of the routes that are registered after this, and a page that renders it. */
export async function openapi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Potoroo', version, description: 'Takes a trained model and runs it. Authorize with an access token, which `potoroo token` prints and `/auth/realms/master/protocol/openid-connect/token` gives out.', license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      servers: [{ url: '/' }],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
      security: [{ token: [] }],
    },
    transform: ({ schema, url, route }) => {
      const hidden = !url.startsWith(apiPrefix) && url !== '/healthz' && url !== '/readyz';
      return { url, schema: { ...(named(schema) as typeof schema), ...(hidden && { hide: true }), ...(isPublic(String(route.method), url) && { security: [] }) } };
    },
    transformObject: (given) => finish(structuredClone('openapiObject' in given ? given.openapiObject : given.swaggerObject) as unknown as Node) as never,
  });
  await app.register(swaggerUi, { routePrefix: '/api/docs', uiConfig: { layout: 'BaseLayout', docExpansion: 'list', tryItOutEnabled: true, displayRequestDuration: true }, theme: { title: 'Potoroo API' }, staticCSP: true });
  app.get(`${apiPrefix}/openapi.json`, { schema: { hide: true } }, async () => app.swagger());
}

/** Schemas that have a name go to the components once; every operation can also answer a problem, or what it says itself. */
function finish(document: Node): Node {
  const schemas: Node = {};
  const lifted = lift({ ...document, problem: named(ProblemSchema) }, schemas) as Node & { paths: Record<string, Record<string, { responses: Node }>> };
  delete lifted['problem'];
  const problem = { description: 'What is wrong, in the form of RFC 9457.', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } };
  const components = lifted['components'] as Node;
  for (const operations of Object.values(lifted.paths)) {
    for (const operation of Object.values(operations)) operation.responses['default'] ??= problem;
  }
  return { ...lifted, components: { ...components, schemas } };
}

/** The plugin drops `$id` here and makes references of it there; under another key it leaves names alone. */
function named(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(named);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key === '$id' ? nameKey : key, named(item)]));
}

function lift(value: unknown, schemas: Node): unknown {
  if (Array.isArray(value)) return value.map((item) => lift(item, schemas));
  if (typeof value !== 'object' || value === null) return value;
  const { [nameKey]: name, ...rest } = value as Node;
  const lifted = Object.fromEntries(Object.entries(rest).map(([key, item]) => [key, lift(item, schemas)]));
  if (typeof name !== 'string') return lifted;
  schemas[name] = lifted;
  return { $ref: `#/components/schemas/${name}` };
}
