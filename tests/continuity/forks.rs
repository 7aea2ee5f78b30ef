//! Channels that show another one's stream: the same media under another id, which may end alone.

use forebay::base::id::Uuid;
use forebay::hub::ForkOptions;
use forebay::media::timeline::{Found, Resource, Timeline};

use super::bench::{Bench, LADDER, PLAIN, PORTRAIT, Terms};
use super::each;
use super::encoder::USUAL;

const PLAINLY: ForkOptions = ForkOptions {
    force: false,
    additive: false,
    keep_streams: false,
};

/// An encoder that has published for ten seconds, and a fork of it that was watched for as long.
fn forked(terms: Terms) -> (Bench, Uuid) {
    let mut bench = Bench::new(terms);
    bench.publish(USUAL);
    bench.run(10_000);
    let fork = bench.fork("other", &[], PLAINLY);
    bench.run(10_070);
    (bench, fork)
}

fn bytes(timeline: &dyn Timeline, rendition: &str, resource: Resource<'_>) -> Vec<u8> {
    match timeline.find(rendition, resource) {
        Found::Whole(pieces) => pieces.concat(),
        other => panic!("{rendition} {resource:?}: {other:?}"),
    }
}

/// Every segment and part that is listed can be fetched, and the segment is its parts.
fn assert_fetchable(timeline: &dyn Timeline, rendition: &str) {
    let snapshot = timeline.snapshot(rendition).unwrap();
    for segment in snapshot.segments.iter().filter(|segment| !segment.gap) {
        let whole = bytes(timeline, rendition, Resource::Segment(segment.sequence));
        let parts = segment.parts.iter();
        let parts = parts.flat_map(|part| bytes(timeline, rendition, Resource::Part(part.number)));
        assert_eq!(whole, parts.collect::<Vec<u8>>());
        let init = bytes(timeline, rendition, Resource::Init(&segment.init.name));
        assert_eq!(init, segment.init.bytes);
    }
}

#[test]
fn a_fork_shows_its_sources_segments_under_another_id() {
    each(&[PLAIN, LADDER], |terms| {
        let (bench, fork) = forked(terms);
        let source = bench.stream().id();
        assert_ne!(fork, source);
        assert_eq!(bench.streams(), [source], "nothing is cut or encoded twice");
        let (own, forked) = (bench.timeline(source), bench.timeline(fork));
        for rendition in ["source", "audio"] {
            let one = own.snapshot(rendition).unwrap();
            let other = forked.snapshot(rendition).unwrap();
            assert_eq!(one.segments, other.segments);
            assert_fetchable(&*forked, rendition);
        }
        bench.watch_of(fork).assert_agreement();
        let members = |alias| -> Vec<_> {
            let members = bench.members(alias).into_iter();
            members.map(|it| (it.session, it.screen_name)).collect()
        };
        assert_eq!(members("live"), members("other"));
        assert_eq!(bench.members("other")[0].stream, fork);
    });
}

#[test]
fn a_fork_that_is_killed_ends_alone_and_takes_nothing_back() {
    // In the middle of a part, and right behind the beginning of a segment.
    each(
        &[(PLAIN, 0), (PLAIN, 950), (LADDER, 0), (LADDER, 1_010)],
        |(terms, later)| {
            let (mut bench, fork) = forked(terms);
            bench.run(later);
            let source = bench.stream().id();
            let last = bench.timeline(fork).progress("audio").unwrap();
            assert_eq!(bench.kill("other").len(), 1);
            assert_eq!(bench.members("other"), []);
            bench.run(30_000);

            let forked = bench.timeline(fork);
            assert!(bench.watch_of(fork).ended);
            bench.watch_of(fork).assert_agreement();
            for rendition in ["source", "audio"] {
                let snapshot = forked.snapshot(rendition).unwrap();
                assert!(snapshot.ended);
                assert!(snapshot.segments.iter().all(|segment| segment.complete));
                assert_fetchable(&*forked, rendition);
                let next = snapshot.segments.last().unwrap().sequence + 1;
                for beyond in [Resource::Segment(next), Resource::Part(snapshot.next_part)] {
                    let found = forked.find(rendition, beyond);
                    assert!(matches!(found, Found::Missing), "{beyond:?}");
                    bytes(&*bench.timeline(source), rendition, beyond);
                }
            }
            let ended = forked.progress("audio").unwrap();
            assert!(ended.ended && ended.version > last.version);
            assert_eq!(ended.last_sequence, last.last_sequence);
            assert_eq!(ended.next_part, last.next_part);

            assert_eq!(bench.members("live").len(), 1, "the source goes on");
            assert!(!bench.watch().ended);
            bench.watch().assert_agreement();
        },
    );
}

#[test]
fn a_fork_ends_with_its_source() {
    each(&[PLAIN, LADDER], |terms| {
        let (mut bench, fork) = forked(terms);
        let killed = bench.kill("live");
        assert_eq!(killed.len(), 1);
        assert_eq!(
            (bench.members("live"), bench.members("other")),
            (vec![], vec![])
        );
        bench.run(1_000);
        assert!(bench.watch().ended && bench.watch_of(fork).ended);
        bench.watch_of(fork).assert_agreement();
        let source = bench.stream().id();
        let (own, forked) = (bench.timeline(source), bench.timeline(fork));
        for rendition in ["source", "audio"] {
            let one = own.snapshot(rendition).unwrap();
            let other = forked.snapshot(rendition).unwrap();
            assert_eq!(one.segments, other.segments, "to the last part");
        }
    });
}

#[test]
fn a_fork_goes_on_when_its_sources_encoder_comes_back_or_gives_way() {
    each(&[PLAIN, LADDER], |terms| {
        let (mut bench, fork) = forked(terms);
        let before = bench.members("other");
        bench.publish(USUAL);
        bench.run(5_000);
        assert_eq!(bench.members("other").len(), 2, "a backup is a member, too");
        bench.encoders[0].disconnect();
        bench.run(5_000);
        let after = bench.members("other");
        assert_eq!(after.len(), 1);
        assert_ne!(after[0].session, before[0].session);
        bench.encoders[1].disconnect();
        bench.run(5_000);
        assert_eq!(bench.members("other"), []);
        bench.publish(USUAL);
        bench.run(5_000);
        let back = bench.members("other");
        assert_eq!((back.len(), back[0].stream), (1, fork));
        let watch = bench.watch_of(fork);
        assert!(!watch.ended);
        watch.agreement();
    });
}

#[test]
fn a_fork_with_other_pictures_is_a_stream_of_its_own_with_its_sources_members() {
    let mut bench = Bench::new(LADDER);
    bench.publish(USUAL);
    bench.run(10_300);
    let source = bench.stream().id();
    let fork = bench.fork("other", &[PORTRAIT], PLAINLY);
    assert_eq!(bench.streams(), [source, fork]);
    bench.run(20_000);
    let sessions = |alias| -> Vec<_> {
        let members = bench.members(alias).into_iter();
        members.map(|it| it.session).collect()
    };
    assert_eq!(sessions("live"), sessions("other"));
    assert_eq!(bench.members("other")[0].stream, fork);
    assert!(bench.age_of_film_ms() < 1_000, "its media are live");
    assert!(bench.watch().segments["source"].len() > 5);

    // Its source's encoder is away for a while.
    bench.encoders[0].disconnect();
    bench.run(5_000);
    bench.publish(USUAL);
    bench.run(5_000);
    assert!(bench.age_of_film_ms() < 1_000, "its media are live again");
    bench.watch().assert_agreement();
    bench.watch_of(source).assert_agreement();

    bench.kill("live");
    bench.run(1_000);
    assert!(bench.watch_of(source).ended && bench.watch_of(fork).ended);
    assert_eq!(bench.members("other"), []);
}
