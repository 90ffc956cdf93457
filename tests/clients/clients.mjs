// Rocket.Chat's own client and validators against a running server: node clients.mjs ADDRESS USER PASSWORD ENDPOINTS
//
// ENDPOINTS is a file: [{"method": "GET", "path": "/api/v1/me", "name": "me", "auth": true, "body": null}, ...]
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { register } from 'node:module';

register('./resolve.mjs', import.meta.url);
const { default: clientModule } = await import('@rocket.chat/api-client');
const typings = await import('@rocket.chat/rest-typings');

const [address, user, password, table] = process.argv.slice(2);
const endpoints = JSON.parse(readFileSync(table, 'utf8'));
const client = new clientModule.RestClient({ baseUrl: address });
const { data } = await client.post('/v1/login', { user, password });
client.setCredentials({ 'X-User-Id': data.userId, 'X-Auth-Token': data.authToken });

// Every endpoint answers the client: with what it is for, or with a refusal that the client understands.
async function outcome(call) {
  try {
    return { status: 200, body: await call() };
  } catch (response) {
    if (!(response instanceof Response)) throw response;
    return { status: response.status, body: await response.json() };
  }
}

const last = (endpoint) => (endpoint.name === 'logout' ? 1 : 0);
const called = endpoints
  .filter(({ path, name }) => path.startsWith('/api/v1/') && name !== 'login')
  .sort((one, other) => last(one) - last(other));
for (const { method, path, body } of called) {
  const where = path.replace('/api', '');
  const answer = await outcome(() => (method === 'GET' ? client.get(where) : client.post(where, body ?? {})));
  assert.ok([200, 400, 401, 415].includes(answer.status), `${method} ${path}: ${answer.status}`);
  if (answer.status !== 200) assert.equal(answer.body.success, false);
}

// The validators that Rocket.Chat's server uses say of every body what this server says.
const again = await client.post('/v1/login', { user, password });
client.setCredentials({ 'X-User-Id': again.data.userId, 'X-Auth-Token': again.data.authToken });
const UPLOAD = { binaryContent: '', contentType: 'a', fileName: 'b', importerKey: 'none' };
const PERSON = { emails: ['a@example.org'], importIds: ['u1'] };
const odd = [[], [{}], 'x', 5, true, {}, { extra: 1 }];
const validated = {
  uploadImportFile: [typings.isUploadImportFileParamsPOST, UPLOAD, [
    { ...UPLOAD, extra: 1 }, { ...UPLOAD, binaryContent: {} }, { ...UPLOAD, fileName: [] },
    { ...UPLOAD, contentType: null, fileName: true }, { binaryContent: '' },
    { binaryContent: '', contentType: '' }, { binaryContent: '', contentType: '', fileName: '' },
  ]],
  downloadPublicImportFile: [typings.isDownloadPublicImportFileParamsPOST, { fileUrl: '/x', importerKey: 'none' }, [
    { fileUrl: 'x' }, { importerKey: 'x' }, { fileUrl: {}, importerKey: 'x' }, { fileUrl: 'x', importerKey: 1, a: 1 },
  ]],
  startImport: [typings.isStartImportParamsPOST, { input: {} }, [
    { input: null }, { input: [] }, { input: 'x' }, { input: { users: null } },
    { input: { users: { all: 'true' } } }, { input: { users: { all: 1 } } }, { input: { users: { all: 'yes' } } },
    { input: { users: { list: 'a' } } }, { input: { users: { list: [1, null] } } }, { input: { users: { x: 1 } } },
    { input: {}, extra: 1 }, { input: { channels: { list: [{}] } } },
  ]],
  'import.addUsers': [typings.isImportAddUsersParamsPOST, { users: [PERSON] }, [
    { users: {} }, { users: [{}] }, { users: [{ emails: [] }] }, { users: [{ ...PERSON, emails: 'a' }] },
    { users: [{ ...PERSON, deleted: 'x' }] }, { users: [{ ...PERSON, utcOffset: 'x' }] }, { users: [] },
    { users: [{ ...PERSON, deleted: 'true', utcOffset: '5', name: 7, roles: null }] }, { users: [{ ...PERSON, a: 1 }] },
    { users: [{ ...PERSON, roles: 'admin' }] }, { users: [PERSON, 5] }, { users: [], extra: 1 },
  ]],
};
let compared = 0;
for (const [name, [validate, good, others]] of Object.entries(validated)) {
  assert.ok(validate(structuredClone(good)), `${name}: a good body is refused: ${JSON.stringify(validate.errors)}`);
  for (const body of [good, ...others, ...odd]) {
    const fits = validate(structuredClone(body));
    const expected = fits ? '' : validate.errors[0].message;
    const answer = await outcome(() => client.post(`/v1/${name}`, body));
    const said = answer.body.errorType === 'invalid-params' ? answer.body.error : '';
    assert.equal(said, expected, `${name} ${JSON.stringify(body)}`);
    compared += 1;
  }
}
const examples = Object.fromEntries(endpoints.map(({ name, body }) => [name, body]));
for (const [name, [validate]] of Object.entries(validated)) {
  assert.ok(validate(structuredClone(examples[name])), `${name}: the documented example does not fit`);
}
console.log(`${called.length} endpoints, ${compared} bodies`);
