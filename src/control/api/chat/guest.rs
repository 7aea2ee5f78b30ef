//! Names of guests: anybody may choose one, so that none looks like something else than a name. Pure.

use super::GUEST;

/// Characters of a guest's name.
const MAX_CHARACTERS: usize = 32;

/// What others see of a guest who gives this name.
pub(super) fn name(given: Option<String>) -> String {
    let given = given.unwrap_or_default();
    let words = given.split(|c: char| c.is_whitespace() || is_invisible(c));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let name: String = words.join(" ").chars().take(MAX_CHARACTERS).collect();
    match name.trim_end() {
        "" => GUEST.to_owned(),
        name => name.to_owned(),
    }
}

/// Characters that show nothing, or turn the writing around: Unicode's format characters, and its fillers.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_a_short_name_that_is_seen() {
        for (given, wanted) in [
            ("Jo", "Jo"),
            ("  Jo \u{2003}\u{200b} Smith ", "Jo Smith"),
            ("\u{202e}nimda", "nimda"),
            ("", "Guest"),
            ("\u{200b}\u{3164}\u{feff}", "Guest"),
            ("名前 ö", "名前 ö"),
        ] {
            assert_eq!(name(Some(given.to_owned())), wanted, "{given:?}");
        }
        assert_eq!(name(None), "Guest");
        assert_eq!(name(Some("ä".repeat(64))), "ä".repeat(MAX_CHARACTERS));
    }
}
