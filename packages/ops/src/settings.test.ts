import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { publicUrlOf, readSettings, settingsPage } from './settings.ts';

test('nothing set gives the defaults, and an empty variable counts as not set', () => {
  const settings = readSettings({ POTOROO_PORT: '', DATABASE_URL: '' });
  expect(settings).toMatchObject({ host: '127.0.0.1', port: 8080, adminEmail: 'admin@potoroo.local', logLevel: 'info' });
  expect(settings).not.toHaveProperty('databaseUrl');
  expect(settings.dataDir).toMatch(/^\/.*\/\.potoroo$/);
});

test('all wrong values are named at once, secrets without their value', () => {
  const wrong = { POTOROO_PORT: '80801', POTOROO_ADMIN_EMAIL: 'nobody', POTOROO_ADMIN_PASSWORD: 'hunter2', DATABASE_URL: 'mysql://me:secret@db/x', LOG_LEVEL: 'loud', POTOROO_MODEL_LOADS: '1.5' };
  let thrown: unknown;
  try { readSettings(wrong); } catch (error) { thrown = error; }
  expect(thrown).toMatchObject({ code: 'settings_invalid', fields: expect.arrayContaining(Object.keys(wrong).map((field) => expect.objectContaining({ field }))) });
  const { message } = thrown as Error;
  expect(message).toContain('"80801"');
  expect(message).toContain('0 to 65535');
  expect(message).toContain('trace, debug, info');
  expect(message).not.toMatch(/hunter2|secret/);
});

test.each([
  [{}, 'http://127.0.0.1:8080'],
  [{ POTOROO_HOST: '::1', POTOROO_PORT: '9' }, 'http://[::1]:9'],
  [{ POTOROO_PUBLIC_URL: 'https://ml.example.com/potoroo/' }, 'https://ml.example.com/potoroo'],
])('%j is reached at %s', (env, url) => {
  expect(publicUrlOf(readSettings(env))).toBe(url);
});

test('docs/settings.md says what the settings are', () => {
  expect(readFileSync(new URL('../../../docs/settings.md', import.meta.url), 'utf8')).toBe(settingsPage());
});
