// What the browser keeps for us. Storage may be switched off: then nothing is kept, and nothing breaks.

export function remember(key, value) {
  try {
    localStorage.setItem(`forebay.${key}`, value);
  } catch { /* see above */ }
}

export function recall(key) {
  try {
    return localStorage.getItem(`forebay.${key}`);
  } catch {
    return null;
  }
}

/** One id per tab, so that a reload is not another viewer. randomUUID needs HTTPS, which a LAN often lacks. */
export function sessionId() {
  try {
    const kept = sessionStorage.getItem('forebay.sid');
    if (kept) return kept;
  } catch { /* see above */ }
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  try {
    sessionStorage.setItem('forebay.sid', id);
  } catch { /* see above */ }
  return id;
}
