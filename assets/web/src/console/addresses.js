// Where encoders and viewers go. The key is asked for when somebody wants it, and shown only then.
import * as api from './api.js';
import { ask, attempt } from './dialogs.js';
import { button, copy, make, panel, show, write } from './dom.js';

export const MASK = '••••••••••••••••';

/** Where viewers go. */
export function viewersBase(context) {
  const { publicUrl, publicPort } = context.addresses();
  return publicUrl?.replace(/\/$/, '') ?? `${location.protocol}//${location.hostname}:${publicPort}`;
}

/** The server tells addresses by the host that was asked, which may be the operators' own. */
export function told(context, address) {
  return address.startsWith(`${location.origin}/`) ? `${viewersBase(context)}${address.slice(location.origin.length)}` : address;
}

/** An address with a button that copies it. `get` gives what is copied, which may take a while. */
export function copyRow(label, what, get) {
  const value = make('code');
  const element = make('div', { class: 'copy' }, make('span', { class: 'dim' }, label), value);
  const action = () => attempt(async () => copy(await get(), what));
  element.append(button('Copy', 'plain small', action, { 'aria-label': `Copy ${what}` }));
  return { element, value };
}

/** For encoders. */
export function publishing(context, get) {
  let key = null;
  let fingerprint;
  let isShown = false;
  const host = location.hostname;
  const rtmpUrl = ({ rtmpUrl: whole, rtmpPort }) => whole ?? (rtmpPort ? `rtmp://${host}:${rtmpPort}/ingest` : '');
  const rtmpsUrl = ({ rtmpsPort }) => (rtmpsPort ? `rtmps://${host}:${rtmpsPort}/ingest` : '');
  const srtUrl = (streamKey) => `srt://${host}:${context.addresses().srtPort}?mode=caller&streamid=${streamKey}`;
  const need = async () => {
    key ??= await api.key(get().channel.channelId);
    return key;
  };
  const server = copyRow('RTMP server', 'RTMP address', () => rtmpUrl(context.addresses()));
  const secure = copyRow('RTMP server, over TLS', 'RTMPS address', () => rtmpsUrl(context.addresses()));
  const secret = copyRow('Stream key', 'stream key', need);
  const srt = copyRow('SRT address, with the key', 'SRT address', async () => srtUrl(await need()));
  const reveal = button('Show', 'plain small', () => attempt(async () => {
    if (!isShown) await need();
    isShown = !isShown;
    update();
  }), { 'aria-pressed': 'false', 'aria-label': 'Show the stream key' });
  secret.element.insertBefore(reveal, secret.element.lastChild);
  const note = make('p', { class: 'dim' }, 'SRT wants the passphrase of this server too.');
  const { element, head } = panel('Publish', server.element, secure.element, secret.element, srt.element, note);
  const rotate = button('New key…', 'plain small', () => ask({
    title: 'Make a new stream key?',
    text: 'The old one is refused from then on. An encoder that is on air stays so until it connects again.',
    confirm: 'Make a new key',
    done: 'There is a new key',
    isDanger: true,
    async action() {
      await api.rotateKey(get().channel.channelId);
      await context.reload();
    },
  }));
  head.append(rotate);
  function update() {
    const { channel } = get();
    const at = context.addresses();
    // There is a new key: the one that was asked for is of no use.
    if (fingerprint !== channel.keyFingerprint) {
      key = null;
      isShown = false;
      fingerprint = channel.keyFingerprint;
    }
    const isManaged = context.isManaged() && !channel.isGuessed;
    for (const [row, url] of [[server, rtmpUrl(at)], [secure, rtmpsUrl(at)]]) {
      write(row.value, url);
      show(row.element, url !== '');
    }
    write(secret.value, isShown ? key : MASK);
    write(reveal, isShown ? 'Hide' : 'Show');
    reveal.setAttribute('aria-pressed', String(isShown));
    write(srt.value, srtUrl(isShown ? key : MASK));
    show(srt.element, Boolean(at.srtPort) && isManaged);
    show(note, Boolean(at.srtPort) && at.srtEncrypted);
    for (const part of [secret.element, rotate]) show(part, isManaged);
  }
  return { element, update };
}

/** For viewers and programs. These addresses lead to whatever the channel has on air, so they last. */
export function watching(context, get) {
  const base = () => viewersBase(context);
  const manifest = (name) => `${base()}/pcast/channel/${api.segment(get().channel.channelId)}/${name}`;
  // Several applications may have a channel of this alias.
  const name = ({ channelId, alias }) => (context.channels().some((other) => other.alias === alias && other.channelId !== channelId) ? channelId : alias);
  const either = (key, ofChannel) => () => {
    const { channel } = get();
    return channel.broadcast ? told(context, channel.broadcast[key]) : ofChannel(channel);
  };
  const page = either('watchUrl', (channel) => `${base()}/watch/${api.segment(name(channel))}`);
  const hls = either('hlsUrl', () => manifest('live.m3u8'));
  const dash = either('dashUrl', () => manifest('live.mpd'));
  const viewers = [
    [copyRow('Watch page', 'watch address', page), page],
    [copyRow('HLS', 'HLS address', hls), hls],
    [copyRow('DASH', 'DASH address', dash), dash],
  ];
  const id = copyRow('Channel id', 'channel id', () => get().channel.channelId);
  const note = make('p', { class: 'dim' });
  const { element } = panel('Watch', ...viewers.map(([row]) => row.element), id.element, note);
  return {
    element,
    /** `capabilities`: what it has, or `null` for the server's default. The page's address, if anybody may open it. */
    update(capabilities) {
      const isServed = capabilities?.includes('streaming') ?? true;
      const isProtected = capabilities?.includes('token-auth') ?? false;
      for (const [row, address] of viewers) {
        write(row.value, address());
        show(row.element, isServed);
      }
      write(id.value, get().channel.channelId);
      const protectedNote = isProtected ? 'Viewers need a token; “forebay token playback” makes one.' : '';
      write(note, isServed ? protectedNote : 'Not served to players: it lacks the capability “streaming”.');
      show(note, note.textContent !== '');
      return isServed && !isProtected ? page() : null;
    },
  };
}
