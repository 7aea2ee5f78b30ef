//! The film of an event for operators, before it is on as well: a playlist of what is prepared of it, from its
//! beginning to its end, and the bytes of its renditions. Viewers have nothing of this.

use std::fmt::Write as _;
use std::io::SeekFrom;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::base::id::Uuid;
use crate::base::range::Range;
use crate::control::api::answer::Answer;
use crate::control::api::docs::{Lookup, Usual};
use crate::control::api::{Call, Error};
use crate::control::auth;
use crate::media::MediaKind;
use crate::playout::asset::{Plain, Reader};

/// Name of the playlist that has all renditions.
const ALL: &str = "index.m3u8";
/// Bytes that are read of a file at a time.
const READ_BYTES: usize = 64 << 10;

#[utoipa::path(
    get, path = "/api/admin/events/{id}/film/{name}", tag = "operations", operation_id = "adminEventFilm",
    summary = "What is prepared of an event's film, as HLS from its beginning to its end",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("id" = String, Path, description = "Event id."),
        ("name" = String, Path, example = "index.m3u8",
            description = "`index.m3u8`, which leads to the others.")),
    responses((status = 200, description = "A playlist, or the bytes of a rendition."),
        (status = 206, description = "A range of them."),
        (status = 416, description = "The range lies behind the end."), Usual, Lookup),
)]
pub(super) async fn read(mut call: Call) -> Answer {
    if !auth::is_operator(&call.state, call.headers()) {
        return Err(Error::Unauthorized("the admin key is missing or wrong"));
    }
    let missing = || Error::NotFound("film");
    let id = Uuid::parse_str(&call.parameter("id").await?).map_err(|_| Error::NotFound("event"))?;
    let name = call.parameter("name").await?;
    let event = call.state.setup().store.event(id).await?;
    let asset = event
        .ok_or(Error::NotFound("event"))?
        .asset_id
        .ok_or_else(missing)?;
    let folder = call.state.setup().films.folder(asset);
    let opened = tokio::task::spawn_blocking(move || Reader::open(&folder)).await;
    let reader = match opened {
        Ok(Ok(reader)) => reader.ok_or_else(missing)?,
        Ok(Err(err)) => {
            tracing::error!(%err, %asset, "a film cannot be read");
            return Err(Error::Internal);
        }
        Err(_) => return Err(Error::Internal),
    };
    if name == ALL {
        return Ok(playlist(all(&reader)));
    }
    let (rendition, kind) = name.rsplit_once('.').ok_or_else(missing)?;
    let plain = reader.plain(rendition).ok_or_else(missing)?;
    match kind {
        "m3u8" => Ok(playlist(one(rendition, &plain))),
        "mp4" => bytes(&plain, call.headers()).await,
        _ => Err(missing()),
    }
}

/// The renditions (RFC 8216 §4.3.4): each picture with the first sound.
fn all(reader: &Reader) -> String {
    let renditions = &reader.facts().renditions;
    let of = |kind| renditions.iter().filter(move |one| one.kind() == kind);
    let sound = of(MediaKind::Audio).next();
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    let has_picture = of(MediaKind::Video).next().is_some();
    if let Some(sound) = sound.filter(|_| has_picture) {
        let name = &sound.name;
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"{name}\",DEFAULT=YES,\
             AUTOSELECT=YES,URI=\"{name}.m3u8\""
        );
    }
    let kind = match has_picture {
        true => MediaKind::Video,
        false => MediaKind::Audio,
    };
    for rendition in of(kind) {
        let with = sound.filter(|_| has_picture);
        let rate = rendition.peak_bps + with.map_or(0, |sound| sound.peak_bps);
        let mut codecs = rendition.track.codec_string();
        if let Some(sound) = with {
            let _ = write!(codecs, ",{}", sound.track.codec_string());
        }
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={rate},CODECS=\"{codecs}\""
        );
        if let Some((width, height)) = rendition.track.resolution() {
            let _ = write!(text, ",RESOLUTION={width}x{height}");
        }
        let group = if with.is_some() {
            ",AUDIO=\"sound\""
        } else {
            ""
        };
        let _ = writeln!(text, "{group}\n{}.m3u8", rendition.name);
    }
    text
}

/// One rendition: ranges of its file (RFC 8216 §4.3.2.2). What is not prepared yet is not in it.
fn one(rendition: &str, plain: &Plain) -> String {
    let seconds = |ticks: i64| (ticks / 90_000, ticks % 90_000 * 1_000_000 / 90_000);
    let longest = plain.segments.iter().map(|lying| lying.duration.0).max();
    let target = longest.unwrap_or(0).saturating_add(45_000) / 90_000;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-MAP:URI=\"{rendition}.mp4\",BYTERANGE=\"{}@0\"\n",
        target.max(1),
        plain.init
    );
    for lying in &plain.segments {
        let (whole, micros) = seconds(lying.duration.0);
        let _ = writeln!(
            text,
            "#EXTINF:{whole}.{micros:06},\n#EXT-X-BYTERANGE:{}@{}\n{rendition}.mp4",
            lying.size, lying.offset
        );
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

fn playlist(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.apple.mpegurl"),
        // It grows while it is prepared.
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// Bytes of a rendition's file, as far as they are known to be whole.
async fn bytes(plain: &Plain, headers: &http::HeaderMap) -> Answer {
    let end = plain.segments.last().map(|last| last.offset + last.size);
    let end = end.unwrap_or(plain.init);
    let range = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    let (code, first, length) = match range.map_or(Range::All, |text| Range::parse(text, end)) {
        Range::All => (StatusCode::OK, 0, end),
        Range::Some(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Range::Unsatisfiable => {
            let place = [(header::CONTENT_RANGE, format!("bytes */{end}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, place).into_response());
        }
    };
    let failed = |err: std::io::Error| {
        tracing::error!(%err, "a film cannot be read");
        Error::Internal
    };
    let mut file = tokio::fs::File::open(&plain.file).await.map_err(failed)?;
    file.seek(SeekFrom::Start(first)).await.map_err(failed)?;
    let stream = ReaderStream::with_capacity(file.take(length), READ_BYTES);
    let mut response = (code, Body::from_stream(stream)).into_response();
    let fields = [
        (header::CONTENT_TYPE, "video/mp4".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let headers = response.headers_mut();
    for (name, value) in fields {
        headers.insert(name, HeaderValue::try_from(value).expect("it is ASCII"));
    }
    if code == StatusCode::PARTIAL_CONTENT {
        let place = format!("bytes {first}-{}/{end}", first + length - 1);
        headers.insert(
            header::CONTENT_RANGE,
            HeaderValue::try_from(place).expect("it is ASCII"),
        );
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Ticks;
    use crate::playout::asset::Lying;

    fn plain(file: std::path::PathBuf) -> Plain {
        let lying = |offset, size, duration| Lying {
            offset,
            size,
            duration: Ticks(duration),
        };
        Plain {
            file,
            init: 4,
            segments: vec![lying(4, 6, 180_000), lying(10, 2, 45_045)],
        }
    }

    #[test]
    fn a_playlist_has_the_segments_as_they_lie() {
        let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n\
            #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"hd.mp4\",BYTERANGE=\"4@0\"\n\
            #EXTINF:2.000000,\n#EXT-X-BYTERANGE:6@4\nhd.mp4\n\
            #EXTINF:0.500500,\n#EXT-X-BYTERANGE:2@10\nhd.mp4\n#EXT-X-ENDLIST\n";
        assert_eq!(one("hd", &plain("hd.mp4".into())), expected);
    }

    #[tokio::test]
    async fn bytes_end_with_what_is_whole() {
        let file = std::env::temp_dir().join(format!("forebay-film-{}", Uuid::new_v4()));
        tokio::fs::write(&file, b"init012345ab-still-coming")
            .await
            .unwrap();
        let plain = plain(file.clone());
        for (range, code, expected) in [
            (None, 200, &b"init012345ab"[..]),
            (Some("bytes=4-9"), 206, b"012345"),
            (Some("bytes=10-99"), 206, b"ab"),
            (Some("bytes=12-13"), 416, b""),
        ] {
            let mut headers = http::HeaderMap::new();
            if let Some(range) = range {
                headers.insert(header::RANGE, HeaderValue::from_static(range));
            }
            let response = bytes(&plain, &headers).await.unwrap();
            assert_eq!(response.status().as_u16(), code, "{range:?}");
            let body = axum::body::to_bytes(response.into_body(), 100)
                .await
                .unwrap();
            assert_eq!(&body[..], expected, "{range:?}");
        }
        tokio::fs::remove_file(&file).await.unwrap();
    }
}
