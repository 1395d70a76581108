//! Signing secrets and keys made here, from the operating system's randomness.

use ring::rand::{SecureRandom, SystemRandom};

use super::RegistryError;
use crate::model::{Secret, SigningKey};

/// Bytes of a secret: the 256 bits of the hash that uses it (RFC 2104, section 3).
const SECRET_BYTES: usize = 32;

/// A new secret of `v1`.
///
/// # Errors
/// [`RegistryError::NoRandomness`].
pub fn made_signing_secret() -> Result<Secret, RegistryError> {
    let bytes: [u8; SECRET_BYTES] = random()?;
    Ok(Secret::new(&format!("whsec_{}", data_encoding::BASE64.encode(&bytes))))
}

/// A new key of `v1a`.
///
/// # Errors
/// [`RegistryError::NoRandomness`].
pub fn made_signing_key() -> Result<SigningKey, RegistryError> {
    Ok(SigningKey::of_seed(&random()?))
}

fn random<const COUNT: usize>() -> Result<[u8; COUNT], RegistryError> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RegistryError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{check_signing_key, check_signing_secret};

    #[test]
    fn what_is_made_is_as_it_must_be_and_each_time_another() {
        let (one, other) = (made_signing_secret().expect("made"), made_signing_secret().expect("made"));
        assert!(check_signing_secret(one.expose()).is_ok() && one != other);
        let (one, other) = (made_signing_key().expect("made"), made_signing_key().expect("made"));
        assert!(check_signing_key(&one.expose()).is_ok() && one != other);
    }
}
