//! Paths of playback, parsed by hand: one pass, no allocation.

use std::borrow::Cow;

use crate::base::id::Uuid;
use crate::manifest::dash::Mode;
use crate::media::timeline::Resource;

/// Longest rendition folder name. Longer ones cannot exist and are not looked up.
const MAX_RENDITION_NAME: usize = 64;

/// What a path of ours names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `/time`
    Time,
    /// `/thumb/{id}.jpg`
    Thumbnail {
        /// As sent.
        id: &'a str,
    },
    /// `/hls/{id}/[~{token}/]…`, `/dash/{id}/[~{token}/]…`
    Stream {
        tree: Tree,
        /// Id or alias, as sent.
        id: &'a str,
        token: Option<&'a str>,
        file: File<'a>,
    },
}

/// Which of the two URL trees. Media is equal under both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Hls,
    Dash,
}

/// What lies below a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File<'a> {
    /// `/hls/{id}/index.m3u8`
    Multivariant,
    /// `/hls/{id}/{rendition}/index.m3u8`
    Playlist(&'a str),
    /// `/dash/{id}/manifest.mpd`, `ll.mpd`
    Mpd(Mode),
    /// Init, segment or part of a rendition.
    Media(&'a str, Resource<'a>),
    /// `beacon`, by POST.
    Beacon,
    /// Nothing that exists.
    Unknown,
}

impl File<'_> {
    pub(crate) fn is_manifest(&self) -> bool {
        matches!(self, File::Multivariant | File::Mpd(_))
    }

    /// File name of a manifest.
    pub(crate) fn manifest_name(&self) -> &'static str {
        match self {
            File::Mpd(Mode::LowLatency) => "ll.mpd",
            File::Mpd(Mode::Standard) => "manifest.mpd",
            _ => "index.m3u8",
        }
    }
}

impl<'a> Route<'a> {
    /// The route of a path; `None` when it does not belong to playback.
    pub(crate) fn parse(path: &'a str) -> Option<Route<'a>> {
        if let Some(rest) = path.strip_prefix("/hls/") {
            return Self::stream(Tree::Hls, rest);
        }
        if let Some(rest) = path.strip_prefix("/dash/") {
            return Self::stream(Tree::Dash, rest);
        }
        if let Some(name) = path.strip_prefix("/thumb/") {
            let id = name.strip_suffix(".jpg")?;
            return Some(Route::Thumbnail { id });
        }
        (path == "/time").then_some(Route::Time)
    }

    fn stream(tree: Tree, rest: &'a str) -> Option<Route<'a>> {
        let (id, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let (token, rest) = match rest.strip_prefix('~') {
            Some(rest) => {
                let (token, rest) = rest.split_once('/').unwrap_or((rest, ""));
                (Some(token), rest)
            }
            None => (None, rest),
        };
        let file = match (tree, rest) {
            (Tree::Hls, "index.m3u8") => File::Multivariant,
            (Tree::Dash, "manifest.mpd") => File::Mpd(Mode::Standard),
            (Tree::Dash, "ll.mpd") => File::Mpd(Mode::LowLatency),
            (_, "beacon") => File::Beacon,
            _ => file(tree, rest),
        };
        Some(Route::Stream {
            tree,
            id,
            token,
            file,
        })
    }

    pub(crate) fn is_beacon(&self) -> bool {
        matches!(
            self,
            Route::Stream {
                file: File::Beacon,
                ..
            }
        )
    }
}

fn file(tree: Tree, rest: &str) -> File<'_> {
    let Some((rendition, name)) = rest.split_once('/') else {
        return File::Unknown;
    };
    if rendition.is_empty() || rendition.len() > MAX_RENDITION_NAME {
        return File::Unknown;
    }
    if tree == Tree::Hls && name == "index.m3u8" {
        return File::Playlist(rendition);
    }
    if let Some(stem) = name.strip_suffix(".m4s") {
        let (part, digits) = match stem.strip_prefix('p') {
            Some(digits) => (true, digits),
            None => (false, stem),
        };
        return match number(digits) {
            Some(number) if part => File::Media(rendition, Resource::Part(number)),
            Some(number) => File::Media(rendition, Resource::Segment(number)),
            None => File::Unknown,
        };
    }
    if name.starts_with("init-") && name.ends_with(".mp4") && !name.contains('/') {
        return File::Media(rendition, Resource::Init(name));
    }
    File::Unknown
}

/// A number in its only form: no sign, no leading zero, so that a resource has one URL.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = plain && (digits.len() == 1 || !digits.starts_with('0'));
    canonical.then(|| digits.parse().ok()).flatten()
}

/// A stream id in its only form: 36 characters, lower case.
pub(crate) fn stream_id(text: &str) -> Option<Uuid> {
    let canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    canonical.then(|| Uuid::try_parse(text).ok()).flatten()
}

/// Text with its percent signs resolved; `None` when that is not UTF-8 or holds control characters.
pub(crate) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match tail {
            [high, low, after @ ..] if first == b'%' => {
                bytes.push(hex(*high)? << 4 | hex(*low)?);
                rest = after;
            }
            _ if first == b'%' => return None,
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    let decoded = String::from_utf8(bytes).ok()?;
    (!decoded.contains(char::is_control)).then_some(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn below(path: &str) -> File<'_> {
        match Route::parse(path) {
            Some(Route::Stream { file, .. }) => file,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_playback_url_has_its_route() {
        assert_eq!(Route::parse("/time"), Some(Route::Time));
        assert_eq!(
            Route::parse("/thumb/x.jpg"),
            Some(Route::Thumbnail { id: "x" })
        );
        assert_eq!(below("/hls/x/index.m3u8"), File::Multivariant);
        assert_eq!(below("/hls/x/hd/index.m3u8"), File::Playlist("hd"));
        assert_eq!(below("/dash/x/manifest.mpd"), File::Mpd(Mode::Standard));
        assert_eq!(below("/dash/x/ll.mpd"), File::Mpd(Mode::LowLatency));
        for tree in ["hls", "dash"] {
            let media = |name| format!("/{tree}/x/hd/{name}");
            assert_eq!(
                below(&media("17.m4s")),
                File::Media("hd", Resource::Segment(17))
            );
            assert_eq!(
                below(&media("p0.m4s")),
                File::Media("hd", Resource::Part(0))
            );
            assert_eq!(
                below(&media("init-5f1c.mp4")),
                File::Media("hd", Resource::Init("init-5f1c.mp4"))
            );
        }
    }

    #[test]
    fn a_token_is_cut_out_of_the_path() {
        let path = format!("/hls/{ID}/~abc.def/hd/p7.m4s");
        let route = Route::parse(&path).unwrap();
        let expected = Route::Stream {
            tree: Tree::Hls,
            id: ID,
            token: Some("abc.def"),
            file: File::Media("hd", Resource::Part(7)),
        };
        assert_eq!(route, expected);
    }

    #[test]
    fn a_resource_has_one_url() {
        for name in [
            "017.m4s",
            "+7.m4s",
            "p.m4s",
            ".m4s",
            "99999999999999999999.m4s",
            "-1.m4s",
        ] {
            assert_eq!(below(&format!("/hls/x/hd/{name}")), File::Unknown, "{name}");
        }
        assert_eq!(below("/hls/x/hd/init-a/b.mp4"), File::Unknown);
        assert!(stream_id(ID).is_some());
        assert!(stream_id(&ID.to_uppercase()).is_none());
        assert!(stream_id(&ID.replace('-', "")).is_none());
    }

    #[test]
    fn other_paths_are_left_to_the_fallback() {
        for path in ["/", "/hls", "/api/x", "/timer", "/thumb/x.png", "/watch/x"] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }

    #[test]
    fn percent_signs_are_resolved_or_refused() {
        assert_eq!(percent_decoded("eu%23app%23live").unwrap(), "eu#app#live");
        for bad in ["%", "%2", "%zz", "%ff", "a%00"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
