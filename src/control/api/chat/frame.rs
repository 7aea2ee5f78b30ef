//! Frames of a chat (contract, broadcasts, section 6, decision B-37). In: what a client wrote. Out: what it
//! says; and the text of what all are told. Pure.

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;

use crate::base::id::Uuid;
use crate::control::api::Error;
use crate::control::api::time::seconds;
use crate::control::api::viewer::pass::is_guest;
use crate::control::pcast::Fields;
use crate::store::Chat;

/// Bytes of a frame that is taken: a message of the longest text, all of it escaped. Larger ones end the
/// connection.
pub(super) const MAX_FRAME_BYTES: usize = 16 << 10;
/// Characters of a message: a screen of a phone.
const MAX_MESSAGE_CHARACTERS: usize = 1000;
/// Characters of a name or an id, which clients show in one line.
const MAX_NAME_CHARACTERS: usize = 64;
/// Characters of a reaction: a word, or an emoji of several parts.
const MAX_REACTION_CHARACTERS: usize = 32;
/// Words for the field of a reaction; `type` is one where the frame has no other use for it (decision B-36).
const REACTION: [&str; 3] = ["reaction", "emoji", "kind"];

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) what: What,
    /// As the client gives it; who signed in has another.
    pub(super) user_id: Option<String>,
    /// The same.
    pub(super) user_name: Option<String>,
}

/// It is kept, or told and forgotten.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    Message(String),
    Reaction(String),
}

/// What clients are told.
#[derive(Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub(super) enum Frame<'a> {
    Message {
        id: String,
        stream_id: String,
        user_id: &'a str,
        user_name: &'a str,
        /// Nobody vouches for the name.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        guest: bool,
        message: &'a str,
        timestamp: String,
    },
    Reaction {
        stream_id: String,
        user_id: &'a str,
        user_name: &'a str,
        reaction: &'a str,
        timestamp: String,
    },
    Status {
        stream_id: String,
        status: &'static str,
    },
    Viewers {
        stream_id: String,
        viewers: u64,
    },
    Error {
        code: u16,
        message: String,
    },
}

impl Frame<'_> {
    /// As it is sent; its copies share it.
    pub(super) fn text(&self) -> Utf8Bytes {
        let text = serde_json::to_string(self);
        text.expect("a frame is JSON").into()
    }
}

/// A kept message.
pub(super) fn message(stream: Uuid, chat: &Chat) -> Frame<'_> {
    Frame::Message {
        id: chat.id.to_string(),
        stream_id: stream.to_string(),
        user_id: chat.content.user_id.as_deref().unwrap_or_default(),
        user_name: &chat.content.user_name,
        guest: chat.content.user_id.as_deref().is_some_and(is_guest),
        message: &chat.content.message,
        timestamp: seconds(chat.sent),
    }
}

/// Why one was not taken.
pub(super) fn refusal(error: &Error) -> Frame<'static> {
    Frame::Error {
        code: error.code().as_u16(),
        message: error.to_string(),
    }
}

/// Reads a text frame: a JSON object, or else it is the message itself.
pub(super) fn read(text: &str) -> Result<Said, Error> {
    let fields = text
        .trim_start()
        .starts_with('{')
        .then(|| Fields::parse(text.as_bytes()));
    let Some(Ok(mut fields)) = fields else {
        return Ok(Said {
            what: What::Message(checked_message(text)?),
            user_id: None,
            user_name: None,
        });
    };
    let kind = fields.text("type")?;
    let what = match kind.as_deref() {
        None | Some("message") => What::Message(checked_message(&fields.need_text("message")?)?),
        Some("reaction") => What::Reaction(reaction(&mut fields, &REACTION)?),
        Some(_) => {
            return Err(Error::Bad(
                "type is neither message nor reaction".to_owned(),
            ));
        }
    };
    Ok(Said {
        what,
        user_id: name(&mut fields, "userId")?,
        user_name: name(&mut fields, "userName")?,
    })
}

/// The reaction of a request's body.
pub(super) fn read_reaction(body: &[u8]) -> Result<Said, Error> {
    let mut fields = Fields::parse(body)?;
    let what = reaction(&mut fields, &["type", "kind", "reaction", "emoji"])?;
    Ok(Said {
        what: What::Reaction(what),
        user_id: name(&mut fields, "userId")?,
        user_name: name(&mut fields, "userName")?,
    })
}

fn checked_message(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let is_wrong = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() {
        return Err(Error::Bad("message is empty".to_owned()));
    }
    if text.chars().count() > MAX_MESSAGE_CHARACTERS {
        return Err(Error::Bad(format!(
            "message is longer than {MAX_MESSAGE_CHARACTERS} characters"
        )));
    }
    match text.chars().any(is_wrong) {
        true => Err(Error::Bad("message holds a control character".to_owned())),
        false => Ok(text.to_owned()),
    }
}

fn reaction(fields: &mut Fields, words: &[&str]) -> Result<String, Error> {
    let mut found = None;
    for word in words {
        found = found.or(short(fields, word, MAX_REACTION_CHARACTERS)?);
    }
    found.ok_or_else(|| Error::Bad(format!("{} is missing", words[0])))
}

fn name(fields: &mut Fields, name: &str) -> Result<Option<String>, Error> {
    short(fields, name, MAX_NAME_CHARACTERS)
}

/// A text of one line; an empty one is none.
fn short(fields: &mut Fields, name: &str, most: usize) -> Result<Option<String>, Error> {
    let text = fields.line(name)?;
    let text = text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > most => Err(Error::Bad(format!(
            "{name} is longer than {most} characters"
        ))),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(message: &str) -> Said {
        Said {
            what: What::Message(message.to_owned()),
            user_id: None,
            user_name: None,
        }
    }

    #[test]
    fn what_is_no_json_object_is_the_message_itself() {
        for text in ["hi", " hi\n", r#""hi""#, "{hi}", "{", "[1]", "7"] {
            assert_eq!(read(text), Ok(plain(text.trim())), "{text}");
        }
        assert_eq!(read(r#"{"message":"hi"}"#), Ok(plain("hi")));
    }

    #[test]
    fn frames_say_what_they_are_and_reactions_have_several_names() {
        let said = read(r#"{"type":"message","message":"hi","userName":"Jo","userId":"u-1"}"#);
        let wanted = Said {
            user_id: Some("u-1".to_owned()),
            user_name: Some("Jo".to_owned()),
            ..plain("hi")
        };
        assert_eq!(said, Ok(wanted));
        let heart = What::Reaction("heart".to_owned());
        for field in ["reaction", "emoji", "kind"] {
            let text = format!(r#"{{"type":"reaction","{field}":"heart"}}"#);
            assert_eq!(read(&text).unwrap().what, heart);
        }
        for field in ["type", "reaction", "emoji", "kind"] {
            let body = format!(r#"{{"{field}":"heart"}}"#);
            assert_eq!(read_reaction(body.as_bytes()).unwrap().what, heart);
        }
    }

    #[test]
    fn what_is_empty_too_long_or_of_the_wrong_kind_is_refused() {
        let long = "x".repeat(MAX_MESSAGE_CHARACTERS + 1);
        assert!(read(&long[1..]).is_ok());
        for text in [
            "",
            " \n",
            "\u{0}",
            "a\u{7}",
            &long,
            r#"{"type":"message"}"#,
            r#"{"type":"message","message":7}"#,
            r#"{"type":"event","message":"hi"}"#,
            r#"{"type":7,"message":"hi"}"#,
            r#"{"type":"reaction"}"#,
            r#"{"type":"reaction","reaction":""}"#,
            r#"{"message":"hi","userName":"a\nb"}"#,
            &format!(r#"{{"message":"hi","userName":"{}"}}"#, &long[..65]),
            &format!(r#"{{"type":"reaction","reaction":"{}"}}"#, &long[..33]),
        ] {
            assert!(matches!(read(text), Err(Error::Bad(_))), "{text}");
        }
        for body in ["", "[]", "{}", r#"{"type":""}"#, r#"{"type":null}"#] {
            assert!(read_reaction(body.as_bytes()).is_err(), "{body}");
        }
    }
}
