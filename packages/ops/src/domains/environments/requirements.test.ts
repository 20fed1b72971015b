import { describe, expect, it } from 'vitest';
import { mergeRequirements, parseRequirement } from './requirements.ts';

describe('a line of a requirements file', () => {
  it.each([
    ['tensorflow==2.8.0', 'tensorflow'],
    ['Scikit_Learn == 1.2.2', 'scikit-learn'],
    ['pillow>=10.0.0,<12', 'pillow'],
    ['uvicorn[standard] ~= 0.30  # server', 'uvicorn'],
    ['numpy<2; python_version < "3.12"', 'numpy'],
    ['torch==2.1.0+cpu', 'torch'],
    ['six==1.16.0 --hash=sha256:abc', 'six'],
    ['zope.interface (>=5.0)', 'zope-interface'],
  ])('%s is read', (text, name) => expect(parseRequirement(text)?.name).toBe(name));

  it.each(['', '   ', '# a comment'])('%j is nothing', (text) => expect(parseRequirement(text)).toBeUndefined());

  it.each([
    '-r /etc/passwd', '--extra-index-url https://evil.example/simple', '-e .', '--find-links=/', './wheel.whl', '/abs/wheel.whl', '..\\wheel.whl',
    'git+https://example.com/x.git', 'pip @ https://example.com/pip.whl', 'https://example.com/x.whl', 'file:///etc/passwd', 'a b c', 'name==', '==1.0', 'x; rm -rf /\n-r y', 'name=1',
  ])('%j is refused with its text', (text) => {
    expect(() => { if (parseRequirement(text) !== undefined) throw new Error('was read'); }).toThrow(expect.objectContaining({ code: 'environment_failed', message: expect.stringContaining('requirement') as string }) as Error);
  });
});

describe('what is installed', () => {
  it('takes the version that the model names instead of the pinned one, also under the package of the other name', () => {
    expect(mergeRequirements(['numpy==2.0.0', 'xgboost-cpu==3.2.0'], ['NumPy==1.26.4', 'xgboost==1.7.4'])).toEqual(['NumPy==1.26.4', 'xgboost==1.7.4']);
  });
  it('does not depend on the order, so that equal environments have equal hashes', () => {
    expect(mergeRequirements(['a==1', 'b==2'], ['c==3'])).toEqual(mergeRequirements(['b==2', 'a==1'], ['c==3', '# note']));
  });
});
