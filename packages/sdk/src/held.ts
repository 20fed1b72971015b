/** The answer with a body that ends when the signal aborts: fetch loses what ties the two to the garbage collector, and who reads would wait for ever. */
export function heldTo(signal: AbortSignal | undefined, response: Response): Response {
  if (signal === undefined || response.body === null) return response;
  return new Response(response.body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>(), { signal }), response);
}
