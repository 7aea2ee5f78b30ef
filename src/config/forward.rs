//! What settings say of forwards: where they may go, and the `pushes` of a channel of the file.

use std::path::Path;

use super::Error;
use super::file::{Entry, File};
use super::setting::{Field, Setting, setting};
use super::value::read_secret;
use crate::base::push::{MAX_PUSHES, Push};

pub(super) const PRIVATE: Setting = setting(
    "FOREBAY_FORWARD_PRIVATE",
    ("forward", "forward_private"),
    Field::Networks {
        at: |c| &mut c.forward.forward_private,
    },
    "[\"10.0.0.0/8\", \"127.0.0.1\"]",
    "Networks besides the internet to which channels may be pushed by RTMP and WHIP (pushes below).",
);

const ACCEPTED: &str = "a list such as [{ rtmp = \"rtmp://host/app\", key = \"…\" }, { whip = \"https://…\", \
                        token = \"…\" }, { ingress = \"room\" }]";

/// The `pushes` of a channel.
pub(super) fn pushes(
    file: &File<'_>,
    entry: &Entry<'_>,
    read: &dyn Fn(&Path) -> std::io::Result<String>,
) -> Result<Vec<Push>, Error> {
    let refuse = |value: &str, accepted: &str| Error::Value {
        setting: file.place(entry),
        value: value.to_owned(),
        accepted: accepted.to_owned(),
    };
    let items = entry.value.as_array();
    let items = items.ok_or_else(|| refuse("no list", ACCEPTED))?;
    if items.len() > MAX_PUSHES {
        let value = format!("a list of {}", items.len());
        return Err(refuse(&value, &format!("at most {MAX_PUSHES}")));
    }
    let mut pushes: Vec<Push> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let place = |key: &str| match key {
            "" => format!("push {}", number + 1),
            key => format!("{key} of push {}", number + 1),
        };
        let Some(table) = item.get_ref().as_table() else {
            return Err(refuse(&place(""), ACCEPTED));
        };
        let (mut target, mut secret) = (None, None);
        for (key, value) in table {
            let key: &str = key.get_ref();
            let text = value.get_ref().as_str();
            let given = |text: Option<&str>| {
                text.map(str::to_owned)
                    .ok_or_else(|| refuse(&format!("{} that is no text", place(key)), ACCEPTED))
            };
            let twice = match key {
                "rtmp" | "whip" | "ingress" => target.replace((key, given(text)?)).is_some(),
                "key" | "token" => secret.replace((key, given(text)?)).is_some(),
                "key_file" | "token_file" => {
                    let path = given(text)?;
                    let from = format!("{} in {}", place(key), file.place(entry));
                    let text = read_secret(read, &from, Path::new(&path))?;
                    let key = key.trim_end_matches("_file");
                    secret.replace((key, text)).is_some()
                }
                _ => return Err(refuse(&place("an unknown key"), ACCEPTED)),
            };
            if twice {
                return Err(refuse(&place(""), "one kind with one key or token each"));
            }
        }
        let Some((kind, target)) = target else {
            return Err(refuse(&place(""), ACCEPTED));
        };
        if let Some((key, _)) = &secret
            && *key != (if kind == "rtmp" { "key" } else { "token" })
        {
            return Err(refuse(&place(key), "a key for rtmp, a token for whip"));
        }
        let push = Push::parse(
            kind,
            &target,
            secret.as_ref().map(|(_, text)| text.as_str()),
        );
        let push = push.map_err(|error| {
            refuse(
                &format!("{} {}", place(error.field), error.value),
                error.accepted,
            )
        })?;
        if pushes.contains(&push) {
            return Err(refuse(&place(""), "each destination once"));
        }
        pushes.push(push);
    }
    Ok(pushes)
}
