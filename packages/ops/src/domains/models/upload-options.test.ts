import type { Field } from '@potoroo/contract';
import { describe, expect, test } from 'vitest';
import type { UploadInput } from '../domains.ts';
import type { FrameworkFacts } from '../environments/environments.service.ts';
import { readUploadOptions, type Here } from './upload-options.ts';

const facts: FrameworkFacts = { requirements: [], guideRequirements: ['scikit-learn==1.3.0'], archive: 'no', converts: true, runtime: 'flight', settings: false, pythons: [], needsInputSchema: false };
const here: Here = { facts, pythons: ['3.11', '3.9'] };
const upload = (more: Partial<Omit<UploadInput, 'content'>>): Omit<UploadInput, 'content'> => ({ workspaceId: 1, name: 'm', fileName: 'm.pkl', framework: 'sklearn', ...more });
const field = (more: Partial<Record<keyof Field, unknown>>): Field[] => [{ name: 'x', type: 'float32', shape: [], ...more } as Field];

describe('what an upload says of its model', () => {
  test('is kept as the Python client reads it back', () => {
    const schema = [...field({ shape: [-1, 4], nullable: true }), { name: 'tags', type: 'string' as const, shape: [-1], fields: [{ name: 'word', type: 'string' as const, shape: [] }] }];
    const options = { inputSchema: schema, outputSchema: field({ name: 'y' }), requirements: ['numpy==1.26.4', '# why', ''], pythonVersion: '3.11', versions: 'guide' as const, concurrency: 4, convert: false, arch: 'arm' as const, accel: 'jetson' as const };
    expect(readUploadOptions(upload({ ...options, conversion: { arch: 'arm', python_version: '3.8' } }), here)).toEqual({
      conversion: { arch: 'arm', python_version: '3.11', requirements: options.requirements, versions: 'guide', convert: false, concurrency: 4 },
      config: { inputSchema: schema, outputSchema: options.outputSchema },
    });
    expect(readUploadOptions(upload({ framework: 'custom', frameworkConfig: { model_path: 'x' } }), { ...here, facts: { ...facts, settings: true } }).conversion).toEqual({ framework_config: { framework: 'custom', config: { model_path: 'x' } } });
    expect(readUploadOptions(upload({ framework: 'onnx' }), { facts: undefined, pythons: [] })).toEqual({ conversion: {}, config: {} });
  });

  test.each<[string, Partial<Omit<UploadInput, 'content'>>, string, string]>([
    ['no fields', { inputSchema: [] }, 'inputSchema', 'at least'],
    ['something that is no list', { inputSchema: {} as Field[] }, 'inputSchema', 'list of fields'],
    ['a field that is none', { inputSchema: [5] as unknown as Field[] }, 'inputSchema[0]', '5'],
    ['no name', { outputSchema: field({ name: '' }) }, 'outputSchema[0].name', '""'],
    ['a name twice', { inputSchema: [...field({}), ...field({})] }, 'inputSchema[1].name', 'already'],
    ['a type there is none of', { inputSchema: field({ type: 'decimal' }) }, 'inputSchema[0].type', 'decimal'],
    ['no shape', { inputSchema: field({ shape: undefined }) }, 'inputSchema[0].shape', 'scalar'],
    ['a length of 0', { inputSchema: field({ shape: [3, 0] }) }, 'inputSchema[0].shape[1]', 'is 0'],
    ['half a length', { inputSchema: field({ shape: [1.5] }) }, 'inputSchema[0].shape[0]', '1.5'],
    ['lists too deep', { inputSchema: field({ shape: Array(17).fill(1) }) }, 'inputSchema[0].shape', '16'],
    ['nullable that is no flag', { inputSchema: field({ nullable: 'yes' }) }, 'inputSchema[0].nullable', 'yes'],
    ['a record with a wrong field', { inputSchema: field({ fields: [{ name: 'a', type: 'int', shape: [] }] }) }, 'inputSchema[0].fields[0].type', 'int'],
    ['an address as a requirement', { requirements: ['six', 'git+https://example.com/x'] }, 'requirements[1]', 'address'],
    ['an option as a requirement', { requirements: ['--index-url x'] }, 'requirements[0]', 'option'],
    ['more requirements than anybody needs', { requirements: Array(1001).fill('six') }, 'requirements', '1001'],
    ['a Python that is not here', { pythonVersion: '3.12' }, 'pythonVersion', 'has Python 3.11, 3.9'],
    ['a Python that nothing runs on', { pythonVersion: '2.7' }, 'pythonVersion', '3.12, 3.11, 3.10, 3.9'],
    ['settings for a framework that takes none', { frameworkConfig: {} }, 'frameworkConfig', 'takes none'],
    ['a concurrency of 0', { concurrency: 0 }, 'concurrency', '1 to 64'],
    ['a concurrency of 65', { concurrency: 65 }, 'concurrency', '65'],
    ['an accelerator of another processor', { accel: 'jetson' }, 'accel', 'arm'],
    ['an accelerator of another processor', { accel: 'openvino', arch: 'arm' }, 'accel', 'x86'],
  ])('is refused by field and value: %s', (_, more, path, said) => {
    expect(() => readUploadOptions(upload(more), here)).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(said), fields: [expect.objectContaining({ field: path })] }) as Error);
  });

  test.each(['requirements', 'pythonVersion', 'versions', 'frameworkConfig', 'concurrency', 'convert'] as const)('has no %s where models run in the engine', (name) => {
    const values = { requirements: [], pythonVersion: '3.11', versions: 'current' as const, frameworkConfig: {}, concurrency: 1, convert: true };
    expect(() => readUploadOptions(upload({ framework: 'onnx', [name]: values[name] }), { facts: undefined, pythons: ['3.11'] })).toThrow(expect.objectContaining({ code: 'invalid_request', fields: [expect.objectContaining({ field: name })] }) as Error);
  });

  test('says what its model takes where the framework needs that, and what it gives when it likes', () => {
    const needs = { ...here, facts: { ...facts, needsInputSchema: true } };
    expect(() => readUploadOptions(upload({ outputSchema: field({}) }), needs)).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringMatching(/^inputSchema is missing: a file of the framework sklearn/), fields: [expect.objectContaining({ field: 'inputSchema' })] }) as Error);
    expect(readUploadOptions(upload({ inputSchema: field({}) }), needs).config).toEqual({ inputSchema: field({}) });
  });

  test('names no Python that the packages of its framework do not install on', () => {
    expect(() => readUploadOptions(upload({ framework: 'mxnet', pythonVersion: '3.12' }), { facts: { ...facts, pythons: ['3.11'] }, pythons: ['3.12', '3.11'] })).toThrow('install on Python 3.11');
  });

  test('names no versions of the guide where the guide names none, and no conversion where there is none', () => {
    expect(() => readUploadOptions(upload({ versions: 'guide' }), { ...here, facts: { ...facts, guideRequirements: [] } })).toThrow('versions is "guide"');
    expect(() => readUploadOptions(upload({ convert: true }), { ...here, facts: { ...facts, converts: false } })).toThrow('convert is true');
  });
});
