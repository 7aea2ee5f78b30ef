//! Signatures of requests (contract, broadcasts, section 1.1). Pure.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::clock::Wall;
use crate::base::secret::Secret;

/// How far a request's time may be from ours, seconds (decision B-23).
const WINDOW_S: i64 = 300;

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// In upper case.
    pub(super) method: &'a str,
    /// The request target: path, and query where there is one.
    pub(super) target: &'a str,
    /// As it was sent; empty when there was none.
    pub(super) body: &'a [u8],
    /// `X-Timestamp`, as it was sent.
    pub(super) timestamp: &'a str,
}

impl Signed<'_> {
    /// Whether `signature` is that of this request with this secret, and its time is near `now`. Compares in
    /// constant time, hexadecimal digits of either case.
    pub(super) fn is_by(&self, secret: &Secret, signature: &str, now: Wall) -> bool {
        let digits =
            !self.timestamp.is_empty() && self.timestamp.bytes().all(|b| b.is_ascii_digit());
        let seconds = self.timestamp.parse::<i64>().ok().filter(|_| digits);
        let is_near =
            seconds.is_some_and(|at| at.abs_diff(now.unix_seconds()) <= WINDOW_S.unsigned_abs());
        let Some(signature) = decoded(signature).filter(|_| is_near) else {
            return false;
        };
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        for part in [
            self.method.as_bytes(),
            self.target.as_bytes(),
            self.body,
            self.timestamp.as_bytes(),
        ] {
            mac.update(part);
        }
        mac.verify_slice(&signature).is_ok()
    }
}

fn decoded(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(value(pair[0])? * 16 + value(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's test vector.
    const SECRET: &str = "sk_8510CDE5A7ED4E749D15E1008FBD7B7E";
    const SIGNATURE: &str = "d7bd58ab8270a3b12d0ce03a114259f4c3c9a99bc6c4660670d0fea364bd2441";
    const VECTOR: Signed<'_> = Signed {
        method: "POST",
        target: "/api/v1/sessions",
        body: br#"{"title":"My Stream"}"#,
        timestamp: "1700000000",
    };

    fn at(seconds: i64) -> Wall {
        Wall(seconds * 1_000_000)
    }

    fn check(signed: &Signed<'_>, signature: &str, now: i64) -> bool {
        signed.is_by(&Secret::new(SECRET), signature, at(now))
    }

    #[test]
    fn the_vector_of_the_contract_is_accepted_within_five_minutes_either_way() {
        assert!(check(&VECTOR, SIGNATURE, 1_700_000_000));
        assert!(check(&VECTOR, &SIGNATURE.to_uppercase(), 1_700_000_300));
        assert!(check(&VECTOR, SIGNATURE, 1_699_999_700));
        assert!(!check(&VECTOR, SIGNATURE, 1_700_000_301));
        assert!(!check(&VECTOR, SIGNATURE, 1_699_999_699));
    }

    #[test]
    fn whatever_differs_from_what_was_signed_is_refused() {
        let now = 1_700_000_000;
        for other in [
            Signed {
                method: "PUT",
                ..VECTOR
            },
            Signed {
                target: "/api/v1/sessions?a=b",
                ..VECTOR
            },
            Signed {
                body: br#"{"title": "My Stream"}"#,
                ..VECTOR
            },
            Signed {
                timestamp: "1700000001",
                ..VECTOR
            },
            Signed {
                timestamp: "+1700000000",
                ..VECTOR
            },
            Signed {
                timestamp: "99999999999999999999",
                ..VECTOR
            },
            Signed {
                timestamp: "",
                ..VECTOR
            },
        ] {
            assert!(!check(&other, SIGNATURE, now), "{other:?}");
        }
        for wrong in [
            "",
            "d7",
            &SIGNATURE[1..],
            &format!("{SIGNATURE}00"),
            &SIGNATURE.replace('d', "g"),
        ] {
            assert!(!check(&VECTOR, wrong, now), "{wrong}");
        }
        assert!(!VECTOR.is_by(&Secret::new("sk_other"), SIGNATURE, at(now)));
    }
}
