//! Passwords as they are kept: argon2id in PHC form. Each call takes tens of milliseconds and 19 MiB.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, Salt, SaltString};

use super::Error;
use crate::base::secret::Secret;

/// Fewest characters of a password.
const MIN_CHARACTERS: usize = 6;
/// Bytes of a password: more than anybody types.
const MAX_BYTES: usize = 256;

/// Whether it can be somebody's password.
pub(super) fn check(name: &str, password: &str) -> Result<(), Error> {
    if password.chars().count() < MIN_CHARACTERS {
        let reason = format!("{name} has fewer than {MIN_CHARACTERS} characters");
        return Err(Error::Bad(reason));
    }
    match password.len() > MAX_BYTES {
        true => Err(Error::Bad(format!(
            "{name} is longer than {MAX_BYTES} bytes"
        ))),
        false => Ok(()),
    }
}

/// A password as it is kept. The parameters are those that OWASP recommends, which are the library's.
pub(in crate::control) fn hashed(password: &Secret) -> Result<Secret, Error> {
    let mut bytes = [0; Salt::RECOMMENDED_LENGTH];
    getrandom::fill(&mut bytes).expect("the system has a random number generator");
    let salt = SaltString::encode_b64(&bytes).map_err(|_| Error::Internal)?;
    let hash = Argon2::default().hash_password(password.expose().as_bytes(), &salt);
    let hash = hash.map_err(|_| Error::Internal)?;
    Ok(Secret::new(hash.to_string()))
}

/// Whether this is the password of which `kept` is kept. Without one it takes as long, so that nobody learns
/// by the time who has signed up.
pub(super) fn is_right(password: &Secret, kept: Option<&Secret>) -> bool {
    match kept.map(|kept| PasswordHash::new(kept.expose())) {
        Some(Ok(kept)) => {
            let argon = Argon2::default();
            argon
                .verify_password(password.expose().as_bytes(), &kept)
                .is_ok()
        }
        Some(Err(_)) | None => {
            let _ = hashed(password);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_argon2id_with_a_salt_of_its_own() {
        let password = Secret::new("s3cret passphrase \u{1f600}");
        let kept = hashed(&password).unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(kept, hashed(&password).unwrap());
        assert!(is_right(&password, Some(&kept)));
        for wrong in ["", "s3cret passphrase", "S3cret passphrase \u{1f600}"] {
            assert!(!is_right(&Secret::new(wrong), Some(&kept)), "{wrong}");
        }
        assert!(!is_right(&password, None));
        assert!(!is_right(&password, Some(&Secret::new("damaged"))));
    }
}
