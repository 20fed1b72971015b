import type { ErrorCode, PotorooError } from '@potoroo/contract';

/** Exit codes of the `potoroo` command, shown by `potoroo --help`. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  signedOut: 3,
  notFound: 4,
  unreachable: 5,
  timedOut: 6,
  interrupted: 130,
} as const;

export const exitCodesText = `Exit codes:
  0  done
  1  the server or a deployment reports a failure
  2  the command line or its input is not right
  3  not logged in, wrong credentials, or not allowed
  4  what was named does not exist
  5  no server answers
  6  it took longer than the time limit
  130  interrupted with Ctrl-C`;

interface Advice {
  readonly exit: number;
  /** What to do next. */
  readonly next?: string;
}

const login = 'Log in with: potoroo login';
const byCode: Partial<Record<ErrorCode, Advice>> = {
  unauthenticated: { exit: exitCodes.signedOut, next: login },
  invalid_credentials: { exit: exitCodes.signedOut, next: 'Check the user name and the password. The first administrator\'s are in admin.json in the data folder of the server.' },
  forbidden: { exit: exitCodes.signedOut, next: 'Ask an owner of the workspace or an administrator.' },
  workspace_not_found: { exit: exitCodes.notFound, next: 'See what there is with: potoroo workspace list' },
  model_not_found: { exit: exitCodes.notFound, next: 'See what there is with: potoroo model list' },
  pipeline_not_found: { exit: exitCodes.notFound, next: 'See what there is with: potoroo pipeline list' },
  deployment_not_found: { exit: exitCodes.notFound, next: 'Deploy it with: potoroo pipeline deploy <name>' },
  user_not_found: { exit: exitCodes.notFound, next: 'See who there is with: potoroo user list' },
  token_not_found: { exit: exitCodes.notFound, next: 'See what there is with: potoroo token list' },
  tag_not_found: { exit: exitCodes.notFound, next: 'See what there is with: potoroo tag list' },
  connection_not_found: { exit: exitCodes.notFound, next: 'See what there is with: potoroo connection list' },
  registry_not_found: { exit: exitCodes.notFound, next: 'See what there is with: potoroo registry list' },
  artifact_not_found: { exit: exitCodes.notFound, next: 'See what the registry has with: potoroo registry models <registry>' },
  not_deployed: { exit: exitCodes.notFound, next: 'Deploy it with: potoroo pipeline deploy <name>' },
  route_not_found: { exit: exitCodes.notFound, next: 'Is the address that of a Potoroo server of this version?' },
  invalid_request: { exit: exitCodes.usage },
  invalid_name: { exit: exitCodes.usage },
  invalid_cursor: { exit: exitCodes.usage },
  malformed_body: { exit: exitCodes.usage },
  empty_batch: { exit: exitCodes.usage },
  schema_mismatch: { exit: exitCodes.usage, next: 'See the columns that the model takes with: potoroo model show <name>' },
  value_out_of_range: { exit: exitCodes.usage },
  null_not_allowed: { exit: exitCodes.usage },
  settings_invalid: { exit: exitCodes.usage },
  framework_unsupported: { exit: exitCodes.usage },
  unreachable: { exit: exitCodes.unreachable, next: 'Start one with: npm start (or potoroo up), or name another with --url or POTOROO_URL.' },
  deadline_exceeded: { exit: exitCodes.timedOut, next: 'Give it longer with --timeout, or look at it with: potoroo pipeline status <name>' },
  engine_start_timeout: { exit: exitCodes.timedOut },
};

export function adviceFor(error: PotorooError): Advice {
  const advice = byCode[error.code];
  if (advice !== undefined) return advice;
  return { exit: exitCodes.failed };
}
