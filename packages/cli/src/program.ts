import { Argument, Command } from 'commander';
import { action, example, type ContextOf } from './command.ts';
import { addAudit } from './commands/audit.ts';
import { addConnection } from './commands/connection.ts';
import { addDeployment } from './commands/deployment.ts';
import { addEngine } from './commands/engine.ts';
import { addKey } from './commands/key.ts';
import { addLogin } from './commands/login.ts';
import { addModel } from './commands/model.ts';
import { addPipeline } from './commands/pipeline.ts';
import { addRegistry } from './commands/registry.ts';
import { addTag } from './commands/tag.ts';
import { addToken } from './commands/token.ts';
import { addUp } from './commands/up.ts';
import { addUser } from './commands/user.ts';
import { addWorkspace } from './commands/workspace.ts';
import { candidates, completionScript, shells, type Shell } from './completion.ts';
import { defaultUrl } from './context.ts';
import { exitCodesText } from './exit.ts';

/** `json`: what is wrong with the command line is told by who called, not by commander. */
export function makeProgram(contextOf: ContextOf, json = false): Command {
  const program = new Command('potoroo')
    .description('Runs trained models in production: upload, pipeline, deploy, infer, watch.')
    .version('0.1.0')
    .option('--url <address>', `address of the server (POTOROO_URL); else that of the last log-in, else ${defaultUrl}`)
    .option('-w, --workspace <name>', 'workspace to work in (POTOROO_WORKSPACE); else the one chosen with `workspace use`')
    .option('--json', 'print results and errors as JSON')
    .addHelpText('after', `\nPOTOROO_TOKEN holds an access token to use instead of a log-in.\n\n${exitCodesText}`)
    .showHelpAfterError('(see --help)')
    .configureHelp({
      showGlobalOptions: true, minWidthToWrap: 30,
      // `[options]` behind nearly every name tells nothing and leaves no room for what does.
      subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map((a) => (a.required ? `<${a.name()}>` : `[${a.name()}]`))].join(' '),
    })
    .configureOutput(json ? { outputError: () => undefined, writeErr: () => undefined } : {})
    .exitOverride();
  addUp(program, contextOf);
  addLogin(program, contextOf);
  addWorkspace(program, contextOf);
  addModel(program, contextOf);
  addPipeline(program, contextOf);
  addDeployment(program, contextOf);
  addTag(program, contextOf);
  addConnection(program, contextOf);
  addRegistry(program, contextOf);
  addUser(program, contextOf);
  addToken(program, contextOf);
  addKey(program, contextOf);
  addAudit(program, contextOf);
  addEngine(program, contextOf);

  example(program.command('completion').description('print the completion script of a shell')
    .addArgument(new Argument('<shell>').choices(shells))
    .action(action(contextOf, async (context, shell: Shell) => { context.output.out(completionScript(shell)); })), 'source <(potoroo completion bash)');

  program.command('__complete', { hidden: true }).argument('[words...]').allowUnknownOption()
    .action(action(contextOf, async (context, words: string[]) => {
      const found = candidates(program, words);
      if (found.length > 0) context.output.out(found.join('\n'));
    }));
  example(program, 'potoroo up --example', 'potoroo login --admin-file .potoroo/admin.json', 'potoroo model upload breast-cancer examples/breast-cancer/model.onnx', 'potoroo pipeline deploy breast-cancer --model breast-cancer', 'potoroo pipeline infer breast-cancer examples/breast-cancer/rows.json');
  inherit(program);
  return program;
}

/** `--json` and the other common options may stand behind a subcommand too, and its errors are thrown, not exits. */
function inherit(program: Command): void {
  for (const command of program.commands) {
    command.copyInheritedSettings(program);
    inherit(command);
  }
}
