//! Bodies of requests: JSON objects, read field by field, so that a refusal names the field. Unknown
//! fields are ignored, wrong types are not.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Error;

/// Words in a list: capabilities, tags, options. Nobody names more.
const MAX_WORDS: usize = 64;
/// Bytes of one of them, and of other short texts.
pub(super) const MAX_WORD_BYTES: usize = 256;

/// A JSON value in which no object has a key twice: readers would not agree on what it says.
struct Unique(Value);

/// A JSON object and where it is, for sentences.
#[derive(Debug)]
pub(in crate::control) struct Fields {
    path: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// Reads a body that must be there.
    pub(in crate::control) fn parse(body: &[u8]) -> Result<Fields, Error> {
        // RFC 8259 §8.1: a byte order mark may be ignored, and some libraries write one.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        // Nesting is bounded by serde_json: 128 levels.
        let Unique(value) = serde_json::from_slice(body)
            .map_err(|error| Error::Bad(format!("the body is not JSON: {error}")))?;
        match value {
            Value::Object(fields) => Ok(Fields {
                path: String::new(),
                fields,
            }),
            _ => Err(Error::Bad("the body is not an object".to_owned())),
        }
    }

    /// Reads a body that may be left out.
    pub(in crate::control) fn parse_optional(body: &[u8]) -> Result<Fields, Error> {
        match body.trim_ascii() {
            [] | b"null" => Fields::parse(b"{}"),
            body => Fields::parse(body),
        }
    }

    /// Fields that came in another form than JSON.
    pub(in crate::control) fn of(fields: Map<String, Value>) -> Fields {
        Fields {
            path: String::new(),
            fields,
        }
    }

    /// Takes fields that are null for fields that are not there, as writers of optional values mean it.
    pub(in crate::control) fn without_nulls(mut self) -> Fields {
        self.fields.retain(|_, value| !value.is_null());
        self
    }

    /// Whether something is so; may be left out.
    pub(in crate::control) fn flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// The JSON of an object whose fields are nobody's business; may be left out.
    pub(in crate::control) fn opaque(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(value.to_string())),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    /// A field and its name in sentences; taken, so that nothing is copied.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    /// What a field is called in sentences.
    pub(in crate::control) fn name(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    fn wrong(&self, name: &str, wanted: &str) -> Error {
        Error::Bad(format!("{} is not {wanted}", self.name(name)))
    }

    /// The refusal of a request without a field.
    fn missing(&self, name: &str) -> Error {
        Error::Bad(format!("{} is missing", self.name(name)))
    }

    /// An object that may be left out.
    pub(in crate::control) fn object(&mut self, name: &str) -> Result<Option<Fields>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Fields {
                path: self.name(name),
                fields,
            })),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    /// An object that must be there.
    pub(in crate::control) fn need_object(&mut self, name: &str) -> Result<Fields, Error> {
        self.object(name)?.ok_or_else(|| self.missing(name))
    }

    /// Objects that must be there, at most so many.
    pub(in crate::control) fn need_objects(
        &mut self,
        name: &str,
        most: usize,
    ) -> Result<Vec<Fields>, Error> {
        let values = match self.take(name) {
            None => return Err(self.missing(name)),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(self.wrong(name, "an array of objects")),
        };
        let name = self.name(name);
        if values.len() > most {
            return Err(Error::TooLarge(format!(
                "{name} has more than {most} objects"
            )));
        }
        let objects = values.into_iter().enumerate().map(|(at, value)| {
            let path = format!("{name}[{at}]");
            match value {
                Value::Object(fields) => Ok(Fields { path, fields }),
                _ => Err(Error::Bad(format!("{path} is not an object"))),
            }
        });
        objects.collect()
    }

    /// A text that may be left out.
    pub(in crate::control) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(Error::Bad(format!("{} holds a zero byte", self.name(name))))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    /// A text that must be there.
    pub(in crate::control) fn need_text(&mut self, name: &str) -> Result<String, Error> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text that must be there, of one line of bounded length.
    pub(in crate::control) fn need_line(&mut self, name: &str) -> Result<String, Error> {
        let text = self.need_text(name)?;
        self.check_line(name, &text)?;
        Ok(text)
    }

    fn check_line(&self, name: &str, text: &str) -> Result<(), Error> {
        check_line(&self.name(name), text)
    }

    /// A text of one line that may be left out.
    pub(in crate::control) fn line(&mut self, name: &str) -> Result<Option<String>, Error> {
        let text = self.text(name)?;
        if let Some(text) = &text {
            self.check_line(name, text)?;
        }
        Ok(text)
    }

    /// Words that may be left out.
    pub(in crate::control) fn words(&mut self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let values = match self.take(name) {
            None => return Ok(None),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(self.wrong(name, "an array of texts")),
        };
        if values.len() > MAX_WORDS {
            let name = self.name(name);
            return Err(Error::Bad(format!(
                "{name} has more than {MAX_WORDS} texts"
            )));
        }
        let mut words = Vec::with_capacity(values.len());
        for value in values {
            let Value::String(word) = value else {
                return Err(self.wrong(name, "an array of texts"));
            };
            self.check_line(name, &word)?;
            words.push(word);
        }
        Ok(Some(words))
    }

    /// Texts of any kind that must be there. Who calls bounds their length; the body bounds their number.
    pub(in crate::control) fn need_texts(&mut self, name: &str) -> Result<Vec<String>, Error> {
        let wrong = |fields: &Fields| fields.wrong(name, "an array of texts");
        let values = match self.take(name) {
            None => return Err(self.missing(name)),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(wrong(self)),
        };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::String(text) if text.contains('\0') => {
                    let name = self.name(name);
                    return Err(Error::Bad(format!("{name} holds a zero byte")));
                }
                Value::String(text) => texts.push(text),
                _ => return Err(wrong(self)),
            }
        }
        Ok(texts)
    }

    /// Words that must be there.
    pub(in crate::control) fn need_words(&mut self, name: &str) -> Result<Vec<String>, Error> {
        self.words(name)?.ok_or_else(|| self.missing(name))
    }

    /// Options of a call: words of this list only, each of them or not.
    pub(in crate::control) fn options<const N: usize>(
        &mut self,
        known: [&str; N],
    ) -> Result<[bool; N], Error> {
        let words = self.words("options")?.unwrap_or_default();
        match words.iter().find(|word| !known.contains(&word.as_str())) {
            Some(_) => Err(Error::Bad(format!(
                "options holds a word other than {}",
                known.join(", ")
            ))),
            None => Ok(known.map(|option| words.iter().any(|word| word == option))),
        }
    }

    /// A whole number that must be there, in any form: `1`, `1.0` and `1e0` are the same (JSON Schema
    /// 2020-12, §4.2.3).
    pub(in crate::control) fn need_integer(&mut self, name: &str) -> Result<i64, Error> {
        let value = self.take(name).ok_or_else(|| self.missing(name))?;
        let number = value.as_i64().or_else(|| exact(value.as_f64()?));
        number.ok_or_else(|| self.wrong(name, "a whole number"))
    }

    /// A number of at least zero that may be left out.
    pub(in crate::control) fn number(&mut self, name: &str) -> Result<Option<Number>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) if number.as_f64().is_some_and(|n| n >= 0.0) => {
                Ok(Some(number))
            }
            Some(_) => Err(self.wrong(name, "a number of 0 or more")),
        }
    }

    /// Whether a field is there, whatever it is.
    pub(in crate::control) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Whether a field is there and a text.
    pub(in crate::control) fn is_text(&self, name: &str) -> bool {
        matches!(self.fields.get(name), Some(Value::String(_)))
    }
}

/// Refuses what is no text of one line of bounded length.
pub(super) fn check_line(name: &str, text: &str) -> Result<(), Error> {
    if text.len() > MAX_WORD_BYTES {
        return Err(Error::Bad(format!(
            "{name} is longer than {MAX_WORD_BYTES} bytes"
        )));
    }
    match text.chars().any(char::is_control) {
        true => Err(Error::Bad(format!("{name} holds a control character"))),
        false => Ok(()),
    }
}

/// The whole number that a floating one is, up to where all of them can be written as one.
fn exact(number: f64) -> Option<i64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0; // 2^53
    let is_whole = number.fract() == 0.0 && number.abs() <= LARGEST;
    is_whole.then_some(number as i64)
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Unique, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(value)) = values.next_element()? {
            array.push(value);
        }
        Ok(Unique(Value::Array(array)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unique, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unique(value))) = fields.next_entry::<String, Unique>()? {
            if map.insert(key, value).is_some() {
                return Err(serde::de::Error::custom("a key is there twice"));
            }
        }
        Ok(Unique(Value::Object(map)))
    }
}
