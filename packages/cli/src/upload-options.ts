import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { PotorooError, type Field, type UploadOptions } from '@potoroo/sdk';
import { accelerators, architectures, type Accelerator, type Architecture } from '@potoroo/contract';
import { collect, wholeNumber } from './command.ts';

/** What can be said of a model that is uploaded, wherever it comes from. */
export interface GivenOptions {
  inputSchema?: string;
  outputSchema?: string;
  requirement?: readonly string[];
  requirements?: string;
  frameworkConfig?: string;
  python?: string;
  versions?: 'current' | 'guide';
  concurrency?: number;
  convert: boolean;
  arch?: Architecture;
  accel?: Accelerator;
  public?: boolean;
}

export function withUploadOptions(command: Command): Command {
  return command
    .option('--input-schema <file>', 'JSON list of the columns it takes, each with name, type and shape; or that list itself')
    .option('--output-schema <file>', 'the same for the columns it gives')
    .option('-r, --requirement <package>', 'package beside or in place of those of the framework, such as scikit-learn==1.3.0; may be repeated', collect)
    .option('--requirements <file>', 'requirements.txt with such packages')
    .option('--python <version>', 'Python to run it, such as 3.11')
    .addOption(new Option('--versions <which>', "the framework's pinned versions: current ones or those that the guide names").choices(['current', 'guide']))
    .option('--framework-config <file>', 'JSON object of settings for the framework; or that object itself')
    .option('--concurrency <n>', 'requests that each of its processes works on at once', wholeNumber(1))
    .option('--no-convert', 'do not try it as ONNX')
    .addOption(new Option('--arch <arch>', 'processor it is meant for').choices(architectures))
    .addOption(new Option('--accel <accel>', 'accelerator it is meant for').choices(accelerators))
    .option('--public', 'let every workspace use it');
}

export function uploadOptionsOf(given: GivenOptions): Partial<UploadOptions> {
  const { inputSchema, outputSchema, requirement = [], requirements, frameworkConfig, python, versions, concurrency, convert, arch, accel } = given;
  const packages = [...requirement, ...(requirements === undefined ? [] : readText(requirements, '--requirements').split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')))];
  return {
    ...(inputSchema !== undefined && { inputSchema: readJson(inputSchema, '--input-schema') as Field[] }),
    ...(outputSchema !== undefined && { outputSchema: readJson(outputSchema, '--output-schema') as Field[] }),
    ...(frameworkConfig !== undefined && { frameworkConfig: readJson(frameworkConfig, '--framework-config') as Record<string, unknown> }),
    ...(packages.length > 0 && { requirements: packages }), ...(python !== undefined && { pythonVersion: python }), ...(versions !== undefined && { versions }),
    ...(concurrency !== undefined && { concurrency }), ...(!convert && { convert }),
    ...(arch !== undefined && { arch }), ...(accel !== undefined && { accel }), ...(given.public === true && { visibility: 'public' as const }),
  };
}

function readText(file: string, option: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new PotorooError('invalid_request', `${option}: ${file} cannot be read; give the path of a file.`, { cause });
  }
}

/** JSON in a file, or as the argument itself. */
export function readJson(argument: string, option: string): unknown {
  const text = /^\s*[[{]/.test(argument) ? argument : readText(argument, option);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PotorooError('invalid_request', `${option}: this is not JSON: ${(cause as Error).message}.`, { cause });
  }
}
