//! H.264 and Opus as Matroska without an end: what ffmpeg reads from a pipe with its times. Each block stands in
//! a cluster of its own. RFC 9559 (elements), RFC 8794 (their form).

/// One element: its id as it stands in the file, and its content.
fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let begin = id.iter().position(|byte| *byte != 0).unwrap_or(3);
    let mut bytes = id[begin..].to_vec();
    // RFC 8794 §4: a size of eight bytes, whose first bit but seven zeros says so.
    bytes.extend_from_slice(&(content.len() as u64 | 1 << 56).to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

fn number(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// Units of an access unit in Annex B with start codes of four bytes.
fn nals(annex_b: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(found) = annex_b[at..]
        .windows(4)
        .position(|four| four == [0, 0, 0, 1])
    {
        starts.push(at + found + 4);
        at += found + 4;
    }
    let ends = starts
        .iter()
        .skip(1)
        .map(|start| start - 4)
        .chain([annex_b.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &annex_b[*start..end])
        .collect()
}

/// The decoder's configuration (ISO/IEC 14496-15 §5.3.3.1), if the unit brings its parameter sets.
pub fn avc_configuration(annex_b: &[u8]) -> Option<Vec<u8>> {
    let nals = nals(annex_b);
    let of = |kind: u8| {
        nals.iter()
            .find(|nal| nal.first().is_some_and(|byte| byte & 0x1f == kind))
    };
    let (sps, pps) = (of(7)?, of(8)?);
    let mut bytes = vec![1, *sps.get(1)?, *sps.get(2)?, *sps.get(3)?, 0xff, 0xe1];
    bytes.extend_from_slice(&u16::try_from(sps.len()).ok()?.to_be_bytes());
    bytes.extend_from_slice(sps);
    bytes.push(1);
    bytes.extend_from_slice(&u16::try_from(pps.len()).ok()?.to_be_bytes());
    bytes.extend_from_slice(pps);
    Some(bytes)
}

/// The beginning of a file: track 1 is the picture, track 2 the sound if there is any.
pub fn header(configuration: &[u8], size: (u32, u32), has_sound: bool) -> Vec<u8> {
    let ebml = element(
        0x1a45_dfa3,
        &join(&[
            number(0x4286, 1),
            number(0x42f7, 1),
            number(0x42f2, 4),
            number(0x42f3, 8),
            element(0x4282, b"matroska"),
            number(0x4287, 4),
            number(0x4285, 2),
        ]),
    );
    let info = element(
        0x1549_a966,
        &join(&[
            number(0x2a_d7b1, 1_000_000),
            element(0x4d80, b"tests"),
            element(0x5741, b"tests"),
        ]),
    );
    let track = |which: u64, codec: &[u8], private: &[u8], more: Vec<u8>| {
        element(
            0xae,
            &join(&[
                number(0xd7, which),
                number(0x73c5, which),
                number(0x83, which),
                number(0x9c, 0),
                element(0x86, codec),
                element(0x63a2, private),
                more,
            ]),
        )
    };
    let (width, height) = (number(0xb0, size.0.into()), number(0xba, size.1.into()));
    let picture = element(0xe0, &join(&[width, height]));
    let mut tracks = track(1, b"V_MPEG4/ISO/AVC", configuration, picture);
    if has_sound {
        // RFC 7845 §5.1: version, channels, pre-skip, rate, gain, mapping.
        let head = [
            &b"OpusHead\x01\x02\0\0"[..],
            &48_000u32.to_le_bytes(),
            &[0, 0, 0],
        ]
        .concat();
        let rate = element(0xb5, &48_000f64.to_be_bytes());
        let sound = element(0xe1, &join(&[rate, number(0x9f, 2)]));
        tracks.extend(track(2, b"A_OPUS", &head, sound));
    }
    // A segment of unknown size.
    let segment = vec![
        0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255,
    ];
    join(&[ebml, segment, info, element(0x1654_ae6b, &tracks)])
}

fn cluster(track: u8, at_ms: u64, key: bool, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0x80 | track, 0, 0, if key { 0x80 } else { 0 }];
    block.extend_from_slice(content);
    element(
        0x1f43_b675,
        &join(&[number(0xe7, at_ms), element(0xa3, &block)]),
    )
}

/// A picture.
pub fn picture(at_ms: u64, key: bool, annex_b: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for nal in nals(annex_b) {
        content.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        content.extend_from_slice(nal);
    }
    cluster(1, at_ms, key, &content)
}

/// A packet of sound.
pub fn sound(at_ms: u64, opus: &[u8]) -> Vec<u8> {
    cluster(2, at_ms, true, opus)
}
