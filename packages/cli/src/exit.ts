import { errorCodes, type ErrorCode, type PotorooError } from '@potoroo/contract';

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
  1  the server or a deployment failed, or what there is stands in the way
  2  the command line, or what was given with it, is not right
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

/** By its status an error tells whose turn it is; these are not told by it. */
const byCode: Partial<Record<ErrorCode, number>> = {
  settings_invalid: exitCodes.usage, unreachable: exitCodes.unreachable, deadline_exceeded: exitCodes.timedOut, engine_start_timeout: exitCodes.timedOut,
};
/** Others from 400 on are of what was given; 409 and 429 are of what there is, as is everything from 500 on. */
const byStatus: Readonly<Record<number, number>> = { 401: exitCodes.signedOut, 403: exitCodes.signedOut, 404: exitCodes.notFound, 409: exitCodes.failed, 429: exitCodes.failed };

const nextSteps: Partial<Record<ErrorCode, string>> = {
  unauthenticated: 'Log in with: potoroo login',
  invalid_credentials: 'Check the user name and the password. The first administrator\'s are in admin.json in the data folder of the server.',
  forbidden: 'Ask an owner of the workspace or an administrator.',
  workspace_not_found: 'See what there is with: potoroo workspace list',
  model_not_found: 'See what there is with: potoroo model list',
  pipeline_not_found: 'See what there is with: potoroo pipeline list',
  deployment_not_found: 'Deploy it with: potoroo pipeline deploy <name>',
  user_not_found: 'See who there is with: potoroo user list',
  token_not_found: 'See what there is with: potoroo token list',
  tag_not_found: 'See what there is with: potoroo tag list',
  connection_not_found: 'See what there is with: potoroo connection list',
  registry_not_found: 'See what there is with: potoroo registry list',
  artifact_not_found: 'See what the registry has with: potoroo registry models <registry>',
  not_deployed: 'Deploy it with: potoroo pipeline deploy <name>',
  route_not_found: 'Is the address that of a Potoroo server of this version?',
  schema_mismatch: 'See the columns that the model takes with: potoroo model show <name>',
  unreachable: 'Start one with: npm start (or potoroo up), or name another with --url or POTOROO_URL.',
  deadline_exceeded: 'Give it longer with --timeout, or look at it with: potoroo pipeline status <name>',
};

export function adviceFor({ code }: PotorooError): Advice {
  const { status } = errorCodes[code];
  const exit = byCode[code] ?? byStatus[status] ?? (status < 500 ? exitCodes.usage : exitCodes.failed);
  const next = nextSteps[code];
  return { exit, ...(next !== undefined && { next }) };
}
