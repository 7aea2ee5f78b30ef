use super::*;

/// Feeds bytes in pieces and collects the messages.
fn read(bytes: &[u8], piece: usize, max: usize) -> Result<Vec<Message>, Error> {
    let mut chunks = Dechunker::new(max);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Some(message) = chunks.next(&mut buffer)? {
            messages.push(message);
        }
    }
    Ok(messages)
}

/// The same, in pieces of every kind: they must not matter.
fn read_all(bytes: &[u8]) -> Result<Vec<Message>, Error> {
    let whole = read(bytes, bytes.len().max(1), MAX_MESSAGE_BYTES);
    for piece in [1, 2, 3, 7, 100, 1000] {
        assert_eq!(
            read(bytes, piece, MAX_MESSAGE_BYTES),
            whole,
            "in pieces of {piece}"
        );
    }
    whole
}

fn header(format: u8, csid: u8, time: u32, length: usize, type_id: u8) -> Vec<u8> {
    let mut out = vec![format << 6 | csid];
    if format < 3 {
        out.extend(&time.min(EXTENDED).to_be_bytes()[1..]);
    }
    if format < 2 {
        out.extend(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
        out.push(type_id);
    }
    if format < 1 {
        out.extend([1, 0, 0, 0]);
    }
    if format < 3 && time >= EXTENDED {
        out.extend(time.to_be_bytes());
    }
    out
}

fn times(bytes: &[u8]) -> Vec<u32> {
    let messages = read_all(bytes).unwrap();
    messages
        .iter()
        .map(|message| message.timestamp_ms)
        .collect()
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    [header(0, 2, 0, 4, 1), size.to_be_bytes().to_vec()].concat()
}

#[test]
fn each_header_type_takes_from_the_last_one_what_it_leaves_out() {
    let bytes = [
        header(0, 4, 1000, 2, 9),
        vec![1, 2],
        header(1, 4, 40, 1, 8),
        vec![3],
        header(2, 4, 20, 0, 0),
        vec![4],
        header(3, 4, 0, 0, 0),
        vec![5],
    ];
    let messages = read_all(&bytes.concat()).unwrap();
    let seen: Vec<_> = messages
        .iter()
        .map(|m| (m.type_id, m.stream_id, m.timestamp_ms, m.payload.to_vec()))
        .collect();
    assert_eq!(
        seen,
        [
            (9, 1, 1000, vec![1, 2]),
            (8, 1, 1040, vec![3]),
            (8, 1, 1060, vec![4]),
            (8, 1, 1080, vec![5]),
        ]
    );
}

#[test]
fn a_type_3_header_after_type_0_adds_its_time() {
    // §5.3.1.2.4; ffmpeg counts on it.
    let bytes = [
        header(0, 4, 23, 1, 8),
        vec![1],
        header(3, 4, 0, 0, 0),
        vec![2],
    ]
    .concat();
    assert_eq!(times(&bytes), [23, 46]);
}

#[test]
fn chunk_stream_ids_come_in_three_sizes() {
    let mut bytes = Vec::new();
    for basic in [&[3][..], &[0, 0], &[0, 255], &[1, 0, 1], &[1, 255, 255]] {
        bytes.extend(basic);
        bytes.extend([0, 0, 5, 0, 0, 1, 8, 1, 0, 0, 0, 0xaa]);
    }
    assert_eq!(times(&bytes), [5; 5]);
}

#[test]
fn a_message_in_one_chunk_is_a_slice_of_the_buffer_and_a_longer_one_is_not() {
    let small = [header(0, 4, 0, 128, 8), vec![7; 128]].concat();
    let mut buffer = BytesMut::from(&small[..]);
    let start = buffer.as_ptr() as usize;
    let message = Dechunker::new(1000).next(&mut buffer).unwrap().unwrap();
    assert_eq!(message.payload.as_ptr() as usize, start + 12);

    let long = [header(0, 4, 0, 129, 8), vec![7; 128], vec![0xc4, 9]].concat();
    let mut buffer = BytesMut::from(&long[..]);
    let message = Dechunker::new(1000).next(&mut buffer).unwrap().unwrap();
    assert_eq!(message.payload, [vec![7; 128], vec![9]].concat());
}

#[test]
fn messages_interleaved_on_two_chunk_streams_come_out_whole() {
    let (video, audio) = (vec![1; 300], vec![2; 200]);
    let bytes = [
        header(0, 6, 40, 300, 9),
        video[..128].to_vec(),
        header(0, 4, 41, 200, 8),
        audio[..128].to_vec(),
        vec![0xc6],
        video[128..256].to_vec(),
        vec![0xc4],
        audio[128..].to_vec(),
        vec![0xc6],
        video[256..].to_vec(),
    ];
    let messages = read_all(&bytes.concat()).unwrap();
    let seen: Vec<_> = messages
        .iter()
        .map(|m| (m.type_id, m.timestamp_ms, &m.payload[..]))
        .collect();
    assert_eq!(seen, [(8, 41, &audio[..]), (9, 40, &video[..])]);
}

#[test]
fn a_chunk_size_change_in_the_middle_of_a_message_holds_from_the_next_chunk_on() {
    let bytes = [
        header(0, 6, 0, 200, 9),
        vec![1; 128],
        set_chunk_size(10),
        vec![0xc6],
        vec![2; 10],
        vec![0xc6],
        vec![3; 10],
        set_chunk_size(0x7fff_ffff),
        vec![0xc6],
        vec![4; 52],
    ];
    let messages = read_all(&bytes.concat()).unwrap();
    let expected = [vec![1; 128], vec![2; 10], vec![3; 10], vec![4; 52]].concat();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].payload, expected);
}

#[test]
fn an_aborted_message_is_gone_and_its_chunk_stream_goes_on() {
    let bytes = [
        header(0, 6, 0, 200, 9),
        vec![1; 128],
        header(0, 2, 0, 4, 2),
        vec![0, 0, 0, 6],
        header(1, 6, 7, 1, 9),
        vec![2],
    ];
    let messages = read_all(&bytes.concat()).unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(
        (messages[0].timestamp_ms, &messages[0].payload[..]),
        (7, &[2][..])
    );
}

#[test]
fn times_pass_24_bits_by_extended_fields_and_by_deltas() {
    let bytes = [
        header(0, 4, 0xff_fff0, 1, 8),
        vec![1],
        header(2, 4, 23, 0, 0),
        vec![2],
        header(0, 4, 0xff_ffff, 1, 8),
        vec![3],
        header(0, 4, 0x0123_4567, 1, 8),
        vec![4],
        header(1, 4, 0x0100_0000, 1, 8),
        vec![5],
    ];
    assert_eq!(
        times(&bytes.concat()),
        [0xff_fff0, 0x0100_0007, 0xff_ffff, 0x0123_4567, 0x0223_4567]
    );
}

#[test]
fn times_wrap_at_32_bits() {
    let bytes = [
        header(0, 4, 0xffff_fff0, 1, 8),
        vec![1],
        header(1, 4, 32, 1, 8),
        vec![2],
    ];
    assert_eq!(times(&bytes.concat()), [0xffff_fff0, 16]);
}

#[test]
fn an_extended_time_is_found_in_type_3_headers_whether_repeated_or_not() {
    let body: Vec<u8> = (0..=255).chain(0..44).collect();
    let first = [header(0, 6, 0x0200_0000, 300, 9), body[..128].to_vec()].concat();
    let time = 0x0200_0000_u32.to_be_bytes().to_vec();
    let next = [header(2, 6, 33, 0, 0), body[..128].to_vec()].concat();
    for repeated in [true, false] {
        let field = if repeated { time.clone() } else { vec![] };
        let bytes = [
            first.clone(),
            vec![0xc6],
            field.clone(),
            body[128..256].to_vec(),
            vec![0xc6],
            field,
            body[256..].to_vec(),
            // The delta fits: no extended fields from here on.
            next.clone(),
            vec![0xc6],
            body[128..256].to_vec(),
            vec![0xc6],
            body[256..].to_vec(),
        ];
        let messages = read_all(&bytes.concat()).unwrap();
        assert_eq!(messages.len(), 2, "{repeated}");
        assert!(
            messages.iter().all(|message| message.payload == body),
            "{repeated}"
        );
        assert_eq!(messages[1].timestamp_ms, 0x0200_0021);
    }
}

#[test]
fn a_short_last_chunk_does_not_wait_for_a_time_that_is_not_there() {
    let bytes = [
        header(0, 6, 0x0200_0000, 130, 9),
        vec![1; 128],
        vec![0xc6, 8, 9],
    ]
    .concat();
    let mut buffer = BytesMut::from(&bytes[..]);
    let message = Dechunker::new(1000).next(&mut buffer).unwrap().unwrap();
    assert_eq!(message.payload[128..], [8, 9]);
}

#[test]
fn an_empty_message_is_a_message() {
    assert_eq!(
        read_all(&header(0, 4, 9, 0, 8)).unwrap()[0].payload.len(),
        0
    );
}

#[test]
fn librtmp_may_open_a_chunk_stream_with_type_1_and_nobody_with_less() {
    assert_eq!(times(&[header(1, 2, 5, 1, 4), vec![0]].concat()), [5]);
    for format in [2, 3] {
        let error = read_all(&[header(format, 4, 0, 1, 8), vec![0; 12]].concat());
        assert_eq!(error, Err(Error::NoPrevious { csid: 4, format }));
    }
}

#[test]
fn every_bound_is_an_error_that_names_its_place() {
    let error = |bytes: &[u8]| read(bytes, bytes.len(), 1000).unwrap_err();
    assert_eq!(
        error(&header(0, 4, 0, 1001, 9)),
        Error::MessageSize {
            length: 1001,
            limit: 1000,
            csid: 4,
            type_id: 9
        }
    );
    let mut many = Vec::new();
    for csid in 3..=19 {
        many.extend([header(0, csid, 0, 1, 8), vec![0]].concat());
    }
    assert_eq!(error(&many), Error::ChunkStreams { csid: 19 });
    let interrupted = [header(0, 4, 0, 200, 9), vec![0; 128], header(0, 4, 0, 1, 9)].concat();
    assert_eq!(
        error(&interrupted),
        Error::Interrupted { csid: 4, format: 0 }
    );
    assert_eq!(error(&set_chunk_size(0)), Error::ChunkSize(0));
    assert_eq!(
        error(&set_chunk_size(0x8000_0080)),
        Error::ChunkSize(0x8000_0080)
    );
    let short = [header(0, 2, 0, 3, 1), vec![0; 3]].concat();
    assert_eq!(
        error(&short),
        Error::Control {
            type_id: 1,
            size: 3
        }
    );
}

#[test]
fn a_stated_length_allocates_only_what_arrives() {
    let mut chunks = Dechunker::new(MAX_MESSAGE_BYTES);
    let bytes = [header(0, 4, 0, MAX_MESSAGE_BYTES, 9), vec![0; 100]].concat();
    let mut buffer = BytesMut::from(&bytes[..]);
    assert_eq!(chunks.next(&mut buffer), Ok(None));
    let held = chunks.streams[0].unfinished.as_ref().unwrap().capacity();
    assert!(held <= FIRST_ALLOCATION_BYTES, "{held}");
}

#[test]
fn unfinished_messages_are_bounded_together() {
    let length = MAX_MESSAGE_BYTES;
    let mut chunks = Dechunker::new(length);
    let mut buffer = BytesMut::from(&set_chunk_size(0xff_ffff)[..]);
    buffer.extend_from_slice(&set_chunk_size(u32::try_from(length - 1).unwrap()));
    for csid in 3..6 {
        buffer.extend_from_slice(&header(0, csid, 0, length, 9));
        buffer.resize(buffer.len() + length - 1, 0);
    }
    assert_eq!(chunks.next(&mut buffer), Err(Error::Unfinished { csid: 5 }));
}

#[test]
fn what_is_written_reads_back() {
    let body: Vec<u8> = (0..=255).collect();
    let mut out = Vec::new();
    write(3, 20, 1, &body, 128, &mut out);
    write(5, 18, 7, b"abc", 128, &mut out);
    let messages = read_all(&out).unwrap();
    assert_eq!(messages[0].payload, body);
    assert_eq!((messages[1].stream_id, messages[1].type_id), (7, 18));
}

#[test]
fn a_message_of_two_parts_reads_back_whole_with_its_time_whatever_the_sizes() {
    let data: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for time in [0, 1, 0xff_fffe, 0xff_ffff, 0x0100_0000, u32::MAX] {
        for (cut, chunk) in [
            (0, 128),
            (5, 128),
            (128, 128),
            (130, 128),
            (5, 4096),
            (1000, 1),
        ] {
            let head = Head {
                csid: 6,
                type_id: 9,
                stream_id: 1,
                timestamp_ms: time,
            };
            let mut out = Vec::new();
            let size = u32::try_from(chunk).unwrap();
            write(
                2,
                TYPE_SET_CHUNK_SIZE,
                0,
                &size.to_be_bytes(),
                128,
                &mut out,
            );
            let parts = [&data[..cut], &data[cut..]];
            assert!(write_parts(&head, parts, chunk, &mut out));
            let messages = read_all(&out).unwrap();
            assert_eq!(messages.len(), 1);
            assert_eq!(
                (messages[0].timestamp_ms, &messages[0].payload[..]),
                (time, &data[..])
            );
        }
    }
    let long = vec![0; 0x0100_0000];
    let head = Head {
        csid: 6,
        type_id: 9,
        stream_id: 1,
        timestamp_ms: 0,
    };
    let mut out = Vec::new();
    assert!(!write_parts(&head, [&long, &[]], 128, &mut out));
    assert!(out.is_empty());
}
