//! What the head of a watch page says of a broadcast or a scheduled event: title, description and picture, for
//! tabs, search engines and whoever shares the link. In: an id. Out: HTML in which every text is escaped. Of
//! private broadcasts nothing is said.

use std::fmt::Write;

use axum::http::request::Parts;

use crate::base::id::Uuid;
use crate::control::State;
use crate::control::api::address::Bases;
use crate::control::api::viewer::{poster, run};
use crate::store::{Error, Visibility};

/// What stands in the page for streams that are no broadcasts.
const TITLE: &str = "<title>Live · Forebay</title>";
/// Characters of a description that are shown where links are shared.
const MAX_DESCRIPTION: usize = 300;

/// What a head is made of.
struct Shown {
    title: String,
    description: Option<String>,
    stream: Uuid,
    poster: Option<String>,
    visibility: Visibility,
}

/// What an id leads to: a broadcast, or a run of a scheduled event that has none yet.
async fn find(state: &State, id: &str) -> Result<Option<Shown>, Error> {
    let store = &state.setup().store;
    let (broadcast, run) = match store.find_broadcast(id).await? {
        Some(broadcast) => (Some(broadcast), None),
        None => match run::find(state, id).await? {
            Some(run) => (
                store.find_broadcast(&run.stream.to_string()).await?,
                Some(run),
            ),
            None => return Ok(None),
        },
    };
    if let Some(found) = broadcast {
        let poster = poster(state, &found).await.ok().flatten();
        return Ok(Some(Shown {
            title: found.title,
            description: found.description,
            stream: found.stream_id,
            poster,
            visibility: found.visibility,
        }));
    }
    Ok(run.map(|run| Shown {
        title: run.event.title,
        description: run.event.description,
        stream: run.stream,
        poster: None,
        visibility: Visibility::Public,
    }))
}

/// The head for an id, if it is that of something which is shown to everybody who has it.
pub(super) async fn of(state: &State, id: &str, parts: &Parts) -> Option<String> {
    // The page does without it when the database does not answer; the log says why.
    let found = find(state, id).await.ok()??;
    if found.visibility == Visibility::Private {
        return None;
    }
    let bases = Bases::of(state, parts);
    let stream = found.stream;
    let title = escaped(&found.title);
    let mut head = format!("<title>{title} · Forebay</title>");
    let mut meta = |kind: &str, name: &str, content: &str| {
        // Writing to memory does not fail.
        let _ = write!(head, "\n<meta {kind}=\"{name}\" content=\"{content}\">");
    };
    // Tells the page's script that there is more to ask for.
    meta("name", "forebay-broadcast", &stream.to_string());
    meta("property", "og:type", "video.other");
    meta("property", "og:site_name", "Forebay");
    meta("property", "og:title", &title);
    meta("property", "og:url", &escaped(&bases.watch_url(stream)));
    if let Some(text) = &found.description {
        let words: Vec<&str> = text.split_whitespace().collect();
        let text: String = words.join(" ").chars().take(MAX_DESCRIPTION).collect();
        let text = escaped(&text);
        meta("name", "description", &text);
        meta("property", "og:description", &text);
    }
    if let Some(path) = found.poster {
        let address = format!("{}{path}", bases.web);
        meta("property", "og:image", &escaped(&address));
        meta("name", "twitter:card", "summary_large_image");
    }
    if found.visibility == Visibility::Unlisted {
        meta("name", "robots", "noindex");
    }
    Some(head)
}

/// The page with this head.
pub(super) fn put(page: &[u8], head: &str) -> String {
    String::from_utf8_lossy(page).replacen(TITLE, head, 1)
}

/// Text as it stands in HTML, between tags and between quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
