/** Upper bounds of a histogram's buckets and how many observations fell under each. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] as number)) i++;
    this.#counts[i] = (this.#counts[i] as number) + 1;
    this.#sum += value;
  }

  text(name: string, help: string, labels: string): string {
    let total = 0;
    let lines = `# HELP ${name} ${help}\n# TYPE ${name} histogram\n`;
    this.#counts.forEach((count, i) => {
      total += count;
      lines += `${name}_bucket{${labels},le="${this.#bounds[i] ?? '+Inf'}"} ${total}\n`;
    });
    return `${lines}${name}_sum{${labels}} ${this.#sum}\n${name}_count{${labels}} ${total}\n`;
  }
}

/** What an engine counts. Rows and requests are counted apart: a dashboard of one says little about the other. */
export class Metrics {
  readonly latencyNs = new Histogram([1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8, 2e8, 5e8, 1e9, 2e9, 5e9, 1e10, 3e10]);
  readonly runRows = new Histogram([1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096]);
  readonly runRequests = new Histogram([1, 2, 4, 8, 16, 32, 64, 128, 256]);
  rows = 0;
  inFlight = 0;
  readonly errors = new Map<string, number>();

  failed(code: string): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }
}

function escape(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
}

export interface Gauges {
  queueRows: number;
  queueBytes: number;
  connections: number;
  loopUtilisation: number;
  spool: Readonly<Record<string, number>>;
  /** Rows of challengers by what became of them. */
  shadows?: ReadonlyMap<string, Readonly<Record<string, number>>> | undefined;
}

/**
 * The Prometheus text. `latency_histogram_ns` and `tensor_throughput_batch_count` (rows) with the labels `pipeline_name` and
 * `deploy_id` are the names that existing dashboards query; the rest is ours.
 */
export function prometheus(metrics: Metrics, pipeline: { name: string; deploymentId: number }, gauges: Gauges): string {
  const labels = `pipeline_name="${escape(pipeline.name)}",deploy_id="${pipeline.deploymentId}"`;
  const one = (name: string, type: 'counter' | 'gauge', help: string, value: number): string => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}{${labels}} ${value}\n`;
  const cpu = process.cpuUsage();
  let text = metrics.latencyNs.text('latency_histogram_ns', 'Time from a request to its answer, in nanoseconds.', labels);
  text += one('tensor_throughput_batch_count', 'counter', 'Rows inferred.', metrics.rows);
  text += metrics.runRows.text('potoroo_run_rows', 'Rows of one run of the pipeline.', labels);
  text += metrics.runRequests.text('potoroo_run_requests', 'Requests merged into one run.', labels);
  text += '# HELP potoroo_errors_total Requests answered with an error, by code.\n# TYPE potoroo_errors_total counter\n';
  for (const [code, count] of metrics.errors) text += `potoroo_errors_total{${labels},code="${escape(code)}"} ${count}\n`;
  text += one('potoroo_in_flight', 'gauge', 'Inference requests being worked on.', metrics.inFlight);
  text += one('potoroo_queue_rows', 'gauge', 'Rows waiting for a run.', gauges.queueRows);
  text += one('potoroo_queue_bytes', 'gauge', 'Bytes of requests waiting for a run.', gauges.queueBytes);
  text += one('potoroo_connections', 'gauge', 'Open connections.', gauges.connections);
  text += one('potoroo_event_loop_utilisation', 'gauge', 'Share of the time since the last scrape that the event loop was busy.', gauges.loopUtilisation);
  text += one('potoroo_resident_bytes', 'gauge', 'Resident memory of the process.', process.memoryUsage.rss());
  text += one('potoroo_cpu_seconds_total', 'counter', 'Processor time used.', (cpu.user + cpu.system) / 1e6);
  if (gauges.shadows !== undefined) {
    text += '# HELP potoroo_shadow_rows_total Rows for challengers, by challenger and by what became of them.\n# TYPE potoroo_shadow_rows_total counter\n';
    for (const [challenger, counts] of gauges.shadows) for (const [outcome, rows] of Object.entries(counts)) text += `potoroo_shadow_rows_total{${labels},challenger="${escape(challenger)}",outcome="${outcome}"} ${rows}\n`;
  }
  for (const [key, value] of Object.entries(gauges.spool)) {
    text += one(`potoroo_spool_${key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)}`, 'gauge', 'State of the inference log kept on disk.', value);
  }
  return text;
}
