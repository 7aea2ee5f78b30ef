//! RTMP commands that encoders send, and our answers, as AMF0 bodies.
//!
//! Sources: Adobe "RTMP 1.0" §7.2; Veovera "Enhanced RTMP v2" ("Enhancing NetConnection connect
//! Command") for the capabilities.

use crate::format::flv::amf0::{self, Value, object};

/// Longest application name kept.
const MAX_APPLICATION_CHARS: usize = 128;
/// "FourCcInfoMask.CanForward": what arrives is handed on as it is.
const CAN_FORWARD: f64 = 4.0;
/// "CapsExMask.ModEx": modifiers are understood (and passed over).
const CAPS_EX: f64 = 4.0;
const VIDEO_FOUR_CCS: [&str; 3] = ["avc1", "hvc1", "av01"];
const AUDIO_FOUR_CCS: [&str; 2] = ["mp4a", "Opus"];

/// A command message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) name: String,
    /// Zero: no answer is expected.
    pub(super) transaction: f64,
    /// The command object.
    object: Value,
    /// What comes after it.
    arguments: Vec<Value>,
}

impl Command {
    /// Reads a command; `None` when it has no name.
    pub(super) fn parse(body: &[u8]) -> Result<Option<Command>, amf0::Error> {
        let mut values = amf0::decode(body)?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Ok(None);
        };
        let transaction = values.next().and_then(|value| value.as_number());
        Ok(Some(Command {
            name,
            transaction: transaction.unwrap_or(0.0),
            object: values.next().unwrap_or(Value::Null),
            arguments: values.collect(),
        }))
    }

    /// A number among the arguments.
    pub(super) fn number(&self, index: usize) -> Option<f64> {
        match self.arguments.get(index) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A string among the arguments.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        self.arguments.get(index).and_then(Value::as_str)
    }

    /// `app` of a connect, without its query.
    pub(super) fn application(&self) -> String {
        let app = self.object.get("app").and_then(Value::as_str);
        let app = app.unwrap_or_default();
        let path = app.split('?').next().unwrap_or_default();
        path.chars().take(MAX_APPLICATION_CHARS).collect()
    }

    /// Whether a connect speaks Enhanced RTMP. Others are answered in the words they know.
    fn is_enhanced(&self) -> bool {
        [
            "fourCcList",
            "videoFourCcInfoMap",
            "audioFourCcInfoMap",
            "capsEx",
        ]
        .iter()
        .any(|name| self.object.get(name).is_some())
    }
}

/// The answer to `connect`.
pub(super) fn connected(connect: &Command) -> Vec<u8> {
    let mut properties = vec![
        // The version that librtmp and Flash-era encoders look for.
        ("fmsVer".to_owned(), "FMS/3,0,1,123".into()),
        ("capabilities".to_owned(), 31.0.into()),
    ];
    if connect.is_enhanced() {
        let four_ccs = VIDEO_FOUR_CCS.iter().chain(&AUDIO_FOUR_CCS);
        let list = four_ccs.map(|name| Value::from(*name)).collect();
        let map = |names: &[&str]| {
            let entry = |name: &&str| ((*name).to_owned(), Value::Number(CAN_FORWARD));
            Value::Object(names.iter().map(entry).collect())
        };
        properties.extend([
            ("fourCcList".to_owned(), Value::StrictArray(list)),
            ("videoFourCcInfoMap".to_owned(), map(&VIDEO_FOUR_CCS)),
            ("audioFourCcInfoMap".to_owned(), map(&AUDIO_FOUR_CCS)),
            ("capsEx".to_owned(), CAPS_EX.into()),
        ]);
    }
    amf0::encode(&[
        "_result".into(),
        connect.transaction.into(),
        Value::Object(properties),
        object([
            ("level", "status".into()),
            ("code", "NetConnection.Connect.Success".into()),
            ("description", "connected".into()),
            ("objectEncoding", 0.0.into()),
        ]),
    ])
}

/// A `_result` with one value.
pub(super) fn result(transaction: f64, value: Value) -> Vec<u8> {
    amf0::encode(&["_result".into(), transaction.into(), Value::Null, value])
}

/// The answer to a command that is not known here.
pub(super) fn unknown(transaction: f64) -> Vec<u8> {
    let info = object([
        ("level", "error".into()),
        ("code", "NetConnection.Call.Failed".into()),
        ("description", "this command is not known here".into()),
    ]);
    amf0::encode(&["_error".into(), transaction.into(), Value::Null, info])
}

/// An `onStatus`. Its transaction is zero: no answer is expected.
pub(super) fn status(level: &str, code: &str, description: &str) -> Vec<u8> {
    let info = object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ]);
    amf0::encode(&["onStatus".into(), 0.0.into(), Value::Null, info])
}

/// `onFCPublish`, for which encoders of the Flash family wait after their FCPublish.
pub(super) fn fc_publish(description: &str) -> Vec<u8> {
    let info = object([
        ("code", "NetStream.Publish.Start".into()),
        ("description", description.into()),
    ]);
    amf0::encode(&["onFCPublish".into(), 0.0.into(), Value::Null, info])
}
