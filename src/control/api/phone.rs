//! Phone numbers, as people write them, in the form by which they are compared. Pure.

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, parse};

/// Whose numbers those without a country are: the United States' and Canada's, which share a plan.
const REGION: Id = Id::US;
/// Bytes of what can be a number: 15 digits with separators, an extension.
const MAX_BYTES: usize = 64;

/// E.164; `None` when it is the number of nobody in any country's plan.
pub(super) fn e164(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > MAX_BYTES {
        return None;
    }
    // With a region, the library takes that one's prefix off numbers of other countries too: of Paris, `1`.
    let region = (!text.contains('+')).then_some(REGION);
    let number = parse(region, text).ok()?;
    // Not whether the number is given out: plans change, and examples are written with numbers that are not.
    let national = number.national().to_string();
    let plans = DATABASE.by_code(&number.country().code())?;
    let is_of_plan = plans
        .iter()
        .any(|plan| plan.descriptors().general().is_match(&national));
    is_of_plan.then(|| number.format().mode(Mode::E164).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_a_number_are_the_same() {
        for text in [
            "(212) 555-0147",
            "212-555-0147",
            "212.555.0147",
            "2125550147",
            "12125550147",
            "1 (212) 555-0147",
            "+12125550147",
            "+1 212 555 0147",
            " +1-212-555-0147 ",
            "tel:+1-212-555-0147",
        ] {
            assert_eq!(e164(text).as_deref(), Some("+12125550147"), "{text}");
        }
        let other = [
            ("+44 20 7946 0958", "+442079460958"),
            ("+49 30 901820", "+4930901820"),
            ("+33 1 23 45 67 89", "+33123456789"),
            ("+86 10 1234 5678", "+861012345678"),
            ("+55 11 2345 6789", "+551123456789"),
            ("+39 06 1234 5678", "+390612345678"),
            ("(416) 555-0123", "+14165550123"),
            ("+15555550123", "+15555550123"),
        ];
        for (text, expected) in other {
            assert_eq!(e164(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        let long = "1".repeat(10_000);
        for text in [
            "",
            " ",
            "x",
            "12",
            "611",
            "+",
            "+1",
            "+0",
            "Mum",
            "+999 1234567",
            &long,
            "١٢٣",
        ] {
            assert_eq!(e164(text), None, "{text}");
        }
    }
}
