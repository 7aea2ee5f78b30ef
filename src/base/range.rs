//! Byte ranges of HTTP requests (RFC 9110 §14.1.2).

/// A range request against a known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// No range, or one that is ignored: several at once, another unit, a malformed one.
    All,
    /// First and last byte.
    Some(u64, u64),
    /// 416.
    Unsatisfiable,
}

impl Range {
    /// What the header field of a request asks for.
    pub fn parse(text: &str, size: u64) -> Range {
        let Some((first, last)) = text
            .strip_prefix("bytes=")
            .and_then(|spec| spec.trim().split_once('-'))
        else {
            return Range::All;
        };
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
        };
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
            (Some(first), None) if last.is_empty() => (first, size.saturating_sub(1)),
            (None, Some(0)) if first.is_empty() => return Range::Unsatisfiable,
            (None, Some(tail)) if first.is_empty() => {
                (size.saturating_sub(tail), size.saturating_sub(1))
            }
            _ => return Range::All,
        };
        if range.0 >= size {
            return Range::Unsatisfiable;
        }
        Range::Some(range.0, range.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        assert_eq!(Range::parse("bytes=0-0", 10), Range::Some(0, 0));
        assert_eq!(Range::parse("bytes=3-", 10), Range::Some(3, 9));
        assert_eq!(Range::parse("bytes=3-99", 10), Range::Some(3, 9));
        assert_eq!(Range::parse("bytes=-4", 10), Range::Some(6, 9));
        assert_eq!(Range::parse("bytes=-99", 10), Range::Some(0, 9));
        assert_eq!(Range::parse("bytes=10-", 10), Range::Unsatisfiable);
        assert_eq!(Range::parse("bytes=-0", 10), Range::Unsatisfiable);
        assert_eq!(Range::parse("bytes=0-", 0), Range::Unsatisfiable);
        for ignored in [
            "bytes=5-3",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
        ] {
            assert_eq!(Range::parse(ignored, 10), Range::All, "{ignored}");
        }
    }
}
