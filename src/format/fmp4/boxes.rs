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
