use bytes::Bytes;

use super::*;
use crate::media::codec::{aac, avc, opus};

fn track(config: CodecConfig, rate: u32) -> Arc<Track> {
    Arc::new(Track {
        config,
        timescale: Timescale::of(rate),
    })
}

fn picture() -> Arc<Track> {
    let record = include_bytes!("../../../../tests/data/codec/avc_crop.avcc").as_slice();
    track(
        CodecConfig::Avc(avc::Config::parse(Bytes::from_static(record)).unwrap()),
        90_000,
    )
}

fn aac() -> Arc<Track> {
    track(
        CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
        48_000,
    )
}

fn rendition(id: u8, name: &str, track: Arc<Track>, bps: u32) -> Arc<Rendition> {
    Arc::new(Rendition {
        id: RenditionId(id),
        name: name.into(),
        track,
        peak_bps: bps,
        average_bps: bps,
        frame_rate_millis: 0,
        source: name.starts_with("source"),
    })
}

#[test]
fn the_encoders_own_goes_out_and_a_rung_only_where_it_has_none() {
    let mut offer = Offer::default();
    assert_eq!(offer.choice(), Choice::default());
    let opus = track(CodecConfig::Opus(opus::Config::new(2).unwrap()), 48_000);
    offer.add(rendition(0, "source", picture(), 1));
    offer.add(rendition(1, "hd", picture(), 9));
    offer.add(rendition(2, "source-audio", opus, 9));
    let ids = |offer: &Offer| {
        offer
            .choice()
            .ids()
            .iter()
            .map(|id| id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&offer), [0, 2]);
    offer.add(rendition(3, "audio", aac(), 1));
    assert_eq!(ids(&offer), [0, 3], "AAC is what servers take");
    offer.remove(RenditionId(0));
    offer.add(rendition(4, "sd", picture(), 2));
    assert_eq!(ids(&offer), [1, 3]);
}

#[test]
fn four_ccs_are_told_of_what_needs_them() {
    let mut publication = Publication::default();
    publication.handle_track(MediaKind::Video, picture());
    publication.handle_track(MediaKind::Audio, aac());
    assert!(publication.four_ccs().is_empty());
    let opus = track(CodecConfig::Opus(opus::Config::new(2).unwrap()), 48_000);
    publication.handle_track(MediaKind::Audio, opus);
    assert_eq!(publication.four_ccs(), ["Opus"]);
}
