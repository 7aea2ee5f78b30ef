// A file for an event by tus-js-client, which knows nothing of Forebay: it breaks off in the middle, goes on, and
// gives up another upload. Prints what it saw as a line of JSON.
//
//   node upload.mjs --endpoint URL --authorization 'Bearer ...' --file FILE
import { createReadStream, statSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

import * as tus from 'tus-js-client';

const { values } = parseArgs({
  options: {
    endpoint: { type: 'string' },
    authorization: { type: 'string' },
    file: { type: 'string' },
  },
});
const headers = { Authorization: values.authorization };
const size = statSync(values.file).size;
const metadata = { filename: basename(values.file), filetype: 'video/mp4' };

/** Sends a file from where it is; stops at a number of bytes. Gives the address and where it began. */
function send(source, uploadSize, uploadUrl, stopAt) {
  return new Promise((resolve, reject) => {
    let began = null;
    const upload = new tus.Upload(source, {
      endpoint: values.endpoint,
      uploadUrl,
      uploadSize,
      metadata,
      headers,
      chunkSize: 1 << 20,
      retryDelays: null,
      onError: reject,
      onSuccess: () => resolve({ url: upload.url, began }),
      onProgress: (bytes) => {
        began ??= bytes;
      },
      onChunkComplete: (_, bytes) => {
        if (stopAt !== undefined && bytes >= stopAt) {
          upload.abort().then(() => resolve({ url: upload.url, began }), reject);
        }
      },
    });
    upload.start();
  });
}

const open = () => createReadStream(values.file);
// Given up: it is not there afterwards.
const given = await send(open(), size, undefined, 1 << 20);
await tus.Upload.terminate(given.url, { headers });
const head = await fetch(given.url, {
  method: 'HEAD',
  headers: { ...headers, 'Tus-Resumable': '1.0.0' },
});
// What cannot be shown is refused with its last piece.
const refused = await send(Buffer.from('a text and no film'), null, undefined).then(
  () => 200,
  (error) => error.originalResponse?.getStatus() ?? String(error),
);
// Broken off, and gone on with.
const first = await send(open(), size, undefined, 4 << 20);
const second = await send(open(), size, first.url);
console.log(JSON.stringify({ terminated: head.status, refused, resumedAt: second.began }));
