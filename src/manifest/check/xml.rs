//! XML as a tree, by quick-xml.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Nesting that is followed. An MPD needs nine levels.
const MAX_DEPTH: usize = 32;

/// Durations above this (30,000 years) are not read, so that adding to them cannot overflow.
const MAX_SECONDS: f64 = 1e12;

/// An element without its text.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
}

impl Element {
    pub(super) fn parse(text: &str) -> Result<Element, String> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        loop {
            let done = match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) if open.len() > MAX_DEPTH => {
                    return Err(format!("element {start:?} nested too deep"));
                }
                Event::Start(start) => {
                    open.push(Element::start(&start)?);
                    continue;
                }
                Event::Empty(start) => Element::start(&start)?,
                Event::End(_) => open.pop().ok_or("an end too many")?,
                Event::Eof => break,
                _ => continue,
            };
            let parent = open.last_mut().ok_or("an end too many")?;
            parent.children.push(done);
        }
        match (open.pop(), open.pop()) {
            (Some(mut root), None) => root.children.pop().ok_or("no element".to_owned()),
            _ => Err("an element is not closed".to_owned()),
        }
    }

    fn start(start: &BytesStart<'_>) -> Result<Element, String> {
        let mut element = Element {
            name: String::from_utf8_lossy(start.local_name().as_ref()).into_owned(),
            ..Element::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute
                .unescape_value()
                .map_err(|error| error.to_string())?;
            let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            element.attributes.push((key, value.into_owned()));
        }
        Ok(element)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// An `xs:duration` of seconds, minutes and hours, in microseconds.
    pub(super) fn micros(&self, name: &str) -> Option<i64> {
        let mut rest = self.get(name)?.strip_prefix("PT")?;
        let mut seconds = 0.0;
        for (unit, factor) in [('H', 3600.0), ('M', 60.0), ('S', 1.0)] {
            if let Some((number, after)) = rest.split_once(unit) {
                seconds += number.parse::<f64>().ok()? * factor;
                rest = after;
            }
        }
        (rest.is_empty() && seconds < MAX_SECONDS).then_some((seconds * 1e6).round() as i64)
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(super) fn first(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}
