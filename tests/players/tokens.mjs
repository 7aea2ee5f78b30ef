// The independent issuer of tokens: phenix-edge-auth, as token services use it. One JSON object on standard
// input, one on standard output.
//   {"make": {"applicationId", "secret", "expires", …}}  ->  {"token"}
//   {"verify": {"secret", "token"}}                      ->  what the package says of it

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const TokenBuilder = require('phenix-edge-auth');
const DigestTokens = require('phenix-edge-auth/src/DigestTokens');

/** The package's verb for each claim. */
const VERBS = {
  applicationId: 'withApplicationId',
  secret: 'withSecret',
  channelId: 'forChannel',
  channelAlias: 'forChannelAlias',
  roomId: 'forRoom',
  roomAlias: 'forRoomAlias',
  tag: 'forTag',
  originStreamId: 'forOriginStream',
  sessionId: 'forSession',
  remoteAddress: 'forRemoteAddress',
};

function make({ expires, type, capabilities = [], applyTags = [], ...rest }) {
  const builder = new TokenBuilder().expiresAt(new Date(expires));
  for (const [name, value] of Object.entries(rest)) {
    builder[VERBS[name]](value);
  }
  if (type === 'stream') builder.forStreamingOnly();
  if (type === 'publish') builder.forPublishingOnly();
  if (type === 'auth') builder.forAuthenticateOnly();
  capabilities.forEach((word) => builder.withCapability(word));
  applyTags.forEach((tag) => builder.applyTag(tag));
  return { token: builder.build() };
}

function verify({ secret, token }) {
  return new DigestTokens().verifyAndDecode(secret, token);
}

let text = '';
for await (const chunk of process.stdin) text += chunk;
const asked = JSON.parse(text);
const answer = asked.make ? make(asked.make) : verify(asked.verify);
process.stdout.write(JSON.stringify(answer));
