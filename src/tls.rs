//! [`Tls`]: the certificate that a server shows its clients.

use std::fmt;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd,
};

use crate::cluster::RUN_DIR;
use crate::error::{ConfigError, Error};
use crate::kernel::tls::{Config, Part, Settings};
use crate::options::ServerStart;

/// A certificate with its private key, for a server that encrypts its connections.
///
/// With it, clients can connect with `sslmode=require`, and with `sslmode=verify-full` if they trust the
/// certificate. PostgreSQL itself reads it, by its settings `ssl`, `ssl_cert_file` and `ssl_key_file`.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Tls;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let tls = Tls::self_signed()?;
/// // What a client is to trust: libpq's sslrootcert, for example.
/// assert!(tls.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// A new key (P-256) and a certificate for it that nobody but itself vouches for, for `localhost`,
    /// `127.0.0.1` and `::1`.
    ///
    /// It is another one at each call. Give [`certificate_pem`](Tls::certificate_pem) to clients that are
    /// to verify it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if no key can be made, as the system gives no random numbers.
    pub fn self_signed() -> Result<Tls, Error> {
        let failed = |error: rcgen::Error| {
            Error::Config(ConfigError::Certificate { reason: error.to_string() })
        };
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        // No key usage: OpenSSL would want the signing of certificates in it, as this one signs itself.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // It is not kept. A wide range also serves machines whose clock is wrong.
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2099, 12, 31);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Tls { chain: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() })
    }

    /// A certificate and its private key, both in PEM format. After the certificate may come those of
    /// intermediate authorities. The key (RSA, P-256, P-384 or Ed25519) must not be encrypted.
    ///
    /// They are checked when a server starts with them: without a certificate or a key, or if the two do
    /// not belong together, that is [`ConfigError::Certificate`]. Whether the certificate has expired is
    /// for the clients to judge.
    pub fn from_pem(certificate_chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Tls {
        Tls { chain: certificate_chain.as_ref().to_vec(), key: key.as_ref().to_vec() }
    }

    /// The certificate, with what follows it, in PEM format: for clients that are to trust it.
    pub fn certificate_pem(&self) -> String {
        String::from_utf8_lossy(&self.chain).into_owned()
    }

    /// Has a server start with it, if it can be used.
    pub(crate) fn install(&self, start: &mut ServerStart) -> Result<(), Error> {
        self.check()?;
        start.settings.push(("ssl".to_owned(), "on".to_owned()));
        let files = [
            ("ssl_cert_file", "server.crt", &self.chain),
            ("ssl_key_file", "server.key", &self.key),
        ];
        for (setting, name, contents) in files {
            let path = format!("{RUN_DIR}/{name}");
            start.settings.push((setting.to_owned(), path.clone()));
            start.files.push((path, contents.clone()));
        }
        Ok(())
    }

    /// Refuses what PostgreSQL would not start with.
    fn check(&self) -> Result<(), Error> {
        let settings = Settings { chain: &self.chain, key: &self.key, ..Settings::default() };
        let Err(error) = Config::new(&settings) else { return Ok(()) };
        let subject = match error.part {
            Part::Chain => "the certificate",
            Part::Key => "the private key",
            _ => "certificate and private key",
        };
        let reason = format!("{subject}: {error}");
        Err(Error::Config(ConfigError::Certificate { reason }))
    }
}

// The key is nobody's business.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate_pem()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let (good, other) = (Tls::self_signed().unwrap(), Tls::self_signed().unwrap());
        let cases: &[(Tls, &str)] = &[
            (Tls::from_pem("", &good.key), "the certificate: no certificate in PEM format found"),
            (Tls::from_pem(&good.chain, ""), "the private key: no private key in PEM format found"),
            (Tls::from_pem(&good.chain, &other.key), "key values mismatch"),
        ];
        for (tls, expected) in cases {
            let message = tls.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        good.check().unwrap();
        Tls::from_pem(good.certificate_pem(), &good.key).check().unwrap();
    }

    #[test]
    fn the_key_is_not_shown() {
        let tls = Tls::self_signed().unwrap();
        assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");
    }
}
