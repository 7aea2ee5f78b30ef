//! A broadcast ends, whatever its encoder does at that moment.

use super::bench::{Bench, LADDER, LASTING, PLAIN, Terms};
use super::each;
use super::encoder::USUAL;

/// What the encoder does when its broadcast is ended.
#[derive(Clone, Copy, Debug)]
enum Encoder {
    /// It publishes.
    Publishes,
    /// It is connected and silent.
    Silent,
    /// It said goodbye some seconds ago.
    Left,
    /// Its line was cut so long ago that a channel's stream would be over.
    LostLongAgo,
}

/// Everything that players of a stream can read says that nothing follows.
#[track_caller]
fn assert_over(bench: &mut Bench) {
    let watch = bench.watch();
    assert!(watch.ended);
    assert!(watch.playlists().count() >= 2, "picture and sound");
    for (name, text) in watch.playlists() {
        assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{name}: {text}");
    }
    assert_eq!(watch.manifests().count(), 2);
    for text in watch.manifests() {
        assert!(text.contains("mediaPresentationDuration"), "{text}");
        assert!(!text.contains("minimumUpdatePeriod"), "{text}");
    }
    watch.assert_agreement();
}

#[test]
fn all_playlists_and_manifests_of_a_finished_broadcast_end_wherever_its_encoder_is() {
    let mut table = Vec::new();
    for ladder in [false, true] {
        for encoder in [
            Encoder::Publishes,
            Encoder::Silent,
            Encoder::Left,
            Encoder::LostLongAgo,
        ] {
            table.push((ladder, encoder));
        }
    }
    each(&table, |(ladder, encoder)| {
        let terms = Terms {
            lasting: true,
            ..if ladder { LADDER } else { PLAIN }
        };
        let mut bench = Bench::new(terms);
        bench.publish(USUAL);
        bench.run(11_370);
        assert_eq!(bench.streams(), [LASTING]);
        match encoder {
            Encoder::Publishes => {}
            Encoder::Silent => {
                bench.encoders[0].freeze();
                bench.run(5_000);
            }
            Encoder::Left => {
                bench.encoders[0].finish();
                bench.run(5_000);
            }
            Encoder::LostLongAgo => {
                bench.encoders[0].disconnect();
                bench.run(130_000);
                assert!(bench.is_played(LASTING), "a broadcast outlives the pause");
            }
        }
        bench.finish();
        bench.run(400);
        assert_over(&mut bench);
        // Nothing is added any more, and what was said stays until it is forgotten.
        bench.run(10_000);
        assert_over(&mut bench);
        assert_eq!(bench.streams(), [LASTING]);
        bench.run(120_000);
        assert!(!bench.is_played(LASTING));
    });
}

#[test]
fn a_broadcast_that_never_had_media_ends_without_a_trace() {
    for is_connected in [false, true] {
        let mut bench = Bench::new(Terms {
            lasting: true,
            ..PLAIN
        });
        // Admitted, and not a unit came.
        let encoder = is_connected.then(|| bench.encoder(USUAL));
        bench.run(3_000);
        assert_eq!(bench.is_played(LASTING), is_connected);
        bench.finish();
        // Nobody was told of it, and nobody waits for it.
        assert!(!bench.is_played(LASTING));
        if is_connected {
            assert!(bench.stream().is_ended());
        }
        drop(encoder);
        assert_eq!(bench.members("live"), []);
    }
}
