//! A strict reader of media and multivariant playlists, low-latency tags included. It is for checking:
//! what players would forgive is an error here.

use super::text::parse_date;
use crate::base::clock::Wall;

/// Sequence numbers and counts above this are refused, so that counting on from them cannot overflow.
const MAX_NUMBER: u64 = 1 << 60;

/// Why a text is not a playlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Error {
    /// Counted from one.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// An attribute list (RFC 8216bis §4.2), quotes removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of an attribute as a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    fn parse(text: &str) -> Result<Attributes, String> {
        let mut list: Vec<(String, String)> = Vec::new();
        let mut rest = text;
        loop {
            let (name, after) = rest
                .split_once('=')
                .ok_or_else(|| format!("attribute without a value at {rest:?}"))?;
            let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || !name.bytes().all(legal) {
                return Err(format!("attribute name {name:?}"));
            }
            if list.iter().any(|(known, _)| known == name) {
                return Err(format!("attribute {name} twice"));
            }
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted
                    .split_once('"')
                    .ok_or_else(|| format!("open quote in {name}"))?,
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            list.push((name.to_owned(), value.to_owned()));
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(Attributes(list)),
                None => return Err(format!("text after the value of {name}")),
            }
        }
    }
}

/// EXT-X-PART.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Seconds.
    pub duration: f64,
    /// As written.
    pub uri: String,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES.
    pub gap: bool,
}

/// A media segment, or the parts after the last one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    /// EXTINF in seconds; zero for a growing segment.
    pub duration: f64,
    /// As written; empty for a growing segment.
    pub uri: String,
    /// EXT-X-DISCONTINUITY.
    pub discontinuity: bool,
    /// EXT-X-GAP.
    pub gap: bool,
    /// URI of the EXT-X-MAP that stands before this segment, if one does.
    pub map: Option<String>,
    /// EXT-X-PROGRAM-DATE-TIME.
    pub date: Option<Wall>,
    /// In order.
    pub parts: Vec<Part>,
    /// A tag of the whole segment that came after its first part.
    pub late_tag: Option<&'static str>,
}

impl Segment {
    /// EXTINF, or what the parts of a growing segment add up to; seconds.
    pub fn span(&self) -> f64 {
        if self.uri.is_empty() {
            self.parts.iter().map(|part| part.duration).sum()
        } else {
            self.duration
        }
    }
}

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Media {
    /// EXT-X-VERSION.
    pub version: Option<u64>,
    /// EXT-X-TARGETDURATION, seconds.
    pub target_duration: u64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: Option<u64>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-PLAYLIST-TYPE.
    pub playlist_type: Option<String>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: Attributes,
    /// PART-TARGET of EXT-X-PART-INF, seconds.
    pub part_target: Option<f64>,
    /// SKIPPED-SEGMENTS of each EXT-X-SKIP.
    pub skips: Vec<u64>,
    /// Listed segments; the last has an empty URI when it is growing.
    pub segments: Vec<Segment>,
    /// EXT-X-PRELOAD-HINT.
    pub hints: Vec<Attributes>,
    /// EXT-X-RENDITION-REPORT.
    pub reports: Vec<Attributes>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

impl Media {
    /// Segments that a delta update leaves out.
    pub fn skipped(&self) -> u64 {
        self.skips
            .iter()
            .fold(0, |sum, skip| u64::saturating_add(sum, *skip))
    }

    /// Sequence number of the first segment that is written out.
    pub fn first_sequence(&self) -> u64 {
        self.media_sequence.saturating_add(self.skipped())
    }

    /// Segments with their sequence numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &Segment)> {
        (self.first_sequence()..).zip(&self.segments)
    }

    /// The written-out segment of a sequence number.
    pub fn segment(&self, sequence: u64) -> Option<&Segment> {
        let index = sequence.checked_sub(self.first_sequence())?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    /// Reads a media playlist.
    pub fn parse(text: &str) -> Result<Media, Error> {
        let mut media = Media::default();
        let mut target = None;
        let mut segment = Segment::default();
        let mut duration = None;
        for (at, line) in lines(text)? {
            let fail = |what: String| Error { line: at, what };
            let list = |text: &str| Attributes::parse(text).map_err(fail);
            let number = |text: &str| -> Result<u64, Error> {
                let number = text.parse().ok().filter(|number| *number <= MAX_NUMBER);
                number.ok_or_else(|| fail(format!("number {text:?}")))
            };
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            let mut whole = |name| {
                if !segment.parts.is_empty() {
                    segment.late_tag = Some(name);
                }
            };
            match tag {
                "#EXT-X-VERSION" => media.version = Some(number(value)?),
                "#EXT-X-TARGETDURATION" => target = Some(number(value)?),
                "#EXT-X-MEDIA-SEQUENCE" => media.media_sequence = number(value)?,
                "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                    media.discontinuity_sequence = Some(number(value)?);
                }
                "#EXT-X-INDEPENDENT-SEGMENTS" => media.independent_segments = true,
                "#EXT-X-PLAYLIST-TYPE" => media.playlist_type = Some(value.to_owned()),
                "#EXT-X-SERVER-CONTROL" => media.server_control = list(value)?,
                "#EXT-X-PART-INF" => {
                    let target = list(value)?.number("PART-TARGET");
                    media.part_target =
                        Some(target.ok_or_else(|| fail("no PART-TARGET".to_owned()))?);
                }
                "#EXT-X-SKIP" => {
                    let count = list(value)?.number("SKIPPED-SEGMENTS");
                    let count = count.filter(|count| *count <= MAX_NUMBER);
                    media
                        .skips
                        .push(count.ok_or_else(|| fail("no SKIPPED-SEGMENTS".to_owned()))?);
                }
                "#EXT-X-DISCONTINUITY" => {
                    whole("DISCONTINUITY");
                    segment.discontinuity = true;
                }
                "#EXT-X-MAP" => {
                    whole("MAP");
                    let uri = list(value)?.get("URI").map(str::to_owned);
                    segment.map = Some(uri.ok_or_else(|| fail("no URI".to_owned()))?);
                }
                "#EXT-X-PROGRAM-DATE-TIME" => {
                    whole("PROGRAM-DATE-TIME");
                    let date = parse_date(value);
                    segment.date = Some(date.ok_or_else(|| fail(format!("date {value:?}")))?);
                }
                "#EXT-X-GAP" => segment.gap = true,
                "#EXT-X-PART" => {
                    let list = list(value)?;
                    let (Some(duration), Some(uri)) = (list.number("DURATION"), list.get("URI"))
                    else {
                        return Err(fail("part without DURATION or URI".to_owned()));
                    };
                    segment.parts.push(Part {
                        duration,
                        uri: uri.to_owned(),
                        independent: list.get("INDEPENDENT") == Some("YES"),
                        gap: list.get("GAP") == Some("YES"),
                    });
                }
                "#EXTINF" => {
                    let seconds = value.split_once(',').map_or("", |(seconds, _)| seconds);
                    let seconds = seconds.parse::<f64>().ok().filter(|s| s.is_finite());
                    duration = Some(seconds.ok_or_else(|| fail(format!("EXTINF {value:?}")))?);
                }
                "#EXT-X-PRELOAD-HINT" => media.hints.push(list(value)?),
                "#EXT-X-RENDITION-REPORT" => media.reports.push(list(value)?),
                "#EXT-X-ENDLIST" => media.ended = true,
                _ if line.starts_with("#EXT") => return Err(fail(format!("tag {tag}"))),
                _ if line.starts_with('#') => {}
                uri => {
                    let duration = duration.take();
                    segment.duration =
                        duration.ok_or_else(|| fail(format!("{uri} without EXTINF")))?;
                    uri.clone_into(&mut segment.uri);
                    media.segments.push(std::mem::take(&mut segment));
                }
            }
        }
        if segment != Segment::default() {
            media.segments.push(segment);
        }
        media.target_duration = target.ok_or(Error {
            line: 1,
            what: "no EXT-X-TARGETDURATION".to_owned(),
        })?;
        Ok(media)
    }
}

/// A multivariant playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Multivariant {
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-MEDIA.
    pub media: Vec<Attributes>,
    /// EXT-X-STREAM-INF and the URI after it.
    pub variants: Vec<(Attributes, String)>,
}

impl Multivariant {
    /// Reads a multivariant playlist.
    pub fn parse(text: &str) -> Result<Multivariant, Error> {
        let mut playlist = Multivariant::default();
        let mut open = None;
        for (at, line) in lines(text)? {
            let fail = |what: String| Error { line: at, what };
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-VERSION" => {}
                "#EXT-X-INDEPENDENT-SEGMENTS" => playlist.independent_segments = true,
                "#EXT-X-MEDIA" => playlist.media.push(Attributes::parse(value).map_err(fail)?),
                "#EXT-X-STREAM-INF" => open = Some(Attributes::parse(value).map_err(fail)?),
                _ if line.starts_with("#EXT") => return Err(fail(format!("tag {tag}"))),
                _ if line.starts_with('#') => {}
                uri => {
                    let inf = open.take();
                    let inf = inf.ok_or_else(|| fail(format!("{uri} without STREAM-INF")))?;
                    playlist.variants.push((inf, uri.to_owned()));
                }
            }
        }
        Ok(playlist)
    }
}

/// Non-empty lines after `#EXTM3U`, with their numbers.
fn lines(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, Error> {
    let mut lines = (1..).zip(text.lines());
    match lines.next() {
        Some((_, "#EXTM3U")) => Ok(lines.filter(|(_, line)| !line.is_empty())),
        _ => Err(Error {
            line: 1,
            what: "no #EXTM3U".to_owned(),
        }),
    }
}
