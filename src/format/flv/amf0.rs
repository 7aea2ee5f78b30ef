//! AMF0, the notation of RTMP commands and FLV metadata. In: bytes of one message. Out: values.
//!
//! A peer that is not authenticated yet writes these bytes, so the reader is bounded in size, depth
//! and number of values, and references are told, not followed (a reference to a parent would make
//! a small message a tree without end).
//!
//! Source: Adobe "Action Message Format, AMF 0" (2007), §2.

/// Longest AMF0 message taken. A connect with everything in it is below 2 KiB, metadata below 4 KiB.
pub const MAX_SIZE_BYTES: usize = 64 * 1024;
/// Deepest nesting taken. Real messages have 3 levels; each one is a call on the stack.
pub const MAX_DEPTH: usize = 16;
/// Values in one message. Bounds memory: one byte on the wire can be a value of some 40 bytes here.
pub const MAX_VALUES: usize = 4096;

/// One AMF0 value. Names are in the order of the wire; a name may occur twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// 0x00
    Number(f64),
    /// 0x01
    Boolean(bool),
    /// 0x02, 0x0c (long) and 0x0f (XML document). Bytes that are not UTF-8 are replaced.
    String(String),
    /// 0x03, and 0x10 (typed object, whose class name is dropped).
    Object(Vec<(String, Value)>),
    /// 0x08
    EcmaArray(Vec<(String, Value)>),
    /// 0x0a
    StrictArray(Vec<Value>),
    /// 0x0b: milliseconds since 1970-01-01 UTC.
    Date(f64),
    /// 0x07: the index of an object or array that came before in the same message. Not followed.
    Reference(u16),
    /// 0x05
    Null,
    /// 0x06, and 0x0d (a type that the writer could not express).
    Undefined,
}

/// Why bytes are not AMF0 that is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The message ends inside a value.
    #[error("amf0 ends at byte {at} inside {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// A type that has no meaning on the wire (movie clip, record set) or switches to AMF3.
    #[error("amf0 type {marker:#04x} at byte {at} is not supported")]
    Type {
        /// The type byte.
        marker: u8,
        /// Offset in bytes.
        at: usize,
    },
    /// Longer than [`MAX_SIZE_BYTES`].
    #[error("amf0 message of {0} bytes above limit {MAX_SIZE_BYTES}")]
    Size(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("amf0 nesting above limit {MAX_DEPTH} at byte {0}")]
    Depth(usize),
    /// More values than [`MAX_VALUES`].
    #[error("amf0 values above limit {MAX_VALUES} at byte {0}")]
    Values(usize),
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number, a boolean as 0 or 1, or the number that a string spells (some encoders write
    /// metadata so).
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Boolean(flag) => Some(f64::from(u8::from(*flag))),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The named values of an object or an ECMA array; empty for everything else.
    pub fn properties(&self) -> &[(String, Value)] {
        match self {
            Value::Object(properties) | Value::EcmaArray(properties) => properties,
            _ => &[],
        }
    }

    /// The value of the first property called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.properties().iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    }

    /// Appends the value as the wire has it. Strings and names are cut to 65,535 bytes, which no
    /// text that this program writes comes near.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Number(number) => {
                out.push(0x00);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Boolean(flag) => out.extend_from_slice(&[0x01, u8::from(*flag)]),
            Value::String(text) => {
                out.push(0x02);
                write_text(text, out);
            }
            Value::Object(properties) => {
                out.push(0x03);
                write_properties(properties, out);
            }
            Value::EcmaArray(properties) => {
                out.push(0x08);
                let count = u32::try_from(properties.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&count.to_be_bytes());
                write_properties(properties, out);
            }
            Value::StrictArray(values) => {
                out.push(0x0a);
                let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&count.to_be_bytes());
                for value in values {
                    value.write(out);
                }
            }
            Value::Date(millis) => {
                out.push(0x0b);
                out.extend_from_slice(&millis.to_be_bytes());
                out.extend_from_slice(&[0, 0]);
            }
            Value::Reference(index) => {
                out.push(0x07);
                out.extend_from_slice(&index.to_be_bytes());
            }
            Value::Null => out.push(0x05),
            Value::Undefined => out.push(0x06),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

/// An object of `properties`.
pub fn object<const N: usize>(properties: [(&str, Value); N]) -> Value {
    Value::Object(
        properties
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
    )
}

/// The values as one message body.
pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for value in values {
        value.write(&mut out);
    }
    out
}

/// Reads all values of a message.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    if bytes.len() > MAX_SIZE_BYTES {
        return Err(Error::Size(bytes.len()));
    }
    let mut reader = Reader {
        bytes,
        at: 0,
        values: 0,
    };
    let mut values = Vec::new();
    while reader.at < bytes.len() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

/// The first value, if it is a short string: the name of a command, without reading the rest.
pub fn first_string(bytes: &[u8]) -> Option<&str> {
    let (&marker, rest) = bytes.split_first()?;
    let length = usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
    let text = rest.get(2..2 + length)?;
    (marker == 0x02).then(|| std::str::from_utf8(text).ok())?
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

fn write_properties(properties: &[(String, Value)], out: &mut Vec<u8>) {
    for (name, value) in properties {
        write_text(name, out);
        value.write(out);
    }
    // §2.5: an empty name and the object-end marker.
    out.extend_from_slice(&[0, 0, 0x09]);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count);
        let found = end.and_then(|end| self.bytes.get(self.at..end));
        let found = found.ok_or(Error::Truncated { what, at: self.at })?;
        self.at += count;
        Ok(found)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let bytes = self.take(N, what)?;
        Ok(bytes.try_into().expect("take gave N bytes"))
    }

    fn number(&mut self) -> Result<f64, Error> {
        Ok(f64::from_be_bytes(self.array("number")?))
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = usize::from(u16::from_be_bytes(self.array("string length")?));
        let bytes = self.take(length, "string")?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn long_text(&mut self) -> Result<String, Error> {
        let length = u32::from_be_bytes(self.array("long string length")?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = self.take(length, "long string")?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let start = self.at;
        self.values += 1;
        if depth > MAX_DEPTH {
            return Err(Error::Depth(start));
        }
        if self.values > MAX_VALUES {
            return Err(Error::Values(start));
        }
        let [marker] = self.array("type")?;
        Ok(match marker {
            0x00 => Value::Number(self.number()?),
            0x01 => Value::Boolean(self.array::<1>("boolean")? != [0]),
            0x02 => Value::String(self.text()?),
            0x03 => Value::Object(self.object(depth)?),
            0x05 => Value::Null,
            0x06 | 0x0d => Value::Undefined,
            0x07 => Value::Reference(u16::from_be_bytes(self.array("reference")?)),
            0x08 => {
                // §2.10: the count is a hint, the object-end marker decides.
                self.array::<4>("array count")?;
                Value::EcmaArray(self.object(depth)?)
            }
            0x0a => {
                let count = u32::from_be_bytes(self.array("array count")?);
                // The count is the peer's word: the list grows only as values are really there.
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::StrictArray(values)
            }
            0x0b => {
                let millis = self.number()?;
                // §2.13: the time zone is reserved and shall be zero.
                self.array::<2>("time zone")?;
                Value::Date(millis)
            }
            0x0c | 0x0f => Value::String(self.long_text()?),
            0x10 => {
                self.text()?;
                Value::Object(self.object(depth)?)
            }
            _ => return Err(Error::Type { marker, at: start }),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut properties = Vec::new();
        loop {
            // Some encoders leave the end marker of the last array out.
            if self.at == self.bytes.len() && depth == 0 {
                return Ok(properties);
            }
            let name = self.text()?;
            if name.is_empty() && self.bytes.get(self.at) == Some(&0x09) {
                self.at += 1;
                return Ok(properties);
            }
            properties.push((name, self.value(depth + 1)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Value> {
        vec![
            "onMetaData".into(),
            Value::EcmaArray(vec![
                ("framerate".to_owned(), 29.97.into()),
                ("stereo".to_owned(), Value::Boolean(true)),
                ("encoder".to_owned(), "Lavf59.27.100".into()),
                ("creationdate".to_owned(), Value::Date(1.7e12)),
                (
                    "trackinfo".to_owned(),
                    Value::StrictArray(vec![
                        object([("timescale", 1000.0.into())]),
                        Value::Reference(0),
                        Value::Null,
                        Value::Undefined,
                    ]),
                ),
            ]),
        ]
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        assert_eq!(decode(&encode(&sample())).unwrap(), sample());
    }

    #[test]
    fn every_type_on_the_wire_is_read() {
        let bytes = [
            &[0x00, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0][..],
            &[0x01, 2],
            &[0x02, 0, 2, b'h', b'i'],
            &[0x03, 0, 1, b'a', 0x05, 0, 0, 9],
            &[0x05],
            &[0x06],
            &[0x07, 0, 3],
            &[0x08, 0, 0, 0, 9, 0, 1, b'b', 0x06, 0, 0, 9],
            &[0x0a, 0, 0, 0, 2, 0x05, 0x01, 0],
            &[0x0b, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x0c, 0, 0, 0, 1, b'L'],
            &[0x0d],
            &[0x0f, 0, 0, 0, 4, b'<', b'x', b'/', b'>'],
            &[0x10, 0, 1, b'C', 0, 1, b'a', 0x05, 0, 0, 9],
        ]
        .concat();
        assert_eq!(
            decode(&bytes).unwrap(),
            [
                Value::Number(1.0),
                Value::Boolean(true),
                "hi".into(),
                object([("a", Value::Null)]),
                Value::Null,
                Value::Undefined,
                Value::Reference(3),
                Value::EcmaArray(vec![("b".to_owned(), Value::Undefined)]),
                Value::StrictArray(vec![Value::Null, Value::Boolean(false)]),
                Value::Date(2.0),
                "L".into(),
                Value::Undefined,
                "<x/>".into(),
                object([("a", Value::Null)]),
            ]
        );
    }

    #[test]
    fn types_without_meaning_are_named_with_their_place() {
        for marker in [0x04, 0x09, 0x0e, 0x11, 0x12, 0xff] {
            assert_eq!(
                decode(&[0x05, marker]),
                Err(Error::Type { marker, at: 1 }),
                "{marker:#x}"
            );
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_or_a_shorter_message_but_never_a_panic() {
        let bytes = encode(&sample());
        for end in 0..bytes.len() {
            if let Ok(values) = decode(&bytes[..end]) {
                assert!(values.len() <= 2);
            }
        }
        assert!(matches!(decode(&bytes[..4]), Err(Error::Truncated { .. })));
    }

    #[test]
    fn nesting_is_bounded_whatever_it_is_made_of() {
        let nests: [&[u8]; 4] = [
            &[0x03, 0, 1, b'x'],
            &[0x08, 0, 0, 0, 1, 0, 1, b'x'],
            &[0x0a, 0, 0, 0, 1],
            &[0x10, 0, 1, b'C', 0, 1, b'x'],
        ];
        for nest in nests {
            let bomb = nest.repeat(40_000 / nest.len());
            assert!(matches!(decode(&bomb), Err(Error::Depth(_))), "{nest:?}");
            let mut fits = nest.repeat(MAX_DEPTH);
            fits.push(0x05);
            assert!(!matches!(decode(&fits), Err(Error::Depth(_))), "{nest:?}");
        }
    }

    #[test]
    fn stated_counts_and_lengths_cost_nothing_until_the_bytes_are_there() {
        let array = [0x0a, 0xff, 0xff, 0xff, 0xff, 0x05];
        assert!(matches!(decode(&array), Err(Error::Truncated { .. })));
        let text = [0x0c, 0xff, 0xff, 0xff, 0xff, b'a'];
        assert!(matches!(decode(&text), Err(Error::Truncated { .. })));
        assert!(matches!(decode(&vec![0x05; 65_536]), Err(Error::Values(_))));
        assert_eq!(decode(&vec![0x05; 65_537]), Err(Error::Size(65_537)));
    }

    #[test]
    fn the_name_of_a_command_is_read_without_the_rest() {
        assert_eq!(first_string(&encode(&sample())), Some("onMetaData"));
        for bytes in [&b""[..], &[0x02], &[0x02, 0, 9, b'a'], &[0x05, 0, 0]] {
            assert_eq!(first_string(bytes), None);
        }
    }
}
