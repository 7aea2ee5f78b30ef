//! Nested boxes into a growing buffer.

use bytes::BufMut;

/// Writes a box (ISO/IEC 14496-12 §4.2): size, type, and what `body` writes.
pub(super) fn boxed(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(kind);
    body(out);
    let size = u32::try_from(out.len() - start)
        .expect("an initialisation is below 1 MiB, a list of samples below 4 GiB");
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Writes a full box (ISO/IEC 14496-12 §4.2.2): a box with version and flags.
pub(super) fn full(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    boxed(out, kind, |out| {
        out.put_u32((u32::from(version) << 24) | flags);
        body(out);
    });
}

/// Writes bytes that are zero: reserved fields and unknown times.
pub(super) fn zeros(out: &mut Vec<u8>, count: usize) {
    out.put_bytes(0, count);
}

/// Writes the unity matrix of `mvhd` and `tkhd` (ISO/IEC 14496-12 §6.2.2).
pub(super) fn unity_matrix(out: &mut Vec<u8>) {
    for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
        out.put_u32(value);
    }
}

/// The boxes of some bytes (§4.2): type, place and size of each; `None` when they are not whole.
pub(super) fn boxes(bytes: &[u8]) -> Option<Vec<([u8; 4], usize, usize)>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let head = bytes.get(at..at + 8)?;
        let size = u32::from_be_bytes(head[..4].try_into().ok()?);
        let size = usize::try_from(size).ok().filter(|size| *size >= 8)?;
        let kind = head[4..8].try_into().ok()?;
        bytes.get(at..at.checked_add(size)?)?;
        found.push((kind, at, size));
        at += size;
    }
    Some(found)
}
