//! Times of received tracks.

use super::*;

#[test]
fn reports_bring_tracks_of_a_sender_onto_one_clock() {
    let mut origin = Origin::default();
    let (mut sound, mut picture) = (
        TrackClock::new(Timescale::of(48_000)),
        TrackClock::new(Timescale::CHANNEL),
    );
    // Both tracks' first units are of the same moment, but the picture's arrives 200 ms later.
    let sound_first = sound.time(100 * MS, 1_000_000);
    let picture_first = picture.time(300 * MS, 77);
    assert_eq!((sound_first, picture_first), (Ticks(4800), Ticks(27_000)));
    let ntp = ntp_time(1_700_000_000_000_000);
    sound.report(&mut origin, 400 * MS, ntp, 1_000_000);
    picture.report(
        &mut origin,
        450 * MS,
        ntp_time(1_700_000_000_500_000),
        77 + 45_000,
    );
    // A second later in media: the sound's clock stays, the picture's comes to it.
    assert_eq!(sound.time(1100 * MS, 1_048_000), Ticks(4800 + 48_000));
    assert_eq!(picture.time(1300 * MS, 77 + 90_000), Ticks(9000 + 90_000));
    // Jitter of reports moves nothing, a correction does.
    picture.report(
        &mut origin,
        1400 * MS,
        ntp_time(1_700_000_001_002_000),
        77 + 90_000,
    );
    assert_eq!(picture.time(1500 * MS, 77 + 93_000), Ticks(9000 + 93_000));
    picture.report(
        &mut origin,
        1600 * MS,
        ntp_time(1_700_000_001_050_000),
        77 + 90_000,
    );
    assert_eq!(
        picture.time(1700 * MS, 77 + 96_000),
        Ticks(9000 + 96_000 + 4500)
    );
    // A sender without a clock says nothing.
    picture.report(&mut origin, 1800 * MS, 0, 0);
    assert_eq!(
        picture.time(1900 * MS, 77 + 99_000),
        Ticks(9000 + 99_000 + 4500)
    );
}

#[test]
fn a_report_before_the_first_packet_counts_where_it_is_of_its_time() {
    let mut receiver = Receiver::new(Format::Opus, false);
    let mut origin = Origin::default();
    let first = packet(0, 3_000_960, false, data("opus.packet"));
    receiver.report(&mut origin, MS, ntp_time(1_700_000_000_000_000), 3_000_000);
    let early = receiver.begin(&first);
    assert_eq!(early, Some((ntp_time(1_700_000_000_000_000), 3_000_000)));
    assert_eq!(receiver.begin(&first), None);
    let mut foreign = Receiver::new(Format::Opus, false);
    foreign.report(&mut origin, MS, ntp_time(1_700_000_000_000_000), 0);
    assert_eq!(foreign.begin(&first), None);
}

#[test]
fn times_of_a_track_only_grow_when_a_report_takes_them_back() {
    let mut origin = Origin::default();
    let mut first = TrackClock::new(Timescale::CHANNEL);
    first.report(&mut origin, MS, ntp_time(1_700_000_000_000_000), 0);
    let mut clock = TrackClock::new(Timescale::CHANNEL);
    let before = clock.time(5000 * MS, 0);
    clock.report(&mut origin, MS, ntp_time(1_700_000_000_000_000), 0);
    assert_eq!(clock.time(MS, 3000), before + Ticks(1));
}

#[test]
fn rtp_times_wrap_in_both_directions() {
    let mut unwrap = Unwrap::default();
    let first = unwrap.extend(u32::MAX - 10);
    assert_eq!(unwrap.extend(20) - first, 31);
    assert_eq!(unwrap.extend(u32::MAX - 10) - first, 0);
    assert_eq!(unwrap.extend(u32::MAX) - first, 10);
}

#[test]
fn ntp_times_are_exact_to_a_microsecond() {
    for micros in [0, 1, 999_999, 1_700_000_000_123_457] {
        assert_eq!(ntp_micros(ntp_time(micros)), micros);
    }
    // 2000-01-01 (RFC 5905 figure 4).
    assert_eq!(ntp_time(946_684_800_000_000) >> 32, 3_155_673_600);
}
