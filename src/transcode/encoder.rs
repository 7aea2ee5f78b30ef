//! Which H.264 encoder is used: a pure function over the elements that exist.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One way to encode H.264: an entry of `[[encoder]]` in `ladders.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// GStreamer element.
    pub element: String,
    /// Debian package that holds it.
    pub package: String,
    /// Whether its output has to pass `h264parse` to become length-prefixed.
    #[serde(default)]
    pub parse: bool,
    /// The only profile it can make; otherwise the rung's.
    #[serde(default)]
    pub profile: Option<String>,
    /// Property values as text, with `{kbps}`, `{bps}`, `{vbv_ms}` and `{vbv_kbit}` to be filled in.
    pub properties: BTreeMap<String, String>,
}

impl Template {
    /// The properties for a rung of `kbps` kilobits per second with a rate buffer of `vbv_ms`.
    pub fn properties_for(&self, kbps: u32, vbv_ms: u32) -> Vec<(String, String)> {
        let vbv_kbit = u64::from(kbps) * u64::from(vbv_ms) / 1000;
        self.properties
            .iter()
            .map(|(name, value)| {
                let value = value
                    .replace("{kbps}", &kbps.to_string())
                    .replace("{bps}", &(u64::from(kbps) * 1000).to_string())
                    .replace("{vbv_ms}", &vbv_ms.to_string())
                    .replace("{vbv_kbit}", &vbv_kbit.to_string());
                (name.clone(), value)
            })
            .collect()
    }
}

/// The first template, in order of preference, whose element is there.
pub fn choose(templates: &[Template], exists: impl Fn(&str) -> bool) -> Option<&Template> {
    templates
        .iter()
        .find(|template| exists(&template.element) && (!template.parse || exists("h264parse")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcode::ladder::Book;

    fn chosen(elements: &[&str]) -> Option<String> {
        choose(&Book::built_in().encoders, |name| elements.contains(&name))
            .map(|template| template.element.clone())
    }

    #[test]
    fn hardware_comes_first_and_software_is_enough() {
        for (elements, expected) in [
            (
                &["x264enc", "nvh264enc", "h264parse"][..],
                Some("nvh264enc"),
            ),
            (&["vah264enc", "x264enc", "h264parse"], Some("vah264enc")),
            (
                &["vaapih264enc", "x264enc", "h264parse"],
                Some("vaapih264enc"),
            ),
            (&["vah264enc", "nvh264enc", "h264parse"], Some("nvh264enc")),
            (&["openh264enc", "x264enc", "h264parse"], Some("x264enc")),
            (&["openh264enc", "h264parse"], Some("openh264enc")),
            // Without the parser only x264enc gives length-prefixed units by itself.
            (&["nvh264enc", "x264enc"], Some("x264enc")),
            (&["openh264enc"], None),
            (&[], None),
        ] {
            assert_eq!(chosen(elements).as_deref(), expected, "{elements:?}");
        }
    }

    #[test]
    fn rates_are_filled_in_with_their_units() {
        let book = Book::built_in();
        let of = |element: &str, name: &str| {
            let template = book
                .encoders
                .iter()
                .find(|template| template.element == element)
                .unwrap();
            let properties = template.properties_for(520, 600);
            let (_, value) = properties.into_iter().find(|(key, _)| key == name).unwrap();
            value
        };
        assert_eq!(of("x264enc", "bitrate"), "520");
        assert_eq!(of("x264enc", "vbv-buf-capacity"), "600");
        assert_eq!(of("openh264enc", "bitrate"), "520000");
        assert_eq!(of("nvh264enc", "vbv-buffer-size"), "312");
    }

    #[test]
    fn no_encoder_may_make_b_frames_or_key_units_of_its_own() {
        let book = Book::built_in();
        let x264 = book
            .encoders
            .iter()
            .find(|template| template.element == "x264enc")
            .unwrap();
        assert_eq!(x264.properties["bframes"], "0");
        assert_eq!(x264.properties["key-int-max"], (1_u32 << 30).to_string());
        assert!(x264.properties["option-string"].contains("scenecut=0"));
    }
}
